"""Plays a recording again: no network, no model, no command; the first difference is named.

The recorded calls go into a session made from the recording's first line. Everything that session
says has to be, byte for byte, what was said then.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.engine import turn as machine_room
from octavo.engine.bus import Bus
from octavo.engine.context import Surroundings
from octavo.engine.session import Parts, Planning, Session, TurnFrame, Workspace
from octavo.engine.tape import FORMAT, Header, Line, Tape, described
from octavo.engine.turn import Input, TurnMachine
from octavo.model.catalog import ModelInfo
from octavo.model.events import ModelEvent
from octavo.model.request import ModelRequest, ToolSpec
from octavo.protocol.approvals import ApprovalRequest, Decision
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.events import Event
from octavo.protocol.history import Unknown
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.items import Item
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import ANY, JSON, item_from
from octavo.store.base import EphemeralLog
from octavo.tools.registry import Registry

SHOWN_CHARS: Final = 200


class ReplayDiffersError(OctavoError):
    """The replay said something else than the recording. The message names the first difference."""

    exit_code = 9


class Difference(Struct, frozen=True, kw_only=True):
    """Where two values part."""

    path: str
    recorded: str
    now: str


def read_header(line: bytes) -> Header:
    """The first line of a recording. Raises UsageError: no recording, or one of another format."""
    try:
        raw = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError):
        raw = None
    number = raw.get("octavo_recording") if isinstance(raw, dict) else None
    if not isinstance(number, int):
        raise UsageError("this is no recording", hint="make one with `octavo exec --record FILE`")
    if number != FORMAT:
        made = str(raw.get("version", "?")) if isinstance(raw, dict) else "?"
        newer = "newer" if number > FORMAT else "older"
        raise UsageError(
            f"the recording has format {number}, of the {newer} version {made}; "
            f"this one reads format {FORMAT}",
            hint="replay it with the version that made it",
        )
    try:
        return msgspec.convert(raw, Header)
    except msgspec.ValidationError as error:
        raise UsageError(f"the first line of the recording is damaged: {error}") from error


def replayed(lines: Iterator[bytes], header: Header) -> Iterator[Event]:
    """Play the lines after the first; yields what a person would have seen.

    Raises ReplayDiffersError at the first difference, UsageError for a damaged line.
    """
    player = Player(header)
    for number, raw in enumerate(lines, 2):
        yield from player.play(number, raw)


class Drawn:
    """Clock and names that repeat what was drawn then."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def _next(self, kind: type) -> Any:  # noqa: ANN401 - a name or a time
        if not self.left or not isinstance(self.left[0], kind):
            raise ReplayDiffersError(
                f"more was asked of the clock or of the names ({kind.__name__}) than then"
            )
        return self.left.pop(0)

    def uuid(self) -> str:
        """See `Ids`."""
        return str(self._next(str))

    def jitter(self) -> float:
        """See `Ids`."""
        return float(self._next(float))

    def now_ms(self) -> int:
        """See `Clock`."""
        return int(self._next(int))

    def monotonic(self) -> float:
        """See `Clock`."""
        return float(self._next(float))

    async def sleep(self, seconds: float) -> None:
        """A replay waits for nothing."""
        raise AssertionError(f"a replay does not wait ({seconds} s)")


class Heard(Tape):
    """A tape that hands over what was said instead of keeping it."""

    def __init__(self) -> None:
        super().__init__(lambda _line: None)

    def take(self) -> list[Any]:
        """What was said since the last look."""
        said, self._said = self._said, []
        return said


class Player:
    """A session made from a recording, and the turn that runs in it."""

    def __init__(self, header: Header) -> None:
        self._drawn = Drawn()
        self._heard = Heard()
        self._heard.active = True  # nothing here comes from outside
        self._session = session_of(header, self._drawn, self._heard)
        self._retries = header.stream_retries
        self._machine = TurnMachine()
        self._frame = TurnFrame(TurnId(""), None)  # type: ignore[arg-type]  # no tool runs
        self._events: list[Event] = []
        self._session.bus = Shown(self._events)
        self._calls: dict[str, Callable[[Any], object]] = {
            "turn": self._turn,
            "feed": self._feed,
            "publish": self._publish,
            "record": self._record,
            "keep_unknown": lambda raw: self._session.keep_unknown(Unknown(raw=raw)),
            "completed": self._completed,
            "counted": self._counted,
            "counted_elsewhere": lambda raw: self._session.counted_elsewhere(
                msgspec.convert(raw, TokenUsage)
            ),
            "restart": lambda items: self._session.restart([item_from(one) for one in items]),
            "told_about": self._context,
            "stream": lambda _: self._heard.ask(self._session.request(self._frame)),
            "write": self._write,
        }

    def play(self, number: int, raw: bytes) -> list[Event]:
        """One line; returns the events it gave."""
        try:
            line = msgspec.json.decode(raw, type=Line)
            call = self._calls[line.do]
        except (msgspec.DecodeError, UnicodeError, KeyError) as error:
            raise UsageError(f"line {number} of the recording is damaged: {error}") from error
        self._drawn.left = list(line.drawn)
        self._events.clear()
        try:
            call(line.args)
        except ReplayDiffersError as error:
            raise ReplayDiffersError(f"line {number} ({line.do}): {error}") from None
        except (msgspec.ValidationError, AttributeError, TypeError, RuntimeError) as error:
            raise ReplayDiffersError(
                f"line {number} ({line.do}) cannot be played: {error}"
            ) from error
        self._compare(number, line)
        return [*self._events]

    def _compare(self, number: int, line: Line) -> None:
        now = ANY.decode(JSON.encode(self._heard.take()))
        then = ANY.decode(JSON.encode(list(line.said)))
        found = first_difference(then, now)
        if found is not None:
            what = named(then, now, found.path)
            raise ReplayDiffersError(
                f"line {number} ({line.do}), {what}: {found.path or 'the whole'} was "
                f"{found.recorded}, is {found.now}"
            )
        if self._drawn.left:
            raise ReplayDiffersError(
                f"line {number} ({line.do}): {len(self._drawn.left)} names or times fewer are asked for"
            )

    # ---- the calls ------------------------------------------------------------------------

    def _turn(self, args: Any) -> None:  # noqa: ANN401 - from the file
        self._machine = TurnMachine(retries=self._retries)
        self._frame = TurnFrame(
            TurnId(args["turn_id"]),
            None,  # type: ignore[arg-type]  # no tool runs
            msgspec.convert(args["schema"], TurnFrame.__annotations__["schema"]),
        )
        planning = args.get("planning")
        if planning is not None:
            self._frame.planning = Planning(
                workspace=self._session.parts.workspace,
                tools=Specs(msgspec.convert(planning["tools"], tuple[ToolSpec, ...])),
                effort=msgspec.convert(planning["effort"], Parts.__annotations__["effort"]),
            )
        self._session.turn_id = self._frame.turn_id

    def _feed(self, args: Any) -> None:  # noqa: ANN401 - from the file
        kind = getattr(machine_room, str(args["kind"]))
        event: Input = msgspec.convert(args["value"], kind)
        for command in self._machine.feed(event):
            self._heard.say("command", [type(command).__name__, described(command)])

    def _publish(self, args: Any) -> None:  # noqa: ANN401 - from the file
        event: Event = msgspec.convert(args, Event)
        self._session.publish(event)

    def _completed(self, args: Any) -> None:  # noqa: ANN401 - from the file
        self._session.completed(self._frame, msgspec.convert(args, Item))

    def _record(self, args: Any) -> None:  # noqa: ANN401 - from the file
        items = [item_from(one) for one in args]
        self._session.record([item for item in items if not isinstance(item, Unknown)])

    def _counted(self, args: Any) -> None:  # noqa: ANN401 - from the file
        usage, response_id = args
        self._session.counted(
            self._frame, msgspec.convert(usage, TokenUsage | None), str(response_id)
        )

    def _context(self, args: Any) -> None:  # noqa: ANN401 - from the file
        now = msgspec.convert(args, Surroundings)
        self._session.parts.workspace.surroundings = now
        self._session.told_about(now)

    def _write(self, args: Any) -> None:  # noqa: ANN401 - from the file
        for line in args:
            self._heard.say("line", line)


def session_of(header: Header, drawn: Drawn, heard: Heard) -> Session:
    """A session that can do nothing but repeat."""
    surroundings = msgspec.convert(header.surroundings, Surroundings)
    parts = Parts(
        thread_id=ThreadId(header.thread_id),
        model=NoModel(),
        model_name=header.model,
        info=msgspec.convert(header.info, ModelInfo),
        tools=Specs(header.tools),
        log=EphemeralLog(),
        clock=drawn,
        ids=drawn,
        approver=nobody,
        workspace=Workspace(
            cwd=surroundings.cwd,
            launcher=None,  # type: ignore[arg-type]  # nothing is started
            access=None,  # type: ignore[arg-type]  # nothing is read
            environment={},
            shell="",
            surroundings=surroundings,
        ),
        instructions=header.instructions,
        end_commands=no_commands,
        effort=msgspec.convert(header.effort, Parts.__annotations__["effort"]),
        summary=msgspec.convert(header.summary, Parts.__annotations__["summary"]),
        verbosity=msgspec.convert(header.verbosity, Parts.__annotations__["verbosity"]),
        service_tier=header.service_tier,
        window=header.window,
        compact_at=header.compact_at,
        output_tokens=header.output_tokens,
        stream_retries=header.stream_retries,
        tape=heard,
    )
    return Session(
        parts,
        history=[item_from(one) for one in header.history],
        total=msgspec.convert(header.total, TokenUsage | None),
        last=msgspec.convert(header.last, TokenUsage | None),
        told=msgspec.convert(header.told, Surroundings | None),
        windows=header.windows,
    )


class Shown(Bus):
    """A bus that hands events over at once."""

    def __init__(self, into: list[Event]) -> None:
        super().__init__()
        self._into = into

    def publish(self, event: Event) -> None:
        """Into the list."""
        self._into.append(event)


class NoModel:
    """There is none in a replay."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Never called."""
        nothing: tuple[ModelEvent, ...] = ()
        for event in nothing:
            yield event
        raise AssertionError(request)


class Specs(Registry):
    """Tools that are only shown."""

    def __init__(self, specs: Any) -> None:  # noqa: ANN401 - as recorded
        super().__init__()
        self._specs = list(specs)


async def nobody(request: ApprovalRequest, /) -> Decision:
    """Nobody is asked in a replay."""
    raise AssertionError(request)


async def no_commands() -> None:
    """None run."""


# ---- differences ------------------------------------------------------------------------------


def first_difference(then: Any, now: Any, path: str = "") -> Difference | None:  # noqa: ANN401
    """Where two JSON values part first, depth first in the order of the recording."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*then, *now)):
            here = f"{path}.{key}" if path else str(key)
            if key not in then or key not in now:
                return Difference(path=here, recorded=shown(then.get(key)), now=shown(now.get(key)))
            found = first_difference(then[key], now[key], here)
            if found is not None:
                return found
        return None
    if isinstance(then, list) and isinstance(now, list):
        for at, (old, new) in enumerate(zip(then, now, strict=False)):
            found = first_difference(old, new, f"{path}[{at}]")
            if found is not None:
                return found
        if len(then) != len(now):
            at = min(len(then), len(now))
            more = then[at] if len(then) > len(now) else now[at]
            missing = "nothing"
            return Difference(
                path=f"{path}[{at}]",
                recorded=shown(more) if len(then) > len(now) else missing,
                now=shown(more) if len(now) > len(then) else missing,
            )
        return None
    if then == now and type(then) is type(now):
        return None
    if isinstance(then, str) and isinstance(now, str):
        at = next(
            (n for n, (a, b) in enumerate(zip(then, now, strict=False)) if a != b),
            min(len(then), len(now)),
        )
        start = max(0, at - 20)
        return Difference(
            path=f"{path} (character {at + 1})",
            recorded=shown(then[start:]),
            now=shown(now[start:]),
        )
    return Difference(path=path, recorded=shown(then), now=shown(now))


def shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value for a message, short."""
    text = JSON.encode(value).decode()
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def named(then: list[Any], now: list[Any], path: str) -> str:
    """Which of the things that were said differs: `request`, `event`, …"""
    at = int(path[1 : path.index("]")]) if path.startswith("[") else 0
    for said in (then, now):
        if at < len(said):
            return str(said[at][0])
    return "words"
