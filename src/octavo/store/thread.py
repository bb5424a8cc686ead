"""A thread read back from disk: what it is, what the model has seen, how its turns went.

Only what is needed is decoded: lines that people saw are passed over by their first bytes, and
nothing before the last compaction is looked into. Broken lines are counted, never fatal.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from octavo.policy.paths import printable
from octavo.protocol.history import HistoryItem
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.usage import TokenUsage
from octavo.store.errors import StoreError
from octavo.store.layout import find_rollout
from octavo.store.rollout import (
    EVENT,
    HistoryBase,
    ItemCompleted,
    Kind,
    SessionMeta,
    TaskComplete,
    TaskStarted,
    TokenCount,
    TokenInfo,
    TurnAborted,
    TurnContext,
    compacted_of,
    envelope_of,
    item_of,
    kind_of,
    payload_as,
)

DEEPEST: Final = 64
"""So many forks of forks are followed."""
BUFFER: Final = 1 << 20
LEGACY: Final = ("user_message", "agent_message", "agent_reasoning")
Find = Callable[[ThreadId], str | None]


class Turn(Struct, frozen=True, kw_only=True):
    """One turn of a thread."""

    id: TurnId
    status: Literal["completed", "interrupted", "open"]
    """`open`: it has no end; the program was killed, or it is running now."""
    started_at: int | None = None
    """Seconds."""
    duration_ms: int | None = None
    last_message: str | None = None


class LoadedThread(Struct, frozen=True, kw_only=True):
    """A thread as its files tell it."""

    path: str
    meta: SessionMeta
    items: tuple[HistoryItem, ...] = ()
    """What the model has seen, from the last compaction on."""
    turn_context: TurnContext | None = None
    """The settings of the last turn."""
    world_state: Any = None
    """The snapshot last written of what the model was told about its surroundings."""
    goal: Any = None
    """The goal of the thread as it was written last."""
    tokens: TokenInfo = TokenInfo()
    turns: tuple[Turn, ...] = ()
    compactions: int = 0
    broken_lines: int = 0
    """Lines that could not be read; a line that was cut off in the middle is one."""

    @property
    def id(self) -> ThreadId:
        return self.meta.id

    @property
    def usage(self) -> TokenUsage:
        """All tokens of the thread so far."""
        return self.tokens.total_token_usage


def load_thread(path: str, *, home: str | None = None, find: Find | None = None) -> LoadedThread:
    """Read a thread, and the threads it is based on.

    Those are looked up with `find`, or under `home`. Raises StoreError (one line) for a file that
    cannot be read or is no rollout, for a missing base and for a chain without end.
    """
    look_up = find or (lambda thread: find_rollout(home, thread) if home else None)
    reading = _Reading()
    meta = read_meta(path)
    for part, end in _chain(path, meta, look_up):
        reading.read(part, end)
    return reading.done(path, meta)


def display_lines(
    path: str, *, home: str | None = None, find: Find | None = None
) -> Iterator[tuple[TurnId | None, dict[str, Any]]]:
    """What people saw, oldest first: a turn and an item in wire form, see `octavo.store.display`.

    In a file of the older form there is no turn, and the event itself in place of the item.
    """
    look_up = find or (lambda thread: find_rollout(home, thread) if home else None)
    for part, base in _chain(path, read_meta(path), look_up):
        at = 0
        for line in lines(part):
            at += len(line)
            kind = whole_kind_of(line)
            if kind is None:
                continue
            if base is not None and _past(base, kind, at):
                break
            if kind.event == "item_completed":
                record = payload_as(line, ItemCompleted)
                if record is not None:
                    yield record.turn_id, dict(record.item)
            elif kind.event in LEGACY:
                event = payload_as(line, dict)
                if event is not None:
                    yield None, event


def read_meta(path: str) -> SessionMeta:
    """What the first line of a rollout says. Raises StoreError."""
    for line in lines(path):
        kind = whole_kind_of(line)
        meta = payload_as(line, SessionMeta) if kind and kind.type == "session_meta" else None
        if isinstance(meta, SessionMeta):
            return meta
        break
    raise StoreError(f"{printable(path)}: does not start with session metadata")


def lines(path: str) -> Iterator[bytes]:
    """The lines of a file; the last one may be cut off. Raises StoreError."""
    try:
        with Path(path).open("rb", buffering=BUFFER) as file:
            yield from file
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise StoreError(f"{printable(path)}: cannot be read: {reason}") from wrong


def whole_kind_of(line: bytes) -> Kind | None:
    """What a line is; None also for one that was cut off."""
    if not line.endswith(b"\n") and envelope_of(line) is None:
        return None
    return kind_of(line)


def _chain(path: str, meta: SessionMeta, find: Find) -> list[tuple[str, HistoryBase | None]]:
    """The files of a thread's history, oldest first, each with the place where it ends."""
    found: list[tuple[str, HistoryBase | None]] = [(path, None)]
    seen = {meta.id}
    limit = sys.maxsize
    while meta.history_base is not None:
        base = meta.history_base
        shown = printable(path)
        if base.thread_id in seen or len(found) > DEEPEST:
            raise StoreError(f"{shown}: the chain of threads it is based on has no end")
        seen.add(base.thread_id)
        there = find(base.thread_id)
        if there is None:
            missing = printable(base.thread_id)
            raise StoreError(f"{shown}: is based on thread {missing}, which is not there")
        limit = min(base.end_ordinal_exclusive, limit)
        found.append((there, replace(base, end_ordinal_exclusive=limit)))
        meta = read_meta(there)
        path = there
    return found[::-1]


def _past(base: HistoryBase, kind: Kind, at: int) -> bool:
    """Whether a line, which ends at byte `at`, no longer belongs to the base."""
    if kind.ordinal is not None:
        return kind.ordinal >= base.end_ordinal_exclusive
    return base.end_byte_offset is not None and at > base.end_byte_offset


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self._first: tuple[HistoryItem, ...] = ()
        self._items: list[bytes] = []
        self._context: list[bytes] = []
        self._tokens: list[bytes] = []
        self._world = b""
        self._goal = b""
        self._turns: dict[str, Turn] = {}
        self._compactions = 0
        self._broken = 0

    def read(self, path: str, base: HistoryBase | None) -> None:
        at = 0
        for line in lines(path):
            at += len(line)
            kind = whole_kind_of(line)
            if kind is None:
                self._broken += 1
                continue
            if base is not None and _past(base, kind, at):
                break
            if kind.type == "response_item":
                self._items.append(line)
            elif kind.type == EVENT:
                self._event(kind, line)
            else:
                self._other(kind, line)

    def _other(self, kind: Kind, line: bytes) -> None:
        if kind.type == "turn_context":
            self._context.append(line)
        elif kind.type == "world_state":
            self._world = line
        elif kind.type == "goal":
            self._goal = line
        elif kind.type == "compacted":
            self._compacted(line)

    def _compacted(self, line: bytes) -> None:
        found = compacted_of(line)
        if found is None:
            self._broken += 1
            return
        self._compactions += 1
        if found.replacement_history is not None:
            self._first = found.replacement_history
            self._items.clear()

    def _event(self, kind: Kind, line: bytes) -> None:
        match kind.event:
            case "token_count":
                self._tokens.append(line)
            case "task_started":
                begun = payload_as(line, TaskStarted)
                if begun is not None:
                    turn = Turn(id=begun.turn_id, status="open", started_at=begun.started_at)
                    self._turns[begun.turn_id] = turn
            case "task_complete":
                over = payload_as(line, TaskComplete)
                if over is not None:
                    self._close(over.turn_id, over.duration_ms, over.last_agent_message)
            case "turn_aborted":
                stopped = payload_as(line, TurnAborted)
                if stopped is not None:
                    self._stop(stopped)
            case _:  # what people saw
                return

    def _close(self, turn: TurnId, duration_ms: int | None, last: str | None) -> None:
        begun = self._turns.get(turn)
        self._turns[turn] = Turn(
            id=turn,
            status="completed",
            started_at=begun.started_at if begun else None,
            duration_ms=duration_ms,
            last_message=last,
        )

    def _stop(self, stopped: TurnAborted) -> None:
        turn = stopped.turn_id or next(reversed(self._turns), None)
        if turn is None:
            return
        begun = self._turns.get(turn)
        self._turns[turn] = Turn(
            id=TurnId(turn),
            status="interrupted",
            started_at=begun.started_at if begun else stopped.started_at,
            duration_ms=stopped.duration_ms,
        )

    def done(self, path: str, meta: SessionMeta) -> LoadedThread:
        items = [item_of(line) for line in self._items]
        whole = [item for item in items if item is not None]
        contexts = (payload_as(line, TurnContext) for line in reversed(self._context))
        counts = (payload_as(line, TokenCount) for line in reversed(self._tokens))
        tokens = next((found.info for found in counts if found is not None and found.info), None)
        return LoadedThread(
            path=path,
            meta=meta,
            items=(*self._first, *whole),
            turn_context=next((found for found in contexts if found is not None), None),
            world_state=payload_as(self._world, dict) if self._world else None,
            goal=payload_as(self._goal, dict) if self._goal else None,
            tokens=tokens or TokenInfo(),
            turns=tuple(self._turns.values()),
            compactions=self._compactions,
            broken_lines=self._broken + len(items) - len(whole),
        )
