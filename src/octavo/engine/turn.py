"""One turn as a machine, without the world.

Feed it what happened; it says what to do next. The driver does that and feeds the outcome.

Theory of operation. A turn samples the model again and again until a response neither calls a
tool nor leaves input unanswered. Items of a response are recorded as they arrive, tools start at
once, and their outputs are recorded after the stream, in the order of the calls: so the history
reads the same whatever finished first. A stream that breaks keeps what it completed; the next
request is built from the history and goes on from there. Whoever ends a turn early (an interrupt,
an error) first gets an output for every call: a call without its pair would spoil the thread.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    KnownItem,
    LocalShellCall,
    Message,
    ToolCallItem,
    ToolOutputItem,
)
from octavo.protocol.ids import CallId

# ---- what happened ----------------------------------------------------------------------------


class Begin(Struct, frozen=True):
    """The turn starts with these items (changed context, the user's words)."""

    items: tuple[KnownItem, ...]


class ItemArrived(Struct, frozen=True):
    """The model completed one item of its response."""

    item: KnownItem


class ResponseDone(Struct, frozen=True):
    """The response is complete. `end_turn`: False when the server wants another request."""

    end_turn: bool | None = None


class SampleFailed(Struct, frozen=True):
    """The response broke off. `retry_ms`: wait so long and ask again; None: it cannot heal."""

    message: str
    code: str = "other"
    hint: str | None = None
    exit_code: int = 1
    retry_ms: int | None = None
    counted: bool = True
    """False: whoever feeds this keeps the limit, such as a deadline for reaching the server."""


class ToolDone(Struct, frozen=True):
    """A tool has answered, or was cancelled; either way this is its output."""

    call_id: CallId
    output: ToolOutputItem
    also: tuple[Message, ...] = ()
    """Messages that go into the history right after it."""


class Steer(Struct, frozen=True):
    """More input while the turn runs."""

    items: tuple[KnownItem, ...]


class Interrupt(Struct, frozen=True):
    """Somebody wants the turn to end now. `marker` tells the model so next time."""

    marker: Message | None = None


class Failed(Struct, frozen=True):
    """Something outside the stream failed for good (the disk, a limit, our own defect)."""

    message: str
    code: str = "other"
    hint: str | None = None
    exit_code: int = 1


class MayEnd(Struct, frozen=True):
    """Nothing is left to do, and nobody objects; or somebody has `items` for the model first."""

    items: tuple[KnownItem, ...] = ()


Input = (
    Begin
    | ItemArrived
    | ResponseDone
    | SampleFailed
    | ToolDone
    | Steer
    | Interrupt
    | Failed
    | MayEnd
)

# ---- what to do -------------------------------------------------------------------------------


class Record(Struct, frozen=True):
    """Put these into the history and on disk, in this order, before anything else happens."""

    items: tuple[KnownItem, ...]


class Sample(Struct, frozen=True):
    """Ask the model, with everything recorded so far; first wait so long."""

    after_ms: int = 0
    reason: str = ""
    attempt: int = 0
    """0: a new request; else the number of the retry."""


class StopSampling(Struct, frozen=True):
    """Close the response that is coming in; nothing of it is expected any more."""


class RunTool(Struct, frozen=True):
    """Start this call now; its answer comes back as `ToolDone`."""

    call: ToolCallItem


class CancelTools(Struct, frozen=True):
    """Stop the tools that run; each still answers with a `ToolDone`."""


class AskToEnd(Struct, frozen=True):
    """The model is done: ask whoever may object (hooks, a goal); answer with `MayEnd`."""


class Outcome(Enum):
    """How a turn ended."""

    COMPLETED = auto()
    FAILED = auto()
    INTERRUPTED = auto()


class Finish(Struct, frozen=True):
    """The turn is over. Nothing follows."""

    outcome: Outcome
    error: Failed | None = None


Command = Record | Sample | StopSampling | RunTool | CancelTools | AskToEnd | Finish


class State(Enum):
    """Where a turn is."""

    IDLE = auto()
    SAMPLING = auto()
    """A response is coming in; tools may run beside it."""
    SETTLING = auto()
    """The response is over; tools still run."""
    ASKING = auto()
    """The model is done; somebody may still object."""
    ENDING = auto()
    """It is to end early; tools that run are being stopped."""
    OVER = auto()


CALLS: Final = (FunctionCall, CustomToolCall, LocalShellCall)


class _Response(Struct):
    """What one response asked for."""

    calls: dict[CallId, ToolDone | None] = {}
    """In the order the model made them; None while the tool runs."""
    called: bool = False
    end_turn: bool | None = None


class TurnMachine:
    """Decides one turn. `feed` it what happened, in order; carry out what it yields, in order.

    `retries`: how often a broken stream is asked for again before the turn fails.
    """

    def __init__(self, *, retries: int = 5) -> None:
        self.state = State.IDLE
        self.retries = retries
        self.attempt = 0
        """Retries of the request that runs now."""
        self._response = _Response()
        self._queued: list[KnownItem] = []
        self._retry: SampleFailed | None = None
        self._ending: Finish | None = None
        self._marker: Message | None = None

    @property
    def steerable(self) -> bool:
        """Does input still reach this turn?"""
        return self.state in (State.SAMPLING, State.SETTLING, State.ASKING)

    def feed(self, event: Input) -> Iterator[Command]:
        """What to do now. Raises RuntimeError for an input that makes no sense in this state."""
        match self.state, event:
            case State.OVER, _:
                return  # late news is not an error
            case State.IDLE, Begin(items=items):
                yield Record(items)
                yield from self._sample()
            case State.SAMPLING, ItemArrived(item=item):
                yield from self._arrived(item)
            case State.SAMPLING, ResponseDone(end_turn=end_turn):
                self._response.end_turn = end_turn
                self.attempt = 0
                yield from self._settle()
            case State.SAMPLING, SampleFailed():
                yield from self._broken(event)
            case ((State.SAMPLING | State.SETTLING | State.ENDING), ToolDone(call_id=call_id)):
                self._response.calls[call_id] = event
                if self.state is not State.SAMPLING:
                    yield from self._settle()
            case State.SAMPLING, Steer(items=items):
                self._queued += items
                yield StopSampling()  # what is being written does not know the new words
                yield from self._settle()
            case ((State.SETTLING | State.ASKING | State.ENDING), Steer(items=items)):
                self._queued += items
            case State.ASKING, MayEnd(items=items):
                yield from self._asked(items)
            case State.ENDING, (
                Interrupt() | Failed() | ItemArrived() | ResponseDone() | SampleFailed() | MayEnd()
            ):
                return  # it is ending already
            case _, Interrupt(marker=marker):
                self._marker = marker
                yield from self._end_early(Finish(Outcome.INTERRUPTED))
            case _, Failed():
                yield from self._end_early(Finish(Outcome.FAILED, event))
            case (
                (State.SETTLING | State.ASKING),
                (ItemArrived() | ResponseDone() | SampleFailed()),
            ):
                return  # the rest of a response that was stopped
            case _:
                raise RuntimeError(f"{type(event).__name__} while {self.state.name}")

    def _sample(self, failed: SampleFailed | None = None) -> Iterator[Command]:
        self.state = State.SAMPLING
        self._response = _Response()
        if failed is None:
            yield Sample()
        else:
            yield Sample(failed.retry_ms or 0, failed.message, self.attempt)

    def _arrived(self, item: KnownItem) -> Iterator[Command]:
        yield Record((item,))
        if isinstance(item, CALLS) and item.call_id is not None:
            self._response.calls[item.call_id] = None
            self._response.called = True
            yield RunTool(item)

    def _broken(self, failed: SampleFailed) -> Iterator[Command]:
        spent = failed.counted and self.attempt >= self.retries
        if failed.retry_ms is None or spent:
            error = Failed(failed.message, failed.code, failed.hint, failed.exit_code)
            yield from self._end_early(Finish(Outcome.FAILED, error))
            return
        self.attempt += 1
        self._retry = failed
        yield from self._settle()

    def _end_early(self, finish: Finish) -> Iterator[Command]:
        was = self.state
        self.state = State.ENDING
        self._ending = finish
        if was is State.SAMPLING:
            yield StopSampling()
        if any(done is None for done in self._response.calls.values()):
            yield CancelTools()
        yield from self._settle()

    def _settle(self) -> Iterator[Command]:
        """Go on as soon as no tool runs."""
        calls = self._response.calls
        if self.state is State.SAMPLING:
            self.state = State.SETTLING
        if any(done is None for done in calls.values()):
            return
        yield from self._outputs()
        if self._ending is not None:
            yield from self._over(self._ending)
        elif self._retry is not None:
            retry, self._retry = self._retry, None
            yield from self._absorb()
            yield from self._sample(retry)
        elif self._response.called or self._response.end_turn is False or self._queued:
            yield from self._absorb()
            yield from self._sample()
        else:
            self.state = State.ASKING
            yield AskToEnd()

    def _asked(self, items: tuple[KnownItem, ...]) -> Iterator[Command]:
        """Nobody objects: the turn is over; else the model gets the objection."""
        if not items and not self._queued:
            yield from self._over(Finish(Outcome.COMPLETED))
            return
        if items:
            yield Record(items)
        yield from self._absorb()
        yield from self._sample()

    def _outputs(self) -> Iterator[Command]:
        done = [answer for answer in self._response.calls.values() if answer is not None]
        self._response.calls = {}
        if done:
            yield Record(tuple(item for one in done for item in (one.output, *one.also)))

    def _absorb(self) -> Iterator[Command]:
        if self._queued:
            queued, self._queued = tuple(self._queued), []
            yield Record(queued)

    def _over(self, finish: Finish) -> Iterator[Command]:
        self.state = State.OVER
        yield from self._absorb()
        if self._marker is not None:
            yield Record((self._marker,))
        yield finish
