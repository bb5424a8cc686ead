"""Which steps lead from the files as they are to the files as they are wanted. Pure.

`undone` says what is wanted when some spans of work are taken back, and what stands in the way;
`steps` says how to get there: things go, deepest first; folders come, outermost first; contents
are replaced whole; modes of folders last. What cannot be kept is never touched.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from octavo.store.tree import REASONS, Entry, Tree, changed, depth, parents

USUAL: Final = Entry("folder", 0o755)
"""A folder nobody remembers the mode of."""
OPEN: Final = 0o700
"""What its owner needs to change something in a folder."""


class StepBase(Struct, frozen=True, tag_field="do"):
    """One change to one path."""

    path: str


class Remove(StepBase, frozen=True, tag="remove"):
    """A file or a link goes."""


class RemoveFolder(StepBase, frozen=True, tag="remove_folder"):
    """An empty folder goes."""


class MakeFolder(StepBase, frozen=True, tag="make_folder"):
    """A folder comes, for its owner only until `Mode`."""


class Write(StepBase, frozen=True, tag="write"):
    """A file with this content and mode takes the place of what is there."""

    content: bytes
    mode: int


class Link(StepBase, frozen=True, tag="link"):
    """A symlink takes the place of what is there."""

    target: bytes


class Mode(StepBase, frozen=True, tag="mode"):
    """Permission bits of what is there."""

    mode: int
    folder: bool


Step = Remove | RemoveFolder | MakeFolder | Write | Link | Mode
Steps = tuple[Step, ...]
Span = tuple[Tree, Tree]
"""Files before some work, and after it."""


class Wanted(Struct, frozen=True):
    """What undoing comes to."""

    tree: Tree
    conflicts: tuple[str, ...]
    """Paths that are not as the work left them any more; in `tree` they are as they were before
    it, so whoever goes on with these loses what they are now."""
    left: tuple[tuple[str, str], ...]
    """Paths the work changed that stay as they are, each with the reason."""


def undone(now: Tree, spans: Iterable[Span]) -> Wanted:
    """The files without some spans of work, the newest span first."""
    work = _Undoing(now)
    for before, after in spans:
        work.take_back(before, after)
    work.settle()
    conflicts = {path for path in work.conflicts if now.get(path) != work.tree.get(path)}
    return Wanted(
        {path: work.tree[path] for path in sorted(work.tree)},
        tuple(sorted(conflicts)),
        tuple(sorted(work.left.items())),
    )


class _Undoing:
    def __init__(self, now: Tree) -> None:
        self.now = now
        self.tree = dict(now)
        self.conflicts: set[str] = set()
        self.left: dict[str, str] = {}
        self.touched: set[str] = set()
        self.folders: dict[str, Entry] = {}

    def take_back(self, before: Tree, after: Tree) -> None:
        """One span."""
        for path, entry in before.items():
            if entry.kind == "folder":
                self.folders[path] = entry
        for path, old, new in changed(before, after, self.left):
            there = self.tree.get(path)
            if there is not None and there.opaque:
                self.left[path] = REASONS[there.kind]
                continue
            if there not in (old, new):
                self.conflicts.add(path)
            self.touched.add(path)
            self.restore(path, old)

    def settle(self) -> None:
        """Everything has to lie in a folder."""
        for path in sorted(self.tree, key=depth):
            if path in self.tree:
                self._house(path)

    def _house(self, path: str) -> None:
        """See to the folders around a path, outermost first."""
        for folder in reversed(tuple(parents(path))):
            there = self.tree.get(folder)
            if there is not None and there.kind == "folder":
                continue
            if there is None:
                self.restore(folder, self._remembered(folder))
            elif there.opaque:
                self._give_up(path, folder, there)
                return
            elif folder in self.touched and self._movable(folder):
                # something new lies in a folder that becomes a file again
                self.conflicts.add(path)
                self.restore(path, None)
                return
            elif folder in self.touched:
                self.left[folder] = "something in it cannot be kept"
                self.restore(folder, self._remembered(folder))
            else:
                # a file was put where the folder of something undone has to be
                self.conflicts.add(folder)
                self.restore(folder, self._remembered(folder))

    def _give_up(self, path: str, folder: str, there: Entry) -> None:
        self.left[folder] = REASONS[there.kind]
        self.restore(path, self.now.get(path))

    def _movable(self, folder: str) -> bool:
        """Whether everything that lies in it now can be kept, and so removed."""
        inside = folder + "/"
        return not any(e.opaque for path, e in self.now.items() if path.startswith(inside))

    def _remembered(self, folder: str) -> Entry:
        there = self.now.get(folder)
        if there is not None and there.kind == "folder":
            return there
        return self.folders.get(folder, USUAL)

    def restore(self, path: str, entry: Entry | None) -> None:
        """What is wanted at a path."""
        if entry is None:
            self.tree.pop(path, None)
        else:
            self.tree[path] = entry


def steps(now: Tree, wanted: Tree) -> Steps:
    """The way from one tree to the other. Raises ValueError when it would touch what is not kept."""
    pairs = [
        (path, now.get(path), wanted.get(path))
        for path in sorted({*now, *wanted})
        if now.get(path) != wanted.get(path)
    ]
    for path, old, new in pairs:
        if (old is not None and old.opaque) or (new is not None and new.opaque):
            raise ValueError(f"{path}: is not kept, so it cannot be changed")
    going = [(path, old) for path, old, new in pairs if old is not None and _goes(old, new)]
    coming = [(path, old, new) for path, old, new in pairs if new is not None]
    opened = _opened(now, wanted, [path for path, _, _ in pairs])
    made = [path for path, old, new in coming if new.kind == "folder" and _comes(old, new)]
    modes = {path: new.mode for path, _, new in coming if new.kind == "folder"}
    for path, _ in opened:
        entry = wanted.get(path)
        if entry is not None and entry.kind == "folder":
            modes[path] = entry.mode
    return (
        *(Mode(path, mode, folder=True) for path, mode in sorted(opened, key=_outer)),
        *(Remove(path) for path, old in going if old.kind != "folder"),
        *(
            RemoveFolder(path)
            for path, old in sorted(going, key=_outer, reverse=True)
            if old.kind == "folder"
        ),
        *(MakeFolder(path) for path in sorted(made, key=depth)),
        *_contents(coming),
        *(
            Mode(path, mode, folder=True)
            for path, mode in sorted(modes.items(), key=_outer, reverse=True)
        ),
    )


def _outer(row: tuple[str, object]) -> tuple[int, str]:
    return depth(row[0]), row[0]


def _goes(old: Entry, new: Entry | None) -> bool:
    """Whether a path has to be empty before what is wanted can be put there."""
    return new is None or (old.kind != new.kind and "folder" in (old.kind, new.kind))


def _comes(old: Entry | None, new: Entry) -> bool:
    return old is None or old.kind != new.kind


def _opened(now: Tree, wanted: Tree, paths: Sequence[str]) -> list[tuple[str, int]]:
    """Folders that stay, in which something changes, and whose owner may not change anything."""
    around = {path.rpartition("/")[0] for path in paths}
    around |= {path for path in paths if (e := now.get(path)) is not None and e.kind == "folder"}
    found = []
    for folder in around:
        entry = now.get(folder)
        if entry is not None and entry.kind == "folder" and entry.mode & OPEN != OPEN:
            kept = (there := wanted.get(folder)) is not None and there.kind == "folder"
            if kept or any(path.startswith(folder + "/") for path in paths):
                found.append((folder, entry.mode | OPEN))
    return found


def _contents(coming: Iterable[tuple[str, Entry | None, Entry]]) -> Iterable[Step]:
    for path, old, new in coming:
        if new.kind == "link":
            yield Link(path, new.content)
        elif new.kind == "file" and old is not None and old.kind == "file":
            same = old.content == new.content
            yield Mode(path, new.mode, folder=False) if same else Write(path, new.content, new.mode)
        elif new.kind == "file":
            yield Write(path, new.content, new.mode)


def between(path: str, there: Entry | None, start: Tree, end: Tree) -> bool:
    """Whether a path is as some step between two trees may have left it."""
    first, last = start.get(path), end.get(path)
    if there in (first, last):
        return True
    if there is None:  # it went, and what comes was not there yet
        return first is None or last is None or first.kind != last.kind
    return there.kind == "folder" and any(
        e is not None and e.kind == "folder" for e in (first, last)
    )


def recovered(now: Tree, start: Tree, end: Tree, *, temporary: str, keep: bool = False) -> Wanted:
    """What is wanted when steps from `start` to `end` were cut off in the middle.

    Files whose names begin with `temporary` are what a step left half-written. With `keep`, what
    is neither as it was nor as it would be stays as it is.
    """
    work = _Undoing(now)
    work.take_back(end, start)
    conflicts = {
        path for path, _, _ in changed(start, end) if not between(path, now.get(path), start, end)
    }
    for path in conflicts if keep else ():
        work.restore(path, now.get(path))
    work.settle()
    for path in now:
        if path.rpartition("/")[2].startswith(temporary):
            work.tree.pop(path, None)
    left = tuple(sorted(work.left.items()))
    return Wanted(work.tree, () if keep else tuple(sorted(conflicts)), left)
