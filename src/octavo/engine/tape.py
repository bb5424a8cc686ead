"""Keeps everything that comes into a session from outside, in order, and all that it says.

Whatever reaches a session is either caused by something it did itself, or comes from outside: a
value of the stream, the end of a tool, an event of a running command. The outside calls are kept
with their arguments, with the names and times drawn while they were handled, and with what the
session said: events, lines of the rollout, requests, the machine's commands. Played again, the
same calls have to give the same words; see `octavo.engine.replay`.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import msgspec
from msgspec import Struct

from octavo.model.request import ModelRequest, ToolSpec
from octavo.protocol.seams import Clock, Ids
from octavo.protocol.wire import JSON, item_to

if TYPE_CHECKING:
    from octavo.engine.session import Session

FORMAT: Final = 1
M = TypeVar("M", bound=Callable[..., Any])


class Header(Struct, frozen=True, kw_only=True):
    """What a recorded session was made of. The first line of a recording."""

    octavo_recording: int
    """The number of the format."""
    version: str
    """Of the program that recorded."""
    thread_id: str
    model: str
    info: Any
    instructions: str
    tools: tuple[ToolSpec, ...]
    surroundings: Any
    facts: dict[str, str] = {}
    """What people were shown at the start."""
    warnings: tuple[str, ...] = ()
    effort: str | None = None
    summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    window: int | None = None
    compact_at: int | None = None
    output_tokens: int = 10_000
    stream_retries: int = 5
    history: tuple[Any, ...] = ()
    total: Any = None
    last: Any = None
    told: Any = None
    windows: int = 0


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call from outside, with all that followed from it at once."""

    do: str
    args: Any = None
    drawn: tuple[Any, ...] = ()
    """Names and times, in the order they were asked for."""
    said: tuple[Any, ...] = ()
    """`[kind, value]` pairs."""


class Keeps(Protocol):
    """Where lines go."""

    def __call__(self, line: bytes, /) -> None: ...


class Tape:
    """Records one session. Not for threads; the event loop's thread uses it."""

    def __init__(self, keep: Keeps, *, close: Callable[[], object] = lambda: None) -> None:
        self._keep = keep
        self.close = close
        """Nothing more will come."""
        self.active = False
        """A call from outside is being handled."""
        self._drawn: list[Any] = []
        self._said: list[Any] = []
        self._asked: ModelRequest | None = None

    def begin(self, header: Header) -> None:
        """The first line."""
        self._keep(JSON.encode(header))

    @contextmanager
    def outside(self, name: str, args: Any) -> Iterator[None]:  # noqa: ANN401 - any JSON value
        """A call from outside; inside the block draws and words belong to it."""
        self.active = True
        try:
            yield
        finally:
            self.active = False
            line = Line(do=name, args=args, drawn=tuple(self._drawn), said=tuple(self._said))
            self._drawn, self._said = [], []
            self._keep(JSON.encode(line))

    def draw(self, value: Any) -> None:  # noqa: ANN401 - a name or a time
        """A name or a time was asked for; outside of calls that is nobody's business."""
        if self.active:
            self._drawn.append(value)

    def say(self, kind: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """The session says something."""
        self._said.append([kind, value])

    def ask(self, request: ModelRequest) -> None:
        """The session asks the model: what is new since the question before."""
        self.say("request", difference(self._asked, request))
        self._asked = request


def difference(before: ModelRequest | None, now: ModelRequest) -> dict[str, Any]:
    """A request as what changed since the one before: all of it at first."""
    kept = 0
    if before is not None:
        for old, new in zip(before.input, now.input, strict=False):
            if old != new:
                break
            kept += 1
    fields = {
        name: msgspec.to_builtins(getattr(now, name))
        for name in now.__struct_fields__
        if name != "input" and (before is None or getattr(before, name) != getattr(now, name))
    }
    return {"kept": kept, "input": [item_to(item) for item in now.input[kept:]], **fields}


def described(value: Struct) -> Any:  # noqa: ANN401 - any JSON value
    """A command or an input as it is kept."""
    return msgspec.to_builtins(value, enc_hook=lambda found: getattr(found, "name", str(found)))


def taped(encode: Callable[..., Any]) -> Callable[[M], M]:
    """For a session's method that outsiders call: kept with `encode(*args)` as its arguments."""

    def wrap(method: M) -> M:
        @functools.wraps(method)
        def call(self: "Session", *args: Any) -> Any:  # noqa: ANN401 - as the method says
            tape = self.parts.tape
            if tape is None or tape.active:
                return method(self, *args)
            with tape.outside(method.__name__, encode(*args)):
                return method(self, *args)

        return cast("M", call)

    return wrap


class TapedIds:
    """Names that are kept while a call from outside is handled."""

    def __init__(self, ids: Ids, tape: Tape) -> None:
        self._ids = ids
        self._tape = tape

    def uuid(self) -> str:
        """See `Ids`."""
        found = self._ids.uuid()
        self._tape.draw(found)
        return found

    def jitter(self) -> float:
        """See `Ids`."""
        found = self._ids.jitter()
        self._tape.draw(found)
        return found


class TapedClock:
    """Times that are kept while a call from outside is handled."""

    def __init__(self, clock: Clock, tape: Tape) -> None:
        self._clock = clock
        self._tape = tape

    def now_ms(self) -> int:
        """See `Clock`."""
        found = self._clock.now_ms()
        self._tape.draw(found)
        return found

    def monotonic(self) -> float:
        """See `Clock`."""
        found = self._clock.monotonic()
        self._tape.draw(found)
        return found

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await self._clock.sleep(seconds)
