"""Carry a plan out: in its order, each write on record before it is made.

Pure but for the `Disk` and the `Store` it is given. Everything is tried out before the first
write; what fails after that stops the work, and what this call hid from reading is shown again.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octavo.protocol.errors import OctavoError, SandboxUnavailable
from octavo.sandbox.windows import acl, journal
from octavo.sandbox.windows.acl import Ace, Change, Present, Target
from octavo.sandbox.windows.paths import fold
from octavo.sandbox.windows.plan import Create, Facts, WindowsPlan
from octavo.sandbox.windows.repair import NotApplied, Problem, problem
from octavo.sandbox.windows.world import ChangedMeanwhile, Disk, DiskError, Store


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done."""

    created: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    """Every path that is hidden from the group now, for whichever command."""


def carry_out(
    plan: WindowsPlan,
    disk: Disk,
    store: Store,
    *,
    facts: Facts,
    now_ms: int,
    stale_file: bool = False,
    hidden_before: Sequence[str] = (),
    held: Iterable[str] = (),
) -> Applied:
    """Do what the plan says; the caller holds `store.lock()`.

    `stale_file`: the capability file has to be written anyhow. Raises ChangedMeanwhile when the
    disk is not what was planned for (plan again), NotApplied with every problem and its repair
    for whatever else fails: then nothing may run.
    """
    if stale_file or plan.capabilities_changed:
        store.save_capabilities(plan.capabilities)
    _try_all(plan, disk, facts.user)
    before = {fold(path): path for path in hidden_before}
    after = {fold(path): path for path in plan.hidden}
    on_record = before
    if facts.group and set(after) - set(before):
        # on record before they are hidden, so that a later plan finds them after a crash
        on_record = before | after
        store.save_hidden(facts.group, [*on_record.values()])
    work = _Work(disk, store, facts, now_ms)
    try:
        for made in plan.creates:
            work.create(made)
        for change in plan.changes:
            work.write(change)
    except (DiskError, ChangedMeanwhile) as error:
        failed = work.show_again()
        if isinstance(error, ChangedMeanwhile) and not failed:
            raise
        raise NotApplied(problem(each, facts.user) for each in (error, *failed)) from error
    kept = {fold(path) for path in held}
    after |= {at: path for at, path in before.items() if at in kept}
    if facts.group and set(after) != set(on_record):
        store.save_hidden(facts.group, [*after.values()])
    return Applied(tuple(work.created), tuple(work.written), tuple(after.values()))


def _try_all(plan: WindowsPlan, disk: Disk, user: str) -> None:
    """Every problem at once, before anything is written."""
    problems: list[Problem] = []
    for change in plan.changes:
        try:
            disk.probe(change)
        except DiskError as error:
            problems.append(problem(error, user))
    if problems:
        raise NotApplied(problems)


class _Work:
    """The writes of one call."""

    def __init__(self, disk: Disk, store: Store, facts: Facts, now_ms: int) -> None:
        self.created: list[str] = []
        self.written: list[str] = []
        self._disk, self._store = disk, store
        self._group, self._now_ms = facts.group, now_ms
        self._done: list[Change | Create] = []

    def create(self, made: Create) -> None:
        record = journal.of_create(made, at_ms=self._now_ms)
        self._store.append(record)
        try:
            self._disk.create(made)
        except (DiskError, ChangedMeanwhile):
            self._store.append(journal.taken_back(record, at_ms=self._now_ms))
            raise
        self.created.append(made.path)
        self._done.append(made)

    def write(self, change: Change) -> None:
        write(change, self._disk, self._store, now_ms=self._now_ms)
        self.written.append(change.path)
        self._done.append(change)

    def show_again(self) -> list[OctavoError]:
        """Take back what this call hid: without its state file nobody else would. What could not
        be taken back is returned, and stays on record."""
        failed: list[OctavoError] = []
        for each in reversed(self._done):
            try:
                self._show(each)
            except OctavoError as error:
                failed.append(error)
        return failed

    def _show(self, done: Change | Create) -> None:
        entries = done.dacl if isinstance(done, Create) else done.added
        ours = [ace for ace in entries if self._hides(ace)]
        if not ours:
            return
        if isinstance(done, Create):
            if self._disk.remove(done.path, done.text):
                record = journal.of_create(done, at_ms=self._now_ms)
                self._store.append(journal.taken_back(record, at_ms=self._now_ms))
            return
        present = self._disk.look(done.path)
        change = None if present is None else without(present, ours)
        if change is not None:
            write(change, self._disk, self._store, now_ms=self._now_ms)

    def _hides(self, ace: Ace) -> bool:
        return not ace.allow and ace.sid == self._group and bool(ace.bits & acl.READ_DATA)


def write(change: Change, disk: Disk, store: Store, *, now_ms: int) -> None:
    """One write, on record before it is made. Raises what `Disk.write` raises."""
    record = journal.of_change(change, at_ms=now_ms)
    store.append(record)
    try:
        disk.write(change)
    except (DiskError, ChangedMeanwhile):
        if not _is_there(change, disk):
            store.append(journal.taken_back(record, at_ms=now_ms))
        raise


def _is_there(change: Change, disk: Disk) -> bool:
    """A call can fail after it wrote, while it handed the list down: then the record is true.
    When nothing can be read it is kept: undoing what is not there is harmless."""
    try:
        present = disk.look(change.path)
    except OctavoError:
        return True
    return present is not None and explicit(present) == change.after


def explicit(present: Present) -> tuple[Ace, ...]:
    """The entries of its own."""
    return tuple(ace for ace in present.dacl or () if not ace.inherited)


def without(present: Present, aces: Iterable[Ace]) -> Change | None:
    """The write that takes entries away; None when none of them is there."""
    gone, before = set(aces), explicit(present)
    after = tuple(ace for ace in before if ace not in gone)
    if after == before or present.dacl is None:
        return None
    return Change(
        present.path, present.folder, before, after, "shown again", protected=present.protected
    )


def grant_reads(
    targets: Iterable[Target], disk: Disk, store: Store, *, user: str, now_ms: int
) -> tuple[Problem, ...]:
    """Reading for the sandbox accounts, as `WindowsPlan.read_grants` asks; the caller holds the
    lock. What fails is returned and stops nothing: the accounts just cannot read there."""
    problems: list[Problem] = []
    for target in targets:
        try:
            present = disk.look(target.path)
            change = None if present is None else acl.change(target, present)
            if change is not None:
                write(change, disk, store, now_ms=now_ms)
        except (DiskError, ChangedMeanwhile) as error:
            problems.append(problem(error, user))
    return tuple(problems)


# By hand -----------------------------------------------------------------------------------------


def manual_commands(plan: WindowsPlan) -> str:
    """Lines for PowerShell that do what `carry_out` would; "" when everything is in place.

    Raises UsageError for a path that cannot be part of a line.
    """
    lines: list[str] = []
    for made in plan.creates:
        folder = made.text is None
        born = Change(made.path, folder, (), made.dacl, made.why)
        lines += [_making(made), journal.powershell(journal.manual(born))]
    lines += [journal.powershell(journal.manual(change)) for change in plan.changes]
    return "".join(lines)


def _making(made: Create) -> str:
    path = journal.quoted(made.path)
    if made.text is None:
        return f"[void][IO.Directory]::CreateDirectory({path})\n"
    text = base64.b64encode(made.text.encode()).decode("ascii")
    return f"[IO.File]::WriteAllBytes({path}, [Convert]::FromBase64String('{text}'))\n"


class ByHand(SandboxUnavailable):
    """acl_mode is "manual" and entries are missing: `commands` would write them."""

    def __init__(self, commands: str) -> None:
        super().__init__(
            "access entries are missing, and acl_mode = manual leaves them to you: "
            f"the command did not run. In PowerShell:\n{commands}",
            hint="Run these lines, then the command again.",
        )
        self.commands = commands


def check_by_hand(plan: WindowsPlan) -> None:
    """Raises ByHand with the commands unless everything the plan wants is in place."""
    commands = manual_commands(plan)
    if commands:
        raise ByHand(commands)
