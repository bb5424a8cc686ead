"""A tool call as hooks see it, and the call with the arguments a hook wants instead. Pure.

Every shell is `Bash` with its command text; a patch is `apply_patch` (also `Write`, `Edit`) with
the patch; tools of servers have their full names and all their arguments.
"""

import re
import shlex
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from octavo.engine.hook_match import AGENT_NAMES, PATCH_NAMES, SHELL_NAME
from octavo.tools.base import ToolCall, ToolOutput

SHELLS: Final = {
    "exec_command": "cmd",
    "shell_command": "command",
    "shell": "command",
    "local_shell": "command",
}
"""Tools that run a command, and the argument it is in."""
PATCHES: Final = {"apply_patch": "input"}
UNSEEN: Final = frozenset({"write_stdin", "update_plan", "request_user_input"})
"""Calls no hook hears of by themselves: they only go on with something, or touch nothing."""
POLLS: Final = "write_stdin"
RUNNING: Final = re.compile(r"^Process running with session ID (\d+)$", re.MULTILINE)
PATCH_WORD: Final = re.compile(r"\b(?:apply_patch|applypatch)\b")
BODY: Final = "\nOutput:"
MCP: Final = "mcp__"
MOST_SHOWN: Final = 2_000


class Seen(Struct, frozen=True, kw_only=True):
    """A call as hooks are told of it."""

    names: tuple[str, ...]
    """What matchers are tried on; the first is the name hooks are told."""
    input: dict[str, Any]
    call: ToolCall

    @property
    def text(self) -> str:
        """What was asked for, for messages."""
        command = self.input.get("command")
        text = command if isinstance(command, str) else msgspec.json.encode(self.input).decode()
        return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def seen(call: ToolCall) -> Seen | None:
    """The call as hooks see it; None when no hook is asked about it."""
    if call.namespace is None and call.name in UNSEEN:
        return None
    arguments = arguments_of(call)
    if call.namespace is None and call.name in SHELLS:
        command = command_text(arguments.get(SHELLS[call.name]), call)
        # a patch in a here-document changes files as well: those who watch files hear of it
        patches = PATCH_NAMES if PATCH_WORD.search(command) else ()
        return Seen(names=(SHELL_NAME, *patches), input={"command": command}, call=call)
    if call.namespace is None and call.name in PATCHES:
        patch = call.arguments if call.custom else arguments.get(PATCHES[call.name])
        text = patch if isinstance(patch, str) else call.arguments
        return Seen(names=PATCH_NAMES, input={"command": text}, call=call)
    names = AGENT_NAMES if call.name == AGENT_NAMES[0] else (full_name(call),)
    return Seen(names=names, input=arguments, call=call)


def full_name(call: ToolCall) -> str:
    """The name of a tool with the server it is of."""
    if call.namespace is None:
        return call.name
    if call.namespace.startswith(MCP):
        return f"{call.namespace.rstrip('_')}__{call.name}"
    return f"{call.namespace}.{call.name}"


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments as a table; what is none is under `input`."""
    if call.custom:
        return {"input": call.arguments}
    try:
        found = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {"input": call.arguments}
    return found if isinstance(found, dict) else {"input": found}


def command_text(value: object, call: ToolCall) -> str:
    """The command of a shell tool; the raw arguments when there is none to be found in them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        script = value[-1] if len(value) == 3 and value[1] in ("-c", "-lc") else None
        return script if script is not None else shlex.join(value)
    return call.arguments


def rewritten(one: Seen, updated: dict[str, Any]) -> ToolCall | str:
    """The call with other arguments; or words that say why that cannot be."""
    call = one.call
    key = (SHELLS | PATCHES).get(call.name) if call.namespace is None else None
    if key is None:
        if call.custom:
            return "the input of this tool cannot be rewritten"
        return replace(call, arguments=msgspec.json.encode(updated).decode())
    command = updated.get("command")
    if not isinstance(command, str):
        return "`updatedInput` needs a `command`"
    if call.custom:
        return replace(call, arguments=command)
    arguments = arguments_of(call)
    before = arguments.get(key)
    value: object = command
    if isinstance(before, list):
        kept = len(before) == 3 and before[1] in ("-c", "-lc")
        value = [*before[:2], command] if kept else ["/bin/sh", "-c", command]
    return replace(call, arguments=msgspec.json.encode({**arguments, key: value}).decode())


def session_of(output: ToolOutput) -> int | None:
    """The number of a command that goes on; None when it has ended."""
    head = output.text.partition(BODY)[0]
    found = RUNNING.search(head)
    return None if found is None else int(found[1])


def polled(call: ToolCall) -> int | None:
    """Which command a poll is about."""
    if call.namespace is not None or call.name != POLLS:
        return None
    number = arguments_of(call).get("session_id")
    if isinstance(number, str) and number.isdecimal():
        return int(number)
    return int(number) if isinstance(number, int | float) else None
