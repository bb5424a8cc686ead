"""`exec_command` and `write_stdin`: commands in the sandbox that may outlive the call.

An answer comes when the command ends or when its time is up, whichever is first; then the command
goes on under its number.
"""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from octavo.model.request import FunctionTool
from octavo.process.output import Captured
from octavo.process.spec import Pipes, ProcessSpec, Terminal
from octavo.process.table import Asked, UnknownProcessError, yield_ms
from octavo.protocol.errors import OctavoError
from octavo.protocol.ids import ItemId
from octavo.tools.apply_patch import Patcher
from octavo.tools.arguments import parsed, schema, whole
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.disk import Resolver
from octavo.tools.environment import command_environment
from octavo.tools.intercept import HOW, POWERSHELLS, BarePatch, Intercepted, intercept
from octavo.tools.registry import told as words_of
from octavo.tools.sessions import Sessions, Shown, Told
from octavo.tools.shell_format import Answer, formatted

if TYPE_CHECKING:
    from octavo.policy.verdict import Ask, Situation

MOST_DENIALS: Final = 10
"""So many refused operations are told; the rest are counted."""
USUAL_TOKENS: Final = 10_000
REFUSED: Final = "exec_command failed: rejected by user"
AGAIN: Final = "_outside"
"""What the id of a second try has at its end: clients see two commands, and both are told."""
RAN_AGAIN: Final = "The sandbox refused something in the first try; this is the second, outside it."
NOT_AGAIN: Final = "Asked whether to run it again outside the sandbox, the user said no"

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


class Attempt(Struct, frozen=True):
    """A command that was started."""

    told: Told
    wall_s: float
    notes: tuple[str, ...] = ()

    @property
    def was_refused(self) -> bool:
        """It failed, and there is a record of what the sandbox refused it."""
        return self.told.exit_code not in (None, 0) and bool(self.told.denials)


class Wish(Struct, frozen=True, kw_only=True):
    """One call of `exec_command`, read."""

    asked: ExecArguments
    argv: tuple[str, ...]
    cwd: str
    call: ToolCall
    context: ToolContext
    at: "Situation"

    def shown(self, suffix: str = "") -> Shown:
        """The command as clients see it."""
        return Shown(
            item_id=ItemId(self.call.item_id + suffix),
            turn_id=self.context.turn_id,
            argv=self.argv,
            cwd=self.cwd,
            clock=self.context.clock,
            emit=self.context.emit,
        )

    def answered(self, attempt: Attempt, *more: str) -> ToolOutput:
        """What the model is told about an attempt."""
        most = self.asked.max_output_tokens
        notes = (*attempt.notes, *more)
        return answered(attempt.told, attempt.wall_s, most, self.context, notes=notes)


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
        from octavo.tools.verdict import (  # noqa: PLC0415 - with the first command
            Ask,
            Forbid,
            decided,
            situation,
        )

        at = situation(context, escalated=asked.sandbox_permissions == "require_escalated")
        wish = Wish(asked=asked, argv=argv, cwd=cwd, call=call, context=context, at=at)
        verdict = decided(argv, at, context, asked.prefix_rule)
        match verdict:
            case Forbid():
                return failed(verdict.reason)
            case Ask():
                refused = await self._refused(wish, verdict)
                if refused is not None:
                    return refused
                return await self._run(wish, outside=at.escalated, approved=True)
            case _:
                return await self._run(wish, outside=verdict.outside, approved=False)

    @staticmethod
    async def _refused(wish: "Wish", verdict: "Ask") -> ToolOutput | None:
        """Put the question; None: it may run."""
        from octavo.tools.verdict import question  # noqa: PLC0415 - with the first command

        asked = wish.asked
        request = question(
            wish.argv,
            wish.cwd,
            wish.call,
            wish.at,
            verdict,
            reason=asked.justification,
            terminal=asked.tty,
        )
        decision = await wish.context.approver(request)
        if decision.allowed:
            return None
        shown = wish.shown()
        shown.begin()
        shown.end("declined", None)
        reason = f": {decision.reason}" if decision.reason else ""
        return failed(REFUSED + reason, ends_turn=decision.kind == "abort")

    async def _run(self, wish: "Wish", *, outside: bool, approved: bool) -> ToolOutput:
        """Run it; outside once more if the sandbox refused something and somebody allows it."""
        from octavo.tools.verdict import (  # noqa: PLC0415 - with the first command
            may_retry,
            second_question,
        )

        first = await self._attempt(wish, wish.shown(), outside=outside)
        if isinstance(first, ToolOutput):
            return first
        if outside or not may_retry(wish.at) or not first.was_refused:
            return wish.answered(first)
        if not approved:
            denials = first.told.denials
            terminal = wish.asked.tty
            decision = await wish.context.approver(
                second_question(
                    wish.argv, wish.cwd, wish.call, wish.context, denials, terminal=terminal
                )
            )
            if not decision.allowed:
                reason = f": {decision.reason}" if decision.reason else ""
                answer = wish.answered(first, NOT_AGAIN + reason)
                return replace(answer, ends_turn=decision.kind == "abort")
        second = await self._attempt(wish, wish.shown(AGAIN), outside=True)
        return second if isinstance(second, ToolOutput) else wish.answered(second, RAN_AGAIN)

    async def _attempt(
        self, wish: "Wish", shown: Shown, *, outside: bool
    ) -> "Attempt | ToolOutput":
        """One start, as far as it gets in its time; an answer where it did not start."""
        asked, context = wish.asked, wish.context
        began = context.clock.monotonic()
        try:
            spec = ProcessSpec(
                argv=wish.argv,
                env=command_environment(wish.call, context, terminal=asked.tty, escalated=outside),
                cwd=wish.cwd,
                stdio=Terminal() if asked.tty else Pipes(merge_stderr=True),
            )
            process_id, evicted = await self._sessions.start(
                lambda: context.launcher.start(spec, escalated=outside), shown
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
        return Attempt(told, wall_s, () if evicted is None else (evicted,))

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
        + (f"; to allow: {one.grant}" if one.grant else "")
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
