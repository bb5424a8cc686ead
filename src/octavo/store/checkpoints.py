"""File states around the turns of threads: taken, noted, listed, and the oldest dropped.

Everything lies under `checkpoints/` in Octavo's home: `objects` (contents and trees, once each),
`threads` (one line per state), `cache` (what the last snapshot of a folder saw), `pending` (undos
that have not ended). Nothing is written anywhere else. See docs/undo.md.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct, ValidationError, field
from msgspec.json import Decoder, Encoder

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId, TurnId
from octavo.store.errors import StoreError
from octavo.store.gate import Gate
from octavo.store.layout import CHECKPOINTS, is_thread_id
from octavo.store.objects import Objects, write_all
from octavo.store.pending import read_pending
from octavo.store.snapshot import (
    Limits,
    Seen,
    Snapshot,
    Taker,
    cache_path,
    read_cache,
    write_cache,
)
from octavo.store.tree import Tree, decoded, encoded

ROOM: Final = 10
"""When the cap is passed, so many percent of it are made free."""
FEW: Final = 20
"""One file in so many may be read again each time: writing down thousands takes longer."""
MOST_PLACEHOLDER: Final = 2
"""Bytes in a file that the sandbox puts somewhere for a while."""
DROPPED: Final = "its file states are not kept any more (undo.max_bytes)"


class RootTree(Struct, frozen=True, kw_only=True):
    """One folder's state, by the digest of its tree."""

    path: bytes
    tree: bytes


States = tuple[RootTree, ...]


class Line(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What is noted of a thread."""

    at_ms: int = 0


class Before(Line, frozen=True, kw_only=True, tag="before"):
    """A turn is about to change files."""

    turn: TurnId
    roots: States


class After(Line, frozen=True, kw_only=True, tag="after"):
    """The turn is over."""

    turn: TurnId
    roots: States


class Idle(Line, frozen=True, kw_only=True, tag="idle"):
    """The turn never came to change anything."""

    turn: TurnId


class Undone(Line, frozen=True, kw_only=True, tag="undo"):
    """Turns were undone: the files before that, and after it."""

    turns: tuple[TurnId, ...]
    before: States
    after: States


class Redone(Line, frozen=True, kw_only=True, tag="redo"):
    """The last undo was taken back."""

    turns: tuple[TurnId, ...]
    before: States
    after: States


AnyLine = Before | After | Idle | Undone | Redone
_DECODER: Final = Decoder(AnyLine)
_ENCODER: Final = Encoder()


class TurnStates(Struct):
    """A turn that changed files, or may have."""

    id: TurnId
    at_ms: int
    before: States
    after: States | None
    """None: it is running, or was cut off."""


class History(Struct):
    """What of a thread can be undone and redone."""

    done: list[TurnStates] = field(default_factory=list)
    """Turns in force, oldest first."""
    undone: list[tuple[Undone, list[TurnStates]]] = field(default_factory=list)
    """Undos that can be taken back, the newest last."""


def history_of(lines: Iterable[AnyLine]) -> History:
    """The lines of a thread in order, put together. Pure."""
    found = History()
    running: TurnStates | None = None
    for line in lines:
        if isinstance(line, Before):
            _settle(found, running, line.roots)
            running = TurnStates(line.turn, line.at_ms, line.roots, None)
        elif isinstance(line, After | Idle):
            if running is not None and running.id == line.turn:
                _settle(found, running, line.roots if isinstance(line, After) else running.before)
            running = None
        else:
            _settle(found, running, line.before)
            running = None
            _undo(found, line)
    _settle(found, running, None)
    return found


def _settle(found: History, turn: TurnStates | None, after: States | None) -> None:
    """A turn is over; one that changed nothing is forgotten."""
    if turn is None or turn.before == after:
        return
    turn.after = after
    found.done.append(turn)
    found.undone.clear()  # the thread went on another way


def _undo(found: History, line: Undone | Redone) -> None:
    if isinstance(line, Undone):
        gone = [turn for turn in found.done if turn.id in line.turns]
        found.done = [turn for turn in found.done if turn.id not in line.turns]
        found.undone.append((line, gone))
    elif found.undone:
        found.done += found.undone.pop()[1]


class RootState(Struct, frozen=True):
    """One folder as it is now."""

    path: str
    snapshot: Snapshot
    tree: bytes
    """Its digest."""


class Checkpoints:
    """The file states under one home. Methods raise StoreError."""

    def __init__(
        self,
        home: str,
        *,
        now_ns: Callable[[], int],
        limits: Limits | None = None,
        placeholders: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`placeholders` are paths that the sandbox puts there while commands run, and removes."""
        self.home = home
        self.folder = str(Path(home, CHECKPOINTS))
        self.limits = limits or Limits()
        self.objects = Objects(str(Path(self.folder, "objects")))
        self._now_ns = now_ns
        self._placeholders = placeholders
        self._total: int | None = None
        """Bytes that were there before this value wrote any; None: nobody has counted."""

    @property
    def now_ms(self) -> int:
        """The time that is noted."""
        return self._now_ns() // 1_000_000

    def shared(self) -> Gate:
        """Held while something is kept that nothing points at yet."""
        return Gate(str(Path(self.folder, "lock")), alone=False, wait=True)

    def root_gate(self, root: str, *, alone: bool) -> Gate:
        """Turns pass together, an undo alone; look at `held`."""
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        return Gate(str(Path(self.folder, "roots", f"{name}.lock")), alone=alone)

    # ---- taking ---------------------------------------------------------------------------

    def state(self, root: str, *, stopped: Callable[[], bool] = bool) -> RootState:
        """A folder as it is, with everything in it kept. Hold `shared` until it is noted."""
        place = cache_path(str(Path(self.folder, "cache")), root)
        cache = read_cache(place, root)
        taker = Taker(
            root,
            self.objects,
            limits=self.limits,
            cache=cache,
            now_ns=self._now_ns,
            skip=self._own(),
            stopped=stopped,
        )
        passing = {*self._placeholders()}
        snapshot = taker.take()
        without(snapshot, root, {*passing, *self._placeholders()})
        try:
            tree = self.objects.put(encoded(snapshot.tree))
            if fresher(cache, snapshot.states):
                write_cache(place, root, snapshot.states, self._now_ns())
        except OSError as wrong:
            raise self._unwritable(wrong) from wrong
        return RootState(root, snapshot, tree)

    def keep_tree(self, tree: Tree) -> bytes:
        """Its digest."""
        try:
            return self.objects.put(encoded(tree))
        except OSError as wrong:
            raise self._unwritable(wrong) from wrong

    def tree(self, digest: bytes) -> Tree:
        """A state that was kept."""
        data = self.objects.read(digest)
        if data is None:
            raise StoreError(DROPPED)
        try:
            return decoded(data)
        except ValueError as wrong:
            raise StoreError(str(wrong)) from wrong

    def _own(self) -> tuple[int, int] | None:
        """Our home: a workspace around it must not be put into itself."""
        try:
            state = Path(self.home).stat()
        except OSError:
            return None
        return state.st_dev, state.st_ino

    def _unwritable(self, wrong: OSError) -> StoreError:
        reason = wrong.strerror or str(wrong)
        return StoreError(f"{printable(self.folder)}: cannot be written: {reason}")

    # ---- noting ---------------------------------------------------------------------------

    def note(self, thread: ThreadId, line: AnyLine) -> None:
        """One more line about a thread."""
        path = self._lines_path(thread)
        # a line that was cut off stays a line of its own
        data = b"\n" + _ENCODER.encode(line) + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as wrong:
            raise self._unwritable(wrong) from wrong

    def lines(self, thread: ThreadId) -> Iterator[AnyLine]:
        """Everything noted about a thread; lines nobody can read are left out."""
        try:
            data = self._lines_path(thread).read_bytes()
        except FileNotFoundError:
            return
        except OSError as wrong:
            raise self._unwritable(wrong) from wrong
        for row in data.splitlines():
            with suppress(DecodeError, ValidationError, UnicodeDecodeError):
                yield _DECODER.decode(row)

    def history(self, thread: ThreadId) -> History:
        """What of a thread can be undone and redone."""
        return history_of(self.lines(thread))

    def forget(self, thread: ThreadId) -> None:
        """A thread is removed; what only it needed goes with the next `trim`."""
        with suppress(FileNotFoundError):
            self._lines_path(thread).unlink()

    def _lines_path(self, thread: ThreadId) -> Path:
        if not is_thread_id(thread):
            raise StoreError(f"{printable(thread)} is no thread")
        return Path(self.folder, "threads", f"{thread}.jsonl")

    # ---- dropping -------------------------------------------------------------------------

    def trim(self) -> int:
        """Drop the oldest states until everything fits the cap; how many turns were dropped.

        Nothing happens while another process takes a state: the next one sees to it.
        """
        if self._total is None:
            self._total = self.objects.total() - self.objects.written_bytes
        if self._total + self.objects.written_bytes <= self.limits.max_bytes:
            return 0
        self._total = None  # others may have made room, or need some
        if self.objects.total() <= self.limits.max_bytes:
            return 0
        with Gate(str(Path(self.folder, "lock")), alone=True) as gate:
            return self._trim() if gate.held else 0

    def _trim(self) -> int:
        most = self.limits.max_bytes * (100 - ROOM) // 100
        kept = {
            ThreadId(path.stem): list(self.lines(ThreadId(path.stem)))
            for path in Path(self.folder, "threads").glob("*.jsonl")
        }
        weights = _Weights(self)
        for pending in read_pending(self.folder):
            for one in pending.roots:
                weights.add(one.start)
                weights.add(one.end)
        for lines in kept.values():
            for line in lines:
                weights.add_line(line)
        ages = sorted(
            ((line.at_ms, thread, _turns_of(line)) for thread, ls in kept.items() for line in ls),
            key=lambda row: row[0],
        )
        dropped: set[tuple[ThreadId, TurnId]] = set()
        for _, thread, turns in ages[:-1]:
            if weights.total <= most:
                break
            for line in kept[thread]:
                if _turns_of(line) & turns:
                    weights.remove_line(line)
            kept[thread] = [line for line in kept[thread] if not _turns_of(line) & turns]
            dropped |= {(thread, turn) for turn in turns}
        for thread in {thread for thread, _ in dropped}:
            self._rewrite(thread, kept[thread])
        self.objects.keep_only(weights.needed)
        return len(dropped)

    def _rewrite(self, thread: ThreadId, lines: Sequence[AnyLine]) -> None:
        path = self._lines_path(thread)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(b"".join(_ENCODER.encode(line) + b"\n" for line in lines))
            temporary.replace(path)
        except OSError as wrong:
            temporary.unlink(missing_ok=True)
            raise self._unwritable(wrong) from wrong


def without(snapshot: Snapshot, root: str, passing: Iterable[str]) -> None:
    """Take what the sandbox put there out of a state: as long as it is empty, and nobody's."""
    for path in passing:
        name = path.removeprefix(root.rstrip("/") + "/")
        entry = snapshot.tree.get(name)
        if name == path or entry is None:
            continue
        try:
            mode = Path(path).lstat().st_mode
        except OSError:  # it is gone already
            mode = 0
        inside = any(other.startswith(name + "/") for other in snapshot.tree)
        if not inside and not mode & 0o222 and entry.size <= MOST_PLACEHOLDER:
            del snapshot.tree[name]
            snapshot.states.pop(name, None)


def fresher(cache: dict[str, Seen], states: dict[str, Seen]) -> bool:
    """Whether writing down what was seen would save more next time than it costs now."""
    new = sum(cache.get(path) is not seen for path, seen in states.items())
    gone = max(0, len(cache) - len(states))
    return new + gone > len(states) // FEW


def _turns_of(line: AnyLine) -> frozenset[TurnId]:
    return frozenset(line.turns if isinstance(line, Undone | Redone) else (line.turn,))


def roots_of(line: AnyLine) -> States:
    """Every state a line points at."""
    match line:
        case Before() | After():
            return line.roots
        case Undone() | Redone():
            return (*line.before, *line.after)
        case Idle():
            return ()


class _Weights:
    """How much is needed by how many."""

    def __init__(self, store: Checkpoints) -> None:
        self._store = store
        self._sizes = store.objects.sizes()
        self._inside: dict[bytes, frozenset[bytes]] = {}
        self._count: Counter[bytes] = Counter()
        self.total = 0

    @property
    def needed(self) -> set[bytes]:
        return {digest for digest, count in self._count.items() if count > 0}

    def add_line(self, line: AnyLine) -> None:
        for root in roots_of(line):
            self.add(root.tree)

    def remove_line(self, line: AnyLine) -> None:
        for root in roots_of(line):
            for digest in self._contents(root.tree):
                self._count[digest] -= 1
                if self._count[digest] == 0:
                    self.total -= self._sizes.get(digest, 0)

    def add(self, tree: bytes) -> None:
        for digest in self._contents(tree):
            self._count[digest] += 1
            if self._count[digest] == 1:
                self.total += self._sizes.get(digest, 0)

    def _contents(self, tree: bytes) -> frozenset[bytes]:
        if tree not in self._inside:
            try:
                entries = self._store.tree(tree).values()
            except StoreError:
                entries = {}.values()
            found = {entry.content for entry in entries if entry.kind == "file"}
            self._inside[tree] = frozenset({tree, *found})
        return self._inside[tree]
