"""Undo, redo, and what a thread changed: file states put to use.

Theory of operation. An undo looks at the files as they are, keeps that state, works out what is
wanted and which steps lead there, and writes both states down as pending before it changes
anything. A process that dies on the way leaves that note; as both states are kept whole, the rest
can be finished or taken back later by looking again. When all is done the thread gets a line, and
the note goes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from octavo.policy.paths import printable
from octavo.protocol.errors import UsageError
from octavo.protocol.ids import ThreadId, TurnId
from octavo.store.apply import TEMPORARY, apply
from octavo.store.checkpoints import (
    DROPPED,
    Checkpoints,
    History,
    Redone,
    RootState,
    RootTree,
    States,
    TurnStates,
    Undone,
)
from octavo.store.errors import StoreError
from octavo.store.pending import (
    Kind,
    Pending,
    PendingRoot,
    PendingUndo,
    drop_pending,
    read_pending,
    write_pending,
)
from octavo.store.restore import Span, Steps, Wanted, Write, recovered, steps, undone
from octavo.store.tree import Change, Tree, changed

MOST_NAMED: Final = 5


class Conflict(StoreError):  # noqa: N818 - says what is
    """Files are not as the turn left them; `paths` are they."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        named = ", ".join(printable(path) for path in paths[:MOST_NAMED])
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        super().__init__(
            f"changed since the turn ended: {named}{more}; nothing was undone",
            hint="--force goes on all the same; `octavo redo` brings today's files back",
        )
        self.paths = paths


class RootPlan(Struct, frozen=True):
    """What is about to happen in one folder."""

    path: str
    now: RootState
    wanted: Wanted
    steps: Steps


class Plan(Struct, frozen=True):
    """What is about to happen."""

    kind: Kind
    thread: ThreadId
    turns: tuple[TurnId, ...]
    roots: tuple[RootPlan, ...]

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Absolute paths that are not as the turn left them."""
        return tuple(absolute(r.path, path) for r in self.roots for path in r.wanted.conflicts)

    @property
    def left(self) -> tuple[tuple[str, str], ...]:
        """Absolute paths that stay as they are although the turn changed them, with reasons."""
        return tuple(
            (absolute(r.path, path), why) for r in self.roots for path, why in r.wanted.left
        )

    @property
    def changes(self) -> tuple[tuple[str, Change], ...]:
        """Folder and change of every path that becomes another."""
        return tuple(
            (r.path, change)
            for r in self.roots
            for change in changed(r.now.snapshot.tree, r.wanted.tree)
        )


def absolute(root: str, path: str) -> str:
    """A path of a tree as a whole one."""
    return str(Path(root, path))


class Undo:
    """Undo and redo of threads. The caller holds the thread's lock while files are changed.

    `new_id` makes names for pending notes. Methods raise StoreError, UsageError.
    """

    def __init__(self, checkpoints: Checkpoints, *, new_id: Callable[[], str]) -> None:
        self._store = checkpoints
        self._new_id = new_id

    # ---- what would happen ----------------------------------------------------------------

    @contextmanager
    def undoing(self, thread: ThreadId, count: int = 1) -> Iterator[Plan]:
        """The plan that takes back the last turns that changed something. `carry_out` it inside."""
        history = self._store.history(thread)
        turns = history.done[-count:]
        if len(turns) < count:
            few = "1 turn" if len(turns) == 1 else f"{len(turns)} turns"
            have = f"only {few}" if turns else "no turn"
            raise UsageError(
                f"thread {thread} has {have} that can be undone",
                hint="`octavo diff` shows what it changed",
            )
        with self._alone(roots_of_turns(turns)) as roots:
            spans = {root: self._spans(root, turns, now) for root, now in roots.items()}
            names = tuple(turn.id for turn in turns)
            yield self._plan("undo", thread, names, roots, spans)

    @contextmanager
    def redoing(self, thread: ThreadId) -> Iterator[Plan]:
        """The plan that takes the last undo back. `carry_out` it inside."""
        history = self._store.history(thread)
        if not history.undone:
            raise UsageError(
                f"nothing was undone in thread {thread}, or it went on since then",
            )
        line, _ = history.undone[-1]
        before, after = trees_of(line.before), trees_of(line.after)
        with self._alone(tuple(after)) as roots:
            spans: dict[str, list[Span]] = {}
            for root in roots:
                first, last = before.get(root), after.get(root)
                known = first is not None and last is not None
                spans[root] = [(self._tree(first), self._tree(last))] if known else []
            yield self._plan("redo", thread, line.turns, roots, spans)

    def _plan(
        self,
        kind: Kind,
        thread: ThreadId,
        turns: tuple[TurnId, ...],
        roots: dict[str, RootState],
        spans: dict[str, list[Span]],
    ) -> Plan:
        found = []
        for root, now in roots.items():
            wanted = undone(now.snapshot.tree, spans[root])
            found.append(RootPlan(root, now, wanted, steps(now.snapshot.tree, wanted.tree)))
        return Plan(kind, thread, turns, tuple(found))

    def _spans(self, root: str, turns: list[TurnStates], now: RootState) -> list[Span]:
        """The work in one folder, the newest first."""
        found: list[Span] = []
        for turn in reversed(turns):
            first = trees_of(turn.before).get(root)
            last = now.tree if turn.after is None else trees_of(turn.after).get(root)
            if first is not None and last is not None:
                found.append((self._tree(first), self._tree(last)))
        return found

    def _tree(self, digest: bytes | None) -> Tree:
        if digest is None:
            raise StoreError(DROPPED)
        return self._store.tree(digest)

    @contextmanager
    def _alone(self, roots: tuple[str, ...]) -> Iterator[dict[str, RootState]]:
        """The folders as they are, while no turn runs in them and nothing is dropped."""
        with ExitStack() as stack:
            stack.enter_context(self._store.shared())
            for root in roots:
                gate = stack.enter_context(self._store.root_gate(root, alone=True))
                if not gate.held:
                    raise StoreError(
                        f"a turn is running in {printable(root)}",
                        hint="wait for it, or stop it",
                    )
            for pending in read_pending(self._store.folder):
                if {os.fsdecode(one.path) for one in pending.roots} & set(roots):
                    raise PendingUndo(pending)
            yield {root: self._store.state(root) for root in roots}

    # ---- doing it -------------------------------------------------------------------------

    def carry_out(self, plan: Plan, *, force: bool = False) -> None:
        """Change the files. Raises Conflict (nothing was changed), StoreError."""
        if plan.conflicts and not force:
            raise Conflict(plan.conflicts)
        self._have_all(plan)
        pending = Pending(
            id=self._new_id(),
            thread=plan.thread,
            kind=plan.kind,
            turns=plan.turns,
            roots=tuple(
                PendingRoot(
                    path=os.fsencode(one.path),
                    start=one.now.tree,
                    end=self._store.keep_tree(one.wanted.tree),
                )
                for one in plan.roots
            ),
        )
        write_pending(self._store.folder, pending)
        try:
            for one in plan.roots:
                self._apply(pending, one)
        except StoreError as wrong:
            self._back(pending, wrong)
            raise
        self._done(pending)

    def _have_all(self, plan: Plan) -> None:
        for one in plan.roots:
            for step in one.steps:
                if isinstance(step, Write) and not self._store.objects.has(step.content):
                    path = printable(absolute(one.path, step.path))
                    raise StoreError(f"{path}: {DROPPED}; nothing was changed")

    def _apply(self, pending: Pending, plan: RootPlan) -> None:
        apply(
            plan.path,
            plan.steps,
            objects=self._store.objects,
            now=plan.now.snapshot.tree,
            states=plan.now.snapshot.states,
            temporary=f"{TEMPORARY}{pending.id}-",
        )

    def _back(self, pending: Pending, wrong: StoreError) -> None:
        """A step failed: what was done before it is taken back."""
        try:
            self._bring(pending, back=True, keep=True)
        except (StoreError, OSError):
            raise StoreError(
                f"{wrong}; and what was done before that could not be taken back",
                hint="`octavo undo --roll-back` tries again, `--finish` goes on",
            ) from wrong
        drop_pending(self._store.folder, pending)

    def _done(self, pending: Pending) -> None:
        before = tuple(RootTree(path=one.path, tree=one.start) for one in pending.roots)
        after = tuple(RootTree(path=one.path, tree=one.end) for one in pending.roots)
        kind = Undone if pending.kind == "undo" else Redone
        line = kind(turns=pending.turns, before=before, after=after, at_ms=self._store.now_ms)
        self._store.note(pending.thread, line)
        drop_pending(self._store.folder, pending)

    # ---- what was cut off -----------------------------------------------------------------

    def finish(self, pending: Pending, *, back: bool, force: bool = False) -> None:
        """Complete a pending undo, or take back what it did.

        Raises Conflict when files are neither as they were before nor as they would be after.
        """
        roots = tuple(os.fsdecode(one.path) for one in pending.roots)
        with ExitStack() as stack:
            stack.enter_context(self._store.shared())
            for root in roots:
                if not stack.enter_context(self._store.root_gate(root, alone=True)).held:
                    raise StoreError(f"a turn is running in {printable(root)}")
            self._bring(pending, back=back, force=force)
        if back:
            drop_pending(self._store.folder, pending)
        else:
            self._done(pending)

    def _bring(
        self, pending: Pending, *, back: bool, force: bool = False, keep: bool = False
    ) -> None:
        temporary = f"{TEMPORARY}{pending.id}-"
        plans = []
        for one in pending.roots:
            start, end = self._tree(one.start), self._tree(one.end)
            if back:
                start, end = end, start
            root = os.fsdecode(one.path)
            now = self._store.state(root)
            wanted = recovered(now.snapshot.tree, start, end, temporary=temporary, keep=keep)
            plans.append(RootPlan(root, now, wanted, steps(now.snapshot.tree, wanted.tree)))
        conflicts = tuple(
            absolute(plan.path, path) for plan in plans for path in plan.wanted.conflicts
        )
        if conflicts and not force:
            raise Conflict(conflicts)
        for plan in plans:
            self._apply(pending, plan)


# ---- what a thread changed ----------------------------------------------------------------


class RootChanges(Struct, frozen=True):
    """What a thread changed in one folder, and is still in force."""

    path: str
    changes: tuple[Change, ...]
    left: tuple[tuple[str, str], ...]
    """Paths that changed and whose content is not known."""


def thread_changes(store: Checkpoints, thread: ThreadId) -> tuple[RootChanges, ...]:
    """All turns together, per path: before the first that touched it, after the last.

    A turn that is running, or was cut off, counts with the files as they are now.
    """
    history: History = store.history(thread)
    found = []
    for root in roots_of_turns(history.done):
        first: dict[str, Change] = {}
        left: dict[str, str] = {}
        for turn in history.done:
            span = _span(store, root, turn)
            if span is None:
                continue
            for path, old, new in changed(*span, left):
                earlier = first.get(path)
                first[path] = (path, old if earlier is None else earlier[1], new)
        rows = tuple(row for _, row in sorted(first.items()) if row[1] != row[2])
        found.append(RootChanges(root, rows, tuple(sorted(left.items()))))
    return tuple(found)


def _span(store: Checkpoints, root: str, turn: TurnStates) -> Span | None:
    before = trees_of(turn.before).get(root)
    if before is None:
        return None
    if turn.after is None:
        with store.shared():
            return store.tree(before), store.state(root).snapshot.tree
    after = trees_of(turn.after).get(root)
    return None if after is None else (store.tree(before), store.tree(after))


def roots_of_turns(turns: list[TurnStates]) -> tuple[str, ...]:
    """Every folder that some turn worked in."""
    return tuple(dict.fromkeys(path for turn in turns for path in trees_of(turn.before)))


def trees_of(states: States) -> dict[str, bytes]:
    """Folder to digest of its tree."""
    return {os.fsdecode(one.path): one.tree for one in states}
