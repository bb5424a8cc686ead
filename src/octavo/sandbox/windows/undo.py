"""What is left of everything we ever wrote, and taking it back.

Pure but for the `Disk` and the `Store` it is given. A write is taken back first and off the record
after: whoever is killed in between takes back nothing, which is harmless.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from octavo.protocol.errors import OctavoError, SandboxUnavailable
from octavo.sandbox.windows import journal
from octavo.sandbox.windows.acl import Ace
from octavo.sandbox.windows.journal import Record, Undo
from octavo.sandbox.windows.paths import contains, fold
from octavo.sandbox.windows.repair import Problem, problem
from octavo.sandbox.windows.world import ChangedMeanwhile, Disk, DiskError, Store

TRIES: Final = 3
SPENT: Final = 200
"""Records of what is not there any more, before they are dropped: each command may add some."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left on one path."""

    path: str
    entries: tuple[Ace, ...]
    """Entries of ours that are still there."""
    created: bool
    """We made it, and it is still there."""
    why: str
    """The rule behind the first of it."""
    unreadable: Problem | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What is left, deepest paths first. `torn`: the journal's last line was cut by a crash."""

    left: tuple[Left, ...]
    running: tuple[str, ...]
    """Paths that commands which run now depend on."""
    torn: bool

    @property
    def entries(self) -> int:
        """How many entries."""
        return sum(len(each.entries) for each in self.left)


@dataclass(frozen=True, slots=True)
class Report:
    """What undoing did."""

    undone: tuple[str, ...]
    removed: tuple[str, ...]
    """Created paths that are gone."""
    stays: tuple[str, ...]
    """Created paths that are kept because something is in them now."""
    problems: tuple[Problem, ...]
    """What could not be taken back; it stays on record."""


def status(disk: Disk, store: Store, *, user: str = "") -> Status:
    """What a user would have to know before undoing. Changes nothing."""
    found = store.journal()
    plan = journal.undo_plan(found.records)
    why = {fold(record.path): record.why for record in reversed(found.records)}
    ours = {fold(undo.path): undo for undo in plan.entries}
    created = {fold(path): path for path in plan.created}
    names = {fold(undo.path): undo.path for undo in plan.entries} | created
    left: list[Left] = []
    for at, path in names.items():
        one = _left(path, ours.get(at), disk, created=at in created, why=why[at], user=user)
        if one.entries or one.created or one.unreadable:
            left.append(one)
    left.sort(key=lambda each: (-each.path.count("\\"), each.path))
    return Status(tuple(left), store.held(), found.torn)


def _left(path: str, undo: Undo | None, disk: Disk, *, created: bool, why: str, user: str) -> Left:
    try:
        present = disk.look(path)
    except DiskError as error:
        return Left(path, (), created, why, problem(error, user))
    if present is None:
        return Left(path, (), created=False, why=why)
    there = [ace for ace in present.dacl or () if not ace.inherited]
    entries = tuple(ace for ace in (undo.remove if undo else ()) if ace in there)
    return Left(path, entries, created, why)


def undo(disk: Disk, store: Store, *, user: str = "") -> Report:
    """Take back every entry and every empty path we made; the caller holds the lock.

    Raises SandboxUnavailable while commands run that depend on them, ConfigError for a damaged
    journal. What fails is in the report, with its repair, and stays on record.
    """
    running = store.held()
    if running:
        raise SandboxUnavailable(
            f"{len(running)} paths are in use by commands that run now, among them {running[0]}",
            hint="Let them end, or end them, then undo.",
        )
    records = store.journal().records
    plan = journal.undo_plan(records)
    store.save_last(None)
    work = _Undoing(disk, user)
    work.entries(plan.entries)
    for record in plan.made:
        work.remove(record)
    store.replace_journal([each for each in records if fold(each.path) in work.failed])
    _forget_hidden(store, records, work.failed)
    return work.report()


def _forget_hidden(store: Store, records: Iterable[Record], again: set[str]) -> None:
    """What is shown again is no longer hidden, for every SID that was denied to read."""
    sids = {ace.sid for record in records for ace in record.added if not ace.allow}
    for sid in sorted(sids):
        before = store.hidden(sid)
        kept = [path for path in before if fold(path) in again]
        if len(kept) != len(before):
            store.save_hidden(sid, kept)


def tidy(disk: Disk, store: Store, *, now_ms: int, user: str = "") -> Report:
    """Remove what was made for built-in rules alone, where no running command needs it and
    nothing is in it; the caller holds the lock."""
    held = store.held()
    plan = journal.undo_plan(store.journal().records)
    work = _Undoing(disk, user)
    for record in plan.made:
        if record.kept or any(contains(record.path, path) for path in held):
            continue
        if work.remove(record):
            store.append(journal.taken_back(record, at_ms=now_ms))
    records = store.journal().records
    left = journal.still(records)
    if len(records) - len(left) >= SPENT:
        store.replace_journal(left)
    return work.report()


class _Undoing:
    """One call's work, and what came of it."""

    def __init__(self, disk: Disk, user: str) -> None:
        self.failed: set[str] = set()
        self._undone: list[str] = []
        self._removed: list[str] = []
        self._stays: list[str] = []
        self._problems: list[Problem] = []
        self._disk, self._user = disk, user

    def report(self) -> Report:
        return Report(
            tuple(self._undone), tuple(self._removed), tuple(self._stays), tuple(self._problems)
        )

    def entries(self, todo: Iterable[Undo]) -> None:
        for each in todo:
            if self._try(each.path, partial(self._entries, each)):
                self._undone.append(each.path)

    def _entries(self, undo: Undo) -> bool:
        """Was there anything to take back?"""
        for left in reversed(range(TRIES)):
            present = self._disk.look(undo.path)
            change = None if present is None else journal.undo_change(undo, present)
            if change is None:
                return False
            try:
                self._disk.write(change)
            except ChangedMeanwhile:
                if not left:
                    raise
            else:
                break
        return True

    def remove(self, record: Record) -> bool:
        """Is it gone?"""
        gone = self._try(record.path, partial(self._disk.remove, record.path, record.text))
        if gone:
            self._removed.append(record.path)
        elif gone is False:
            self._stays.append(record.path)
        return bool(gone)

    def _try(self, path: str, step: Callable[[], bool]) -> bool | None:
        """What the step says; None when it failed."""
        try:
            return step()
        except OctavoError as error:
            self._problems.append(problem(error, self._user))
            self.failed.add(fold(path))
            return None
