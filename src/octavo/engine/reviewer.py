"""Asks a model whether an action may be done, in place of a person. Fails closed.

One conversation of its own per thread: the first question carries the whole transcript, later
ones only what is new. While it is busy, a second question is asked apart, with everything.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from octavo.engine import guardian
from octavo.engine.guardian import Assessment, Breaker, Status
from octavo.engine.session import Session
from octavo.model.events import Done, ItemDone
from octavo.model.request import ModelRequest
from octavo.protocol import events
from octavo.protocol.approvals import ApprovalRequest, Decision
from octavo.protocol.content import InputText
from octavo.protocol.errors import ModelError, OctavoError
from octavo.protocol.history import Message, assistant
from octavo.protocol.ids import ItemId, TurnId

PAUSE_S: Final = 0.2
MOST_DENIED: Final = 100


class Denied(Struct, frozen=True, kw_only=True):
    """An action that was refused; the user may allow it by its id."""

    id: str
    request: ApprovalRequest
    rationale: str
    risk: str


class Verdict(Struct, frozen=True, kw_only=True):
    """How one review ended."""

    status: Status
    assessment: Assessment | None = None
    why: str = ""
    attempts: int = 0
    tokens: int = 0


class Reviewer:
    """Answers approval requests of one session. `user_present`: a person can be asked instead."""

    def __init__(
        self,
        session: Session,
        *,
        policy: str | None = None,
        model: str | None = None,
        user_present: bool = False,
        deadline_s: float | None = None,
        audit: Callable[[ApprovalRequest, Verdict], None] | None = None,
    ) -> None:
        self._session = session
        self._policy = policy
        self._model = model or session.parts.model_name
        self._user_present = user_present
        self._deadline_s = deadline_s or guardian.DEADLINE_S
        self._audit = audit
        self._trunk: list[Message] = []
        self._cursor = 0
        self._busy = asyncio.Lock()
        self._breakers: tuple[TurnId | None, Breaker] = (None, Breaker())
        self._allowed: set[tuple[str, ...]] = set()
        self._reviews = 0
        self.denied: dict[str, Denied] = {}
        """Refused actions of this thread, by id, oldest first."""

    def approve(self, denied_id: str) -> Message:
        """Allow one retry of a refused action; returns what the model has to be told.

        Raises KeyError for an id that names none.
        """
        one = self.denied.pop(denied_id)
        self._allowed.add(one.request.keys)
        text = (
            "The user has looked at the action that the automatic review refused (review id "
            f"{denied_id}) and allows exactly this action, once."
        )
        return Message(role="developer", content=(InputText(text=text),))

    async def __call__(self, request: ApprovalRequest, /) -> Decision | None:
        """A decision; None hands the question to the user."""
        if request.keys in self._allowed:
            self._allowed.discard(request.keys)
            return Decision.allow_once()
        clock = self._session.parts.clock
        began = clock.monotonic()
        self._reviews += 1
        review_id = f"r{self._reviews}"
        verdict = await self._review(request)
        self._tell(request, review_id, verdict, clock.monotonic() - began)
        if self._audit is not None:
            self._audit(request, verdict)
        return self._decision(request, review_id, verdict)

    def _decision(
        self, request: ApprovalRequest, review_id: str, verdict: Verdict
    ) -> Decision | None:
        breaker = self._breaker()
        if breaker.heard(verdict.status):
            if self._user_present:
                return None
            self._warn(guardian.TOO_MANY.format(count=breaker.denials))
            return Decision.abort()
        match verdict:
            case Verdict(status="approved"):
                return Decision.allow_once()
            case Verdict(status="denied", assessment=Assessment() as found):
                self._remember(request, review_id, found)
                return Decision.deny(
                    guardian.DENIED.format(
                        rationale=found.rationale or "no reason given",
                        risk=found.risk_level,
                        id=review_id,
                    )
                )
            case Verdict(status="timed_out"):
                return Decision.deny(guardian.TIMED_OUT)
            case _:
                return Decision.deny(guardian.FAILED.format(why=verdict.why or "no answer"))

    def _remember(self, request: ApprovalRequest, review_id: str, found: Assessment) -> None:
        self.denied[review_id] = Denied(
            id=review_id, request=request, rationale=found.rationale, risk=found.risk_level
        )
        while len(self.denied) > MOST_DENIED:
            self.denied.pop(next(iter(self.denied)))

    def _breaker(self) -> Breaker:
        turn = self._session.turn_id
        if self._breakers[0] != turn:
            self._breakers = (turn, Breaker())
        return self._breakers[1]

    # ---- one review -----------------------------------------------------------------------

    async def _review(self, request: ApprovalRequest) -> Verdict:
        """Ask, up to three times within the deadline."""
        action = guardian.action_text(request)
        if action is None:
            return Verdict(status="failed", why="the action is too long to be judged whole")
        attempts = tokens = 0
        why = ""
        try:
            async with asyncio.timeout(self._deadline_s):
                while attempts < guardian.ATTEMPTS:
                    attempts += 1
                    spoken = self._spoken()
                    try:
                        text, used = await self._ask(request, action)
                    except ModelError as error:
                        why = str(error)
                        if not error.retryable:
                            break
                        await self._session.parts.clock.sleep(PAUSE_S * attempts)
                        continue
                    tokens += used
                    found = guardian.read_answer(text)
                    if self._spoken() != spoken:
                        why = "the user spoke meanwhile"  # what it judged is no longer all
                        continue
                    if found is not None:
                        status: Status = "approved" if found.outcome == "allow" else "denied"
                        return Verdict(
                            status=status, assessment=found, attempts=attempts, tokens=tokens
                        )
                    why = "its answer could not be read"
        except TimeoutError:
            return Verdict(status="timed_out", attempts=attempts, tokens=tokens)
        except OctavoError as error:
            why = str(error)
        return Verdict(status="failed", why=why, attempts=attempts, tokens=tokens)

    def _spoken(self) -> int:
        """How often the user has spoken."""
        found = guardian.entries(self._session.history.items)
        return sum(entry.speaker == "user" for entry in found)

    async def _ask(self, request: ApprovalRequest, action: str) -> tuple[str, int]:
        """One question to the model: its words, and what they cost."""
        session = self._session
        session.parts.meter.check(session.parts.clock.monotonic())
        found = guardian.entries(session.history.items)
        apart = self._busy.locked()
        delta = bool(self._trunk) and not apart and self._cursor <= len(found)
        shown = guardian.transcript(found, since=self._cursor if delta else 0)
        if shown is None:
            shown = "(the user's messages are too long to be shown; nothing is authorised)"
        reason = getattr(request, "reason", None)
        hidden = session.parts.workspace.access.hidden
        text = guardian.question(shown, action, reason=reason, hidden=hidden, delta=delta)
        asked = Message(role="user", content=(InputText(text=text),))
        if apart:
            return await self._stream((asked,))
        async with self._busy:
            before = (*self._trunk, asked) if delta else (asked,)
            answer, tokens = await self._stream(before)
            self._trunk = [*before, assistant(answer)]
            self._cursor = len(found)
            return answer, tokens

    async def _stream(self, messages: tuple[Message, ...]) -> tuple[str, int]:
        session = self._session
        request = ModelRequest(
            model=self._model,
            instructions=guardian.policy_text(self._policy),
            input=messages,
            output_schema=guardian.SCHEMA,
            effort="low" if session.parts.effort is not None else None,
            thread_id=session.parts.thread_id,
            turn_id=session.turn_id,
            prompt_cache_key=f"{session.parts.thread_id}-review",
        )
        said: list[str] = []
        tokens = 0
        async with aclosing(session.parts.model.stream(request)) as stream:
            async for event in stream:
                match event:
                    case ItemDone(item=Message(role="assistant") as item):
                        said.append(item.text)
                    case Done(usage=usage) if usage is not None:
                        session.parts.meter.spent(usage, session.parts.info)
                        tokens = usage.total
                    case _:
                        pass
        return "\n".join(said), tokens

    # ---- telling --------------------------------------------------------------------------

    def _tell(
        self, request: ApprovalRequest, review_id: str, verdict: Verdict, seconds: float
    ) -> None:
        found = verdict.assessment
        self._session.publish(
            events.ApprovalReviewed(
                review_id=review_id,
                item_id=ItemId(request.call_id),
                status=verdict.status,
                risk=None if found is None else found.risk_level,
                authorization=None if found is None else found.user_authorization,
                rationale=verdict.why if found is None else found.rationale,
                duration_ms=round(seconds * 1000),
                attempts=verdict.attempts,
                tokens=verdict.tokens,
            )
        )

    def _warn(self, text: str) -> None:
        self._session.publish(events.Warned(message=text))
