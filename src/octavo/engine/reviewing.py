"""A turn that is a review: another thread does it, this one shows it and keeps what came out."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from octavo.engine.inputs import Load
from octavo.engine.review import Target, parsed, rendered, results, unfinished, words_of
from octavo.engine.running import RunningTurn
from octavo.engine.session import Session
from octavo.engine.turn import Failed, Finish, Outcome
from octavo.protocol import events, items
from octavo.protocol.content import UserInput
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.history import Message
from octavo.protocol.ids import ItemId
from octavo.protocol.usage import TokenUsage


class Reviewed(Struct, frozen=True, kw_only=True):
    """How the reviewer's turn ended."""

    target: Target
    """With what was found out about it."""
    ending: events.Ending
    usage: TokenUsage
    """Of the reviewer alone."""


Hear = Callable[[events.Event], None]
DoReview = Callable[[Hear], Awaitable[Reviewed]]
SHOWN = (
    items.CommandExecution,
    items.Reasoning,
    items.WebSearch,
    items.ImageView,
    items.McpToolCall,
    items.ToolUse,
    items.Problem,
)
"""What people see of a reviewer at work; its words are the review itself."""


class ReviewingTurn(RunningTurn):
    """A review from its beginning to its end. It takes no input."""

    def __init__(self, session: Session, target: Target, do: DoReview, *, load: Load) -> None:
        super().__init__(session, (), load=load)
        self._target = target
        self._do = do
        self._job: asyncio.Task[Reviewed] | None = None

    def _count(self) -> None:
        """The reviewer's own turn counts."""

    async def _work(self) -> Finish:
        entered = items.ReviewMode(
            id=self._item_id(), state="entered", target=words_of(self._target)
        )
        self._session.completed(self._frame, entered)
        try:
            async with asyncio.TaskGroup() as group:
                self._job = group.create_task(self._asked(), name="review")
        except* OctavoError as group_:
            self._leave(unfinished(self._target), None)
            raise group_.exceptions[0] from None
        if self._job.cancelled():
            self._leave(unfinished(self._target), None)
            return Finish(Outcome.INTERRUPTED)
        return self._over(self._job.result())

    async def _asked(self) -> Reviewed:
        return await self._do(self._heard)

    def steer(self, inputs: Iterable[UserInput]) -> None:
        """Raises UsageError: a reviewer takes no advice."""
        raise UsageError("a review is running", hint="Wait for the end of it, or stop it.")

    def interrupt(self) -> None:
        """Stop the reviewer."""
        if self._job is not None:
            self._job.cancel()

    def _over(self, reviewed: Reviewed) -> Finish:
        """What came out, into the history and to people."""
        self._target = reviewed.target
        self._session.counted_elsewhere(reviewed.usage)
        match reviewed.ending:
            case events.TurnCompleted(last_message=said):
                review = parsed(said or "")
                cwd = self._session.here.cwd
                self._leave(results(self._target, review, cwd=cwd), review)
                text = rendered(review, cwd=cwd)
                message = items.AgentMessage(id=self._item_id(), text=text, phase="final_answer")
                self._session.completed(self._frame, message)
                return Finish(Outcome.COMPLETED)
            case events.TurnFailed(message=why, code=code, hint=hint, exit_code=number):
                self._leave(unfinished(self._target), None)
                return Finish(Outcome.FAILED, Failed(why, code, hint, number))
            case _:
                self._leave(unfinished(self._target), None)
                return Finish(Outcome.INTERRUPTED)

    def _leave(self, told: tuple[Message, ...], review: items.Review | None) -> None:
        """Later turns know of it."""
        self._session.record((*self._session.context_items(), *told))
        exited = items.ReviewMode(
            id=self._item_id(), state="exited", target=words_of(self._target), review=review
        )
        self._session.completed(self._frame, exited)

    def _heard(self, event: events.Event) -> None:
        """The reviewer at work, as people see it here."""
        match event:
            case events.ItemStarted(item=item) | events.ItemCompleted(item=item):
                if isinstance(item, SHOWN):
                    self._show(replace(event, turn_id=self.turn_id))
            case events.Retrying():
                self._show(replace(event, turn_id=self.turn_id))
            case events.CommandOutputDelta() | events.ReasoningDelta() | events.Warned():
                self._show(event)
            case _:
                return

    def _item_id(self) -> ItemId:
        return ItemId(f"item_{self._session.parts.ids.uuid()}")
