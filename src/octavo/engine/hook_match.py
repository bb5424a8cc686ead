"""Which hooks an event concerns, and what they are told. Pure.

The fields on standard input are the published ones; absent is null, never left out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.protocol.hooks import UNMATCHED, Hook, HookEvent

PLAIN: Final = re.compile(r"[A-Za-z0-9_|]+")
EVERYTHING: Final = ("", "*")
PATCH_NAMES: Final = ("apply_patch", "Write", "Edit")
AGENT_NAMES: Final = ("spawn_agent", "Agent")
SHELL_NAME: Final = "Bash"


class Told(Struct, frozen=True, kw_only=True):
    """What every hook of a session is told."""

    session_id: str
    cwd: str
    model: str
    permission_mode: str = "default"
    transcript_path: str | None = None


def matches(matcher: str | None, names: Iterable[str]) -> bool:
    """Is one of these names meant? Letters, digits, `_` and `|` are names; the rest is a pattern.

    A pattern that does not compile matches nothing: it was refused when it was read.
    """
    if matcher is None or matcher in EVERYTHING:
        return True
    if PLAIN.fullmatch(matcher):
        wanted = matcher.split("|")
        return any(name in wanted for name in names)
    try:
        pattern = re.compile(matcher)
    except (re.error, RecursionError, OverflowError):
        return False
    return any(pattern.search(name) for name in names)


def concerned(hooks: Iterable[Hook], event: HookEvent, names: Iterable[str] = ()) -> list[Hook]:
    """The hooks that run at this event, in their order."""
    known = tuple(names)
    return [
        hook
        for hook in hooks
        if hook.event == event and (event in UNMATCHED or matches(hook.matcher, known))
    ]


def payload(event: HookEvent, told: Told, fields: Mapping[str, Any]) -> bytes:
    """What a hook reads: one JSON object and a newline."""
    value = {
        "session_id": told.session_id,
        "transcript_path": told.transcript_path,
        "cwd": told.cwd,
        "hook_event_name": event,
        "model": told.model,
        "permission_mode": told.permission_mode,
        **fields,
    }
    return msgspec.json.encode(whole(value)) + b"\n"


def whole(value: object) -> object:
    """The same value with halves of letters replaced: JSON has no place for them."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case Mapping():
            return {str(whole(str(key))): whole(inner) for key, inner in value.items()}
        case list() | tuple():
            return [whole(inner) for inner in value]
        case _:
            return value
