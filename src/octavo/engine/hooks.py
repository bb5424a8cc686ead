"""The hooks of one session: who is asked when, and what their answers mean for the turn.

`None` in `Parts.hooks` means there are none, and nothing of this is ever loaded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.engine.hook_answers import Said, Verdict, merged
from octavo.engine.hook_calls import Seen, command_text, polled, rewritten, seen, session_of
from octavo.engine.hook_match import PATCH_NAMES, SHELL_NAME, Told, concerned, payload
from octavo.engine.hook_runner import Background, HookRunner
from octavo.protocol.approvals import (
    ApprovalRequest,
    Approver,
    CommandApproval,
    Decision,
    McpApproval,
)
from octavo.protocol.content import InputText
from octavo.protocol.events import Event, Warned
from octavo.protocol.history import Message
from octavo.protocol.hooks import Hook, HookEvent
from octavo.protocol.ids import CallId, TurnId
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.truncate import ends, size_of, tokens

MOST_CONTINUED: Final = 100
"""So often hooks may keep one turn from ending."""
Keep = Callable[[str], str | None]
"""Writes a text that is too long for the model to a file and says where; None: it cannot."""


class Beginning(Struct, frozen=True, kw_only=True):
    """What hooks said before a prompt reaches the model."""

    refused: str | None = None
    """Why it does not."""
    messages: tuple[Message, ...] = ()


class Before(Struct, frozen=True, kw_only=True):
    """What hooks said before a tool runs."""

    call: ToolCall
    answer: ToolOutput | None = None
    """The answer instead of running it."""
    also: tuple[Message, ...] = ()


class After(Struct, frozen=True, kw_only=True):
    """What hooks made of a tool's answer."""

    answer: ToolOutput
    stop: str | None = None
    """The turn is to stop; why."""


class Objection(Struct, frozen=True, kw_only=True):
    """What hooks said when the turn was about to end."""

    messages: tuple[Message, ...] = ()
    """For the model, which goes on; none: the turn may end."""


class SessionHooks:
    """The hooks of a session that may run. `say` hears what users should know."""

    def __init__(
        self,
        hooks: Sequence[Hook],
        runner: HookRunner,
        background: Background,
        *,
        told: Told,
        keep: Keep,
        forget: Callable[[], None] | None = None,
        resumed: bool = False,
    ) -> None:
        self._hooks = tuple(hooks)
        self._runner = runner
        self._background = background
        self._told = told
        self._keep = keep
        self._forget = forget
        """At the end: removes what was kept, for threads that leave nothing."""
        self._start: str | None = "resume" if resumed else "startup"
        """What the session's start is to be told as; None: it has been told."""
        self._continued = 0
        self._running: dict[int, Seen] = {}
        """Calls whose command goes on, by its number: their end is told later."""
        self._calls: dict[CallId, Seen] = {}
        """Calls that run now: questions are about them."""
        self._open = False
        self._turn: TurnId | None = None
        self.publish: Callable[[Event], None] = lambda _event: None

    def wants(self, *events: HookEvent) -> bool:
        """Is anybody there for one of these events?"""
        return any(hook.event in events for hook in self._hooks)

    # ---- a turn ---------------------------------------------------------------------------

    async def begin(self, turn_id: TurnId, prompt: str) -> Beginning:
        """Before the first request of a turn: late answers, the session's start, the prompt."""
        self._continued = 0
        self._turn = turn_id
        messages = list(self.late())
        if self._start is not None:
            source, self._start = self._start, None
            self._open = True
            verdict = await self._ask("SessionStart", (source,), {"source": source})
            messages += self._context(verdict)
            if verdict.stop is not None:
                return Beginning(refused=stopped(verdict.stop), messages=tuple(messages))
        asked = await self.prompt(turn_id, prompt)
        return replace(asked, messages=(*messages, *asked.messages))

    async def prompt(self, turn_id: TurnId, prompt: str) -> Beginning:
        """Before somebody's words reach the model."""
        verdict = await self._ask("UserPromptSubmit", (), {"turn_id": turn_id, "prompt": prompt})
        messages = tuple(self._context(verdict))
        if verdict.block is not None:
            return Beginning(refused=f"a hook refused this: {verdict.block}", messages=messages)
        if verdict.stop is not None:
            return Beginning(refused=stopped(verdict.stop), messages=messages)
        return Beginning(messages=messages)

    def late(self) -> tuple[Message, ...]:
        """What hooks in the background said since the last time."""
        messages: list[Message] = []
        for one in self._background.take():
            verdict = merged(one.hook.event, [one])
            self._tell(verdict)
            messages += self._context(verdict)
        return tuple(messages)

    async def may_end(self, turn_id: TurnId, last_message: str | None) -> Objection:
        """The model is done: hooks may have it go on, with their reason as its next task."""
        verdict = await self._ask(
            "Stop",
            (),
            {
                "turn_id": turn_id,
                "stop_hook_active": self._continued > 0,
                "last_assistant_message": last_message,
            },
        )
        return self._objection(verdict)

    async def subagent_started(
        self, turn_id: TurnId, agent_id: str, agent_type: str
    ) -> tuple[Message, ...]:
        """A sub-agent begins: context for it."""
        fields = {"turn_id": turn_id, "agent_id": agent_id, "agent_type": agent_type}
        return tuple(self._context(await self._ask("SubagentStart", (agent_type,), fields)))

    async def subagent_may_end(
        self,
        turn_id: TurnId,
        agent_id: str,
        agent_type: str,
        *,
        transcript: str | None,
        last_message: str | None,
        active: bool = False,
    ) -> Objection:
        """A sub-agent is done: hooks may have it go on."""
        verdict = await self._ask(
            "SubagentStop",
            (agent_type,),
            {
                "turn_id": turn_id,
                "agent_id": agent_id,
                "agent_type": agent_type,
                "agent_transcript_path": transcript,
                "stop_hook_active": active,
                "last_assistant_message": last_message,
            },
        )
        return self._objection(verdict)

    def _objection(self, verdict: Verdict) -> Objection:
        if verdict.block is None or verdict.stop is not None:
            return Objection()
        if self._continued >= MOST_CONTINUED:
            self._warn(f"hooks kept this turn going {MOST_CONTINUED} times; it ends now")
            return Objection()
        self._continued += 1
        text = f"<hook_prompt>\n{verdict.block}\n</hook_prompt>"
        return Objection(messages=(Message(role="user", content=(InputText(text=text),)),))

    # ---- tools ----------------------------------------------------------------------------

    async def before(self, call: ToolCall, context: ToolContext) -> Before:
        """Before a tool runs: perhaps not at all, perhaps with other arguments."""
        one = seen(call)
        if one is None:
            return Before(call=call)
        fields = {
            "turn_id": context.turn_id,
            "tool_name": one.names[0],
            "tool_input": one.input,
            "tool_use_id": call.call_id,
        }
        verdict = await self._ask("PreToolUse", one.names, fields)
        also = tuple(self._context(verdict))
        if verdict.block is not None:
            self._warn(f"a hook refused {one.names[0]}: {verdict.block}")
            return Before(call=call, answer=refused(one, verdict.block), also=also)
        if verdict.updated is not None:
            other = rewritten(one, verdict.updated)
            if isinstance(other, str):
                self._warn(f"a PreToolUse hook failed: {other}")
            else:
                call = other
        answer = await self._somebody(call, context) if verdict.ask else None
        now = seen(call)
        if answer is None and now is not None:
            self._calls[call.call_id] = now
        return Before(call=call, answer=answer, also=also)

    async def after(self, call: ToolCall, answer: ToolOutput, context: ToolContext) -> After:
        """After a tool ran; a command that goes on is told about when it has ended."""
        self._calls.pop(call.call_id, None)
        one = self._finished(call, answer)
        if one is None:
            return After(answer=answer)
        fields = {
            "turn_id": context.turn_id,
            "tool_name": one.names[0],
            "tool_input": one.input,
            "tool_response": answer.text,
            "tool_use_id": one.call.call_id,
        }
        verdict = await self._ask("PostToolUse", one.names, fields)
        also = (*answer.also, *self._context(verdict))
        if verdict.block is not None:
            answer = replace(answer, output=verdict.block, success=False)
        stop = None if verdict.stop is None else stopped(verdict.stop)
        return After(answer=replace(answer, also=also), stop=stop)

    async def permit(self, request: ApprovalRequest) -> Decision | None:
        """The hooks' answer to a question; None when they leave it to others."""
        one = asked_about(request, self._calls.get(request.call_id))
        fields = {"turn_id": self._turn, "tool_name": one.names[0], "tool_input": one.input}
        verdict = await self._ask("PermissionRequest", one.names, fields)
        if verdict.block is not None:
            return Decision.deny(verdict.block)
        return Decision.allow_once() if verdict.allow else None

    def _finished(self, call: ToolCall, answer: ToolOutput) -> Seen | None:
        """The call that has ended with this answer, if hooks hear of it."""
        number = polled(call)
        going_on = session_of(answer)
        if number is not None:
            return None if going_on is not None else self._running.pop(number, None)
        one = seen(call)
        if one is not None and going_on is not None:
            self._running[going_on] = one
            return None
        return one

    @staticmethod
    async def _somebody(call: ToolCall, context: ToolContext) -> ToolOutput | None:
        """Ask whoever approves; None: yes."""
        one = seen(call)
        if one is None or one.names[0] != SHELL_NAME or context.approval_policy == "never":
            return failed("a hook wants somebody to be asked about this, and nobody can be")
        request = CommandApproval(
            call_id=call.call_id,
            argv=(context.shell, "-c", str(one.input["command"])),
            cwd=context.cwd,
            reason="a hook wants you to be asked",
        )
        decision = await context.approver(request)
        if decision.allowed:
            return None
        reason = f": {decision.reason}" if decision.reason else ""
        return failed(f"rejected by user{reason}", ends_turn=decision.kind == "abort")

    # ---- the rest of a session ------------------------------------------------------------

    async def compacting(self, turn_id: TurnId, trigger: str) -> str | None:
        """Before the history is shortened (`auto`, `manual`); why it is not to be, or None."""
        fields = {"turn_id": turn_id, "trigger": trigger}
        verdict = await self._ask("PreCompact", (trigger,), fields)
        if verdict.block is not None:
            return f"a hook refused this: {verdict.block}"
        return None if verdict.stop is None else stopped(verdict.stop)

    async def compacted(self, turn_id: TurnId, trigger: str) -> tuple[Message, ...]:
        """After the history was shortened: what was told at the start is told again."""
        fields = {"turn_id": turn_id, "trigger": trigger}
        await self._ask("PostCompact", (trigger,), fields)
        verdict = await self._ask("SessionStart", ("compact",), {"source": "compact"})
        return tuple(self._context(verdict))

    async def close(self, reason: str = "other") -> None:
        """The session ends: those in the background get a moment, then its end is told."""
        await self._background.close()
        self.late()
        if self._open:
            self._open = False
            await self._ask("SessionEnd", (reason,), {"reason": reason})
            await self._background.close()
        if self._forget is not None:
            self._forget()

    # ---- asking ---------------------------------------------------------------------------

    async def _ask(
        self, event: HookEvent, names: Iterable[str], fields: Mapping[str, Any]
    ) -> Verdict:
        hooks = concerned(self._hooks, event, names)
        if not hooks:
            return Verdict()
        data = payload(event, self._told, fields)
        for hook in hooks:
            if hook.background:
                self._background.start(hook, data)
        waited = [hook for hook in hooks if not hook.background]
        verdict = merged(event, await self._runner.run_all(waited, data), waited)
        self._tell(verdict)
        return verdict

    def _tell(self, verdict: Verdict) -> None:
        for message in verdict.messages:
            self._warn(message)

    def _warn(self, message: str) -> None:
        self.publish(Warned(message=message))

    def _context(self, verdict: Verdict) -> list[Message]:
        """What hooks add for the model, each a developer message; long ones by file."""
        texts = [self._short(one, text) for one in verdict.context for text in one.answer.context]
        return [Message(role="developer", content=(InputText(text=text),)) for text in texts]

    def _short(self, one: Said, text: str) -> str:
        most = one.hook.context_tokens * BYTES_PER_TOKEN
        if size_of(text) <= most:
            return text
        return spilled(text, most, self._keep(text))


class HooksFirst:
    """An approver that asks the hooks, and whoever comes next when they leave it open."""

    def __init__(self, hooks: SessionHooks, approver: Approver) -> None:
        self._hooks = hooks
        self._approver = approver

    async def __call__(self, request: ApprovalRequest, /) -> Decision:
        """The hooks' answer, else the other one's."""
        return await self._hooks.permit(request) or await self._approver(request)


def spilled(text: str, max_bytes: int, path: str | None) -> str:
    """Beginning and end of a text, and where all of it is."""
    data = text.encode("utf-8", "replace")
    head, tail = ends(data, max_bytes)
    left_out = tokens(len(data) - size_of(head) - size_of(tail))
    where = f"all of it is in {path}" if path is not None else "the rest could not be kept"
    return f"{head}\n[… {left_out} tokens left out; {where} …]\n{tail}"


def stopped(reason: str) -> str:
    """A stop, for people."""
    return f"a hook stopped this turn: {reason}" if reason else "a hook stopped this turn"


def refused(one: Seen, reason: str) -> ToolOutput:
    """What the model reads instead of a result."""
    return failed(f"a hook refused this call: {reason}\nThe call was: {one.text}")


def asked_about(request: ApprovalRequest, known: Seen | None) -> Seen:
    """A question as hooks see it: the call it is about, or what the question itself says."""
    if known is not None:
        return known
    call = ToolCall(call_id=request.call_id, name="shell", arguments="")
    if isinstance(request, CommandApproval):
        command = command_text(list(request.argv), call)
        return Seen(names=(SHELL_NAME,), input={"command": command}, call=call)
    if isinstance(request, McpApproval):
        given = request.arguments if isinstance(request.arguments, dict) else {}
        return Seen(names=(f"mcp__{request.server}__{request.tool}",), input=given, call=call)
    files = [change.path for change in getattr(request, "changes", ())]
    return Seen(names=PATCH_NAMES, input={"command": "", "files": files}, call=call)
