"""`exec_command` and `write_stdin`: commands in the sandbox that may outlive the call.

An answer comes when the command ends or when its time is up, whichever is first; then the command
goes on under its number.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.process.output import Captured
from octavo.process.spec import Pipes, ProcessSpec, Terminal
from octavo.process.table import Asked, UnknownProcessError, yield_ms
from octavo.protocol.approvals import CommandApproval
from octavo.protocol.errors import OctavoError
from octavo.tools.apply_patch import Patcher
from octavo.tools.arguments import parsed, schema, whole
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.disk import Resolver
from octavo.tools.environment import command_environment
from octavo.tools.intercept import HOW, POWERSHELLS, BarePatch, Intercepted, intercept
from octavo.tools.registry import told as words_of
from octavo.tools.sessions import Sessions, Shown, Told
from octavo.tools.shell_format import Answer, formatted
from octavo.tools.verdict import Answer as Verdict
from octavo.tools.verdict import judged

MOST_DENIALS: Final = 10
"""So many refused operations are told; the rest are counted."""
USUAL_TOKENS: Final = 10_000
REFUSED: Final = "exec_command failed: rejected by user"

Yields = Callable[[Asked, int | None], int]
"""Milliseconds a call may wait: for its kind, and what was asked for."""


class ExecArguments(Struct):
    """Of `exec_command`."""

    cmd: str
    workdir: str | None = None
    shell: str | None = None
    login: bool | None = None
    tty: bool = False
    yield_time_ms: float | None = None
    max_output_tokens: float | None = None
    sandbox_permissions: Literal["use_default", "require_escalated"] | None = None
    justification: str | None = None
    prefix_rule: tuple[str, ...] | None = None


class WriteArguments(Struct):
    """Of `write_stdin`."""

    session_id: int
    chars: str = ""
    yield_time_ms: float | None = None
    max_output_tokens: float | None = None


def text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def number(description: str) -> dict[str, Any]:
    return {"type": "number", "description": description}


YIELD: Final = "How long to wait for output before the command goes on in the background"
OUTPUT: Final = number(
    "The most tokens of output to show; default 10000. More is cut in the middle."
)

EXEC: Final = FunctionTool(
    name="exec_command",
    description=(
        "Run a shell command. Returns its output, and a session ID when it is still running "
        "after the wait; use write_stdin with that to read on."
    ),
    parameters=schema(
        {
            "cmd": text("The shell command."),
            "workdir": text("Folder to run in; default is the current one."),
            "shell": text("Shell to use; default is the user's."),
            "login": {"type": "boolean", "description": "Run as a login shell; default true."},
            "tty": {
                "type": "boolean",
                "description": "Give the command a terminal, so that it can be written to; "
                "default false.",
            },
            "yield_time_ms": number(f"{YIELD}; 250 to 30000, default 10000."),
            "max_output_tokens": OUTPUT,
            "sandbox_permissions": {
                "type": "string",
                "enum": ["use_default", "require_escalated"],
                "description": "`require_escalated` asks to run outside the sandbox.",
            },
            "justification": text(
                "Only with require_escalated: one question that tells the user why."
            ),
            "prefix_rule": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Only with require_escalated: first words of commands to allow "
                "from now on, such as `git`, `pull`.",
            },
        },
        required=("cmd",),
    ),
)
WRITE: Final = FunctionTool(
    name="write_stdin",
    description="Type into a running command, or only read on; returns what is new.",
    parameters=schema(
        {
            "session_id": number("From exec_command."),
            "chars": text(
                "What to type; empty only waits for output. Control-C (`\\u0003`) interrupts."
            ),
            "yield_time_ms": number(
                f"{YIELD}; default 250 after typing. Only waiting: 5000 to 300000."
            ),
            "max_output_tokens": OUTPUT,
        },
        required=("session_id",),
    ),
)


class ExecCommand:
    """Starts commands."""

    spec = EXEC
    parallel = True

    def __init__(
        self,
        sessions: Sessions,
        patcher: Patcher,
        *,
        allow_login: bool = True,
        yields: Yields = yield_ms,
    ) -> None:
        self._sessions = sessions
        self._patcher = patcher
        self._allow_login = allow_login
        self._yields = yields

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Run it as far as it gets in its time. Raises UsageError for bad arguments."""
        asked = parsed(call, ExecArguments)
        cwd = Resolver(context.cwd)(asked.workdir or "")
        login = self._allow_login if asked.login is None else asked.login
        if login and not self._allow_login:
            return failed(
                "exec_command failed: login shells are switched off; set `login` to false"
            )
        argv = shell_argv(asked.shell or context.shell, asked.cmd, login=login)
        match intercept(argv):
            case BarePatch():
                return failed(f"exec_command failed: {HOW}")
            case Intercepted() as patch:
                return await self._patch(patch, cwd, call, context)
            case None:
                pass
        escalated = asked.sandbox_permissions == "require_escalated"
        shown = Shown(
            item_id=call.item_id,
            turn_id=context.turn_id,
            argv=argv,
            cwd=cwd,
            clock=context.clock,
            emit=context.emit,
        )
        refused = await self._permitted(asked, shown, call, context, escalated=escalated)
        if refused is not None:
            return refused
        return await self._run(asked, shown, call, context, escalated=escalated)

    @staticmethod
    async def _permitted(
        asked: ExecArguments,
        shown: Shown,
        call: ToolCall,
        context: ToolContext,
        *,
        escalated: bool,
    ) -> ToolOutput | None:
        """None: it may run."""
        verdict = judged(
            context.approval_policy,
            escalated=escalated,
            sandboxed=context.sandboxed,
            hides=context.access.hides,
        )
        if verdict.answer is Verdict.RUN:
            return None
        if verdict.answer is Verdict.REFUSE:
            return failed(verdict.reason)
        request = CommandApproval(
            call_id=call.call_id,
            argv=shown.argv,
            cwd=shown.cwd,
            reason=asked.justification,
            proposed_rule=asked.prefix_rule,
            escalated=escalated,
            terminal=asked.tty,
        )
        decision = await context.approver(request)
        if decision.allowed:
            return None
        shown.begin()
        shown.end("declined", None)
        reason = f": {decision.reason}" if decision.reason else ""
        return failed(REFUSED + reason, ends_turn=decision.kind == "abort")

    async def _run(
        self,
        asked: ExecArguments,
        shown: Shown,
        call: ToolCall,
        context: ToolContext,
        *,
        escalated: bool,
    ) -> ToolOutput:
        began = context.clock.monotonic()
        try:
            spec = ProcessSpec(
                argv=shown.argv,
                env=command_environment(call, context, terminal=asked.tty, escalated=escalated),
                cwd=shown.cwd,
                stdio=Terminal() if asked.tty else Pipes(merge_stderr=True),
            )
            process_id, evicted = await self._sessions.start(
                lambda: context.launcher.start(spec, escalated=escalated), shown
            )
        except OctavoError as error:
            return failed(f"exec_command failed: {words_of(error)}")
        yield_s = self._yields("start", whole(asked.yield_time_ms)) / 1000
        try:
            told = await self._sessions.poll(process_id, yield_s=yield_s)
        except asyncio.CancelledError:
            await self._sessions.stop(process_id)
            raise
        wall_s = context.clock.monotonic() - began
        most = asked.max_output_tokens
        return answered(told, wall_s, most, context, notes=() if evicted is None else (evicted,))

    async def _patch(
        self, patch: Intercepted, cwd: str, call: ToolCall, context: ToolContext
    ) -> ToolOutput:
        folder = Resolver(cwd)(patch.cd or "")
        done = await self._patcher.apply(patch.patch, cwd=folder, call=call, context=context)
        if done.exit_code is None:
            return failed(done.text, ends_turn=done.ends_turn)
        data = done.text.encode("utf-8", "replace")
        answer = Answer(
            output=Captured(head=data, total_bytes=len(data)),
            lines=done.text.count("\n"),
            wall_s=0.0,
            max_tokens=context.output_tokens,
            exit_code=done.exit_code,
        )
        return ToolOutput(
            output=formatted(answer), success=done.exit_code == 0, ends_turn=done.ends_turn
        )


class WriteStdin:
    """Reads on, and types."""

    spec = WRITE
    parallel = True

    def __init__(self, sessions: Sessions, *, yields: Yields = yield_ms) -> None:
        self._sessions = sessions
        self._yields = yields

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Type and wait. Raises UsageError for bad arguments."""
        asked = parsed(call, WriteArguments)
        kind: Asked = "write" if asked.chars else "poll"
        yield_s = self._yields(kind, whole(asked.yield_time_ms)) / 1000
        began = context.clock.monotonic()
        try:
            if asked.chars:
                data = asked.chars.encode("utf-8", "surrogateescape")
                told = await self._sessions.write(asked.session_id, data, yield_s=yield_s)
            else:
                told = await self._sessions.poll(asked.session_id, yield_s=yield_s)
        except UnknownProcessError:
            return failed(
                f"write_stdin failed: there is no session {asked.session_id}, or its end was "
                "reported already"
            )
        except UnicodeEncodeError:
            return failed("write_stdin failed: half of a surrogate pair cannot be typed")
        except OctavoError as error:
            return failed(f"write_stdin failed: {words_of(error)}")
        wall_s = context.clock.monotonic() - began
        return answered(told, wall_s, asked.max_output_tokens, context)


def answered(
    told: Told,
    wall_s: float,
    most: float | None,
    context: ToolContext,
    *,
    notes: tuple[str, ...] = (),
) -> ToolOutput:
    """What the model is told about a command."""
    wanted = whole(most)
    answer = Answer(
        chunk_id=os.urandom(3).hex(),
        output=told.output,
        lines=told.lines,
        wall_s=wall_s,
        max_tokens=min(USUAL_TOKENS if wanted is None else wanted, context.output_tokens),
        exit_code=told.exit_code,
        session_id=None if told.exit_code is not None else told.process_id,
        notes=(*denied(told), *notes),
    )
    return ToolOutput(output=formatted(answer), success=told.exit_code in (None, 0))


def denied(told: Told) -> list[str]:
    """One line for each thing the sandbox refused."""
    rows = [
        f"Sandbox denied: {one.operation} {one.subject} — {one.rule}"
        for one in told.denials[:MOST_DENIALS]
    ]
    more = len(told.denials) - MOST_DENIALS
    return [*rows, f"Sandbox denied: {more} more"] if more > 0 else rows


def shell_argv(shell: str, script: str, *, login: bool) -> tuple[str, ...]:
    """How this shell is told to run a script."""
    name = shell.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")
    if name in POWERSHELLS:
        return (shell, *(() if login else ("-NoProfile",)), "-Command", script)
    if name == "cmd":
        return (shell, "/c", script)
    return (shell, "-lc" if login else "-c", script)
