"""Brings the changes of an overlay into the workspace, with a checkpoint around them.

Theory of operation. First every change is compared with the workspace: what was changed there
since the overlay began is a conflict, and stops everything. Then the state before is noted as that
of a turn, so that a process that dies on the way leaves something `octavo undo` can take back.
Each file comes whole, beside its place and then over it; no symlink of the workspace is followed.
Keeping again after a cut is harmless: what is there already is no conflict.
"""

# ruff: noqa: PTH115, PTH116, PTH118, PTH123
# (names that are no text)

import os
import stat
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from octavo.policy.paths import printable
from octavo.protocol.ids import TurnId
from octavo.store.apply import apply
from octavo.store.checkpoints import After, Before, Checkpoints, Idle, RootTree, States
from octavo.store.errors import StoreError
from octavo.store.overlay import ORIGIN, Layered, Overlay, attribute, drop, layered
from octavo.store.restore import steps
from octavo.store.under import Under

CHUNK_BYTES: Final = 1 << 20
BESIDE: Final = ".octavo-keep-"
MOST_NAMED: Final = 5


class KeepConflict(StoreError):  # noqa: N818 - says what is
    """The workspace changed meanwhile; `paths` are what both sides changed."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        named = ", ".join(printable(path) for path in paths[:MOST_NAMED])
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        super().__init__(
            f"changed in the workspace since the overlay began: {named}{more}; nothing was kept",
            hint="--force puts the overlay's state there; `octavo undo` brings today's files back",
        )
        self.paths = paths


class Keeping(Struct, frozen=True):
    """What keeping an overlay comes to."""

    changes: tuple[tuple[str, str], ...]
    """Sign (+ comes, ~ changes, - goes) and path."""
    conflicts: tuple[str, ...]
    left: tuple[str, ...]
    """Named pipes, sockets and devices: they stay behind."""


def planned(overlay: Overlay) -> Keeping:
    """What would happen. Raises StoreError when one of the layers cannot be read."""
    try:
        with Under(overlay.workspace) as under:
            return _Comparing(overlay, under).work()
    except OSError as wrong:
        raise _failed(overlay, wrong) from wrong


def keep(
    store: Checkpoints | None, overlay: Overlay, *, turn: TurnId, force: bool = False
) -> Keeping:
    """Do it, and remove the overlay. Without a store it cannot be undone.

    The caller holds the thread's lock. Raises KeepConflict (nothing was changed), StoreError (what
    was changed has been taken back, or is said).
    """
    if store is None:
        return _all(overlay, force=force)
    root = overlay.workspace
    with store.root_gate(root, alone=True) as gate:
        if not gate.held:
            raise StoreError(f"a turn is running in {printable(root)}", hint="wait, or stop it")
        found = _checked(overlay, force=force)
        with store.shared():
            before = store.state(root)
            store.note(
                overlay.thread,
                Before(turn=turn, at_ms=store.now_ms, roots=_states(root, before.tree)),
            )
        try:
            _carry_out(overlay)
        except StoreError as wrong:
            _take_back(store, overlay, turn, before.tree, wrong)
            raise
        with store.shared():
            after = _states(root, store.state(root).tree)
            store.note(overlay.thread, After(turn=turn, at_ms=store.now_ms, roots=after))
        store.trim()
    drop(overlay)
    return found


def _all(overlay: Overlay, *, force: bool) -> Keeping:
    found = _checked(overlay, force=force)
    _carry_out(overlay)
    drop(overlay)
    return found


def _checked(overlay: Overlay, *, force: bool) -> Keeping:
    found = planned(overlay)
    if found.conflicts and not force:
        raise KeepConflict(found.conflicts)
    return found


def _states(root: str, tree: bytes) -> States:
    return (RootTree(path=os.fsencode(root), tree=tree),)


def _take_back(
    store: Checkpoints, overlay: Overlay, turn: TurnId, tree: bytes, wrong: StoreError
) -> None:
    try:
        with store.shared():
            now, before = store.state(overlay.workspace), store.tree(tree)
            way = steps(now.snapshot.tree, before)
            apply(
                overlay.workspace,
                way,
                objects=store.objects,
                now=now.snapshot.tree,
                states=now.snapshot.states,
                temporary=BESIDE,
            )
        store.note(overlay.thread, Idle(turn=turn, at_ms=store.now_ms))
    except (StoreError, ValueError):
        raise StoreError(
            f"{wrong}; and what was done before that could not be taken back",
            hint=f"`octavo undo {overlay.thread}` tries, `octavo keep` goes on; nothing is lost",
        ) from wrong


def _failed(overlay: Overlay, wrong: OSError) -> StoreError:
    path = printable(str(wrong.filename or overlay.workspace))
    return StoreError(f"{path}: {wrong.strerror or wrong}; the overlay stays as it is")


# ---- comparing ------------------------------------------------------------------------------


class _Comparing:
    def __init__(self, overlay: Overlay, under: Under) -> None:
        self.overlay = overlay
        self.under = under
        self.changes: list[tuple[str, str]] = []
        self.conflicts: dict[str, None] = {}
        self.left: list[str] = []

    def work(self) -> Keeping:
        for one in layered(self.overlay.upper):
            if one.kind == "special":
                self.left.append(one.path)
            else:
                self.look(one, state_of(self.under, one.path))
        return Keeping(tuple(self.changes), tuple(sorted(self.conflicts)), tuple(self.left))

    def look(self, one: Layered, there: os.stat_result | None) -> None:
        """One thing of the upper layer, and what the workspace has there."""
        here = os.lstat(os.path.join(self.overlay.upper, one.path))
        if one.kind == "gone":
            if there is not None:
                self.changes.append(("-", one.path))
                self.goes(one.path, there)
        elif there is None:
            self.changes.append(("+", one.path + "/" * (one.kind == "folder")))
            if self.removed_meanwhile(one):
                self.conflicts[one.path] = None
        elif one.kind == "folder" and stat.S_ISDIR(there.st_mode):
            if one.opaque:
                self.hidden(one.path)
            if stat.S_IMODE(here.st_mode) != stat.S_IMODE(there.st_mode):
                self.changes.append(("~", one.path + "/"))
        elif not self.same(one, here, there):
            self.changes.append(("~", one.path))
            self.goes(one.path, there)

    def goes(self, path: str, there: os.stat_result) -> None:
        """Something of the workspace is removed or replaced."""
        for inside, state in everything(self.under, path, there):
            if state.st_ctime_ns > self.overlay.began_ns and not (
                stat.S_ISDIR(state.st_mode) and inside != path
            ):
                self.conflicts[inside] = None

    def hidden(self, folder: str) -> None:
        """A folder that was made anew: what the workspace has in it goes, unless it comes again."""
        for name, state in sorted(self.under.names(folder)):
            path = f"{folder}/{name}"
            if not os.path.lexists(os.path.join(self.overlay.upper, path)):
                self.changes.append(("-", path))
                self.goes(path, state)

    def removed_meanwhile(self, one: Layered) -> bool:
        """Was there something in the workspace when the overlay began, and is no more?"""
        folder = one.path.rpartition("/")[0]
        around = state_of(self.under, folder) if folder else os.stat(self.overlay.workspace)
        if around is None or around.st_mtime_ns <= self.overlay.began_ns:
            return False
        return attribute(os.path.join(self.overlay.upper, one.path), ORIGIN) is not None

    def same(self, one: Layered, here: os.stat_result, there: os.stat_result) -> bool:
        """Is it there already?"""
        if stat.S_IFMT(here.st_mode) != stat.S_IFMT(there.st_mode):
            return False
        source = os.path.join(self.overlay.upper, one.path)
        if one.kind == "link":
            return os.fsencode(os.readlink(source)) == self.under.target(one.path)
        if (here.st_size, here.st_mode) != (there.st_size, there.st_mode):
            return False
        with open(source, "rb") as ours, self.under.opened(one.path) as theirs:
            while block := ours.read(CHUNK_BYTES):
                if read_full(theirs, len(block)) != block:
                    return False
        return True


def read_full(descriptor: int, size: int) -> bytes:
    """So many bytes, or what is left."""
    parts = b""
    while len(parts) < size and (part := os.read(descriptor, size - len(parts))):
        parts += part
    return parts


def state_of(under: Under, path: str) -> os.stat_result | None:
    """Of something in the workspace; None when there is nothing."""
    try:
        return under.state(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def everything(
    under: Under, path: str, state: os.stat_result
) -> Iterator[tuple[str, os.stat_result]]:
    """A path and all that is below it, the folders first."""
    yield path, state
    if stat.S_ISDIR(state.st_mode):
        for name, inside in sorted(under.names(path)):
            yield from everything(under, f"{path}/{name}", inside)


# ---- doing it -------------------------------------------------------------------------------


def _carry_out(overlay: Overlay) -> None:
    try:
        with Under(overlay.workspace) as under:
            hands = _Hands(overlay, under)
            for one in layered(overlay.upper):
                hands.do(one)
            hands.finish()
    except OSError as wrong:
        raise _failed(overlay, wrong) from wrong


class _Hands:
    def __init__(self, overlay: Overlay, under: Under) -> None:
        self.overlay = overlay
        self.under = under
        self.modes: list[tuple[str, int]] = []

    def do(self, one: Layered) -> None:
        """One thing comes, or goes. Raises OSError."""
        there = state_of(self.under, one.path)
        here = os.lstat(os.path.join(self.overlay.upper, one.path))
        if one.kind == "gone":
            self.clear(one.path, there)
        elif one.kind == "folder":
            self.folder(one, here, there)
        elif one.kind in ("file", "link"):
            if there is not None and stat.S_ISDIR(there.st_mode):
                self.clear(one.path, there)
            self.replace(one, here)

    def folder(self, one: Layered, here: os.stat_result, there: os.stat_result | None) -> None:
        mode = stat.S_IMODE(here.st_mode)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            self.clear(one.path, there)
            there = None
        if there is None:
            self.under.make_folder(one.path)
        elif one.opaque:
            for name, state in sorted(self.under.names(one.path)):
                path = f"{one.path}/{name}"
                if not os.path.lexists(os.path.join(self.overlay.upper, path)):
                    self.clear(path, state)
        if there is None or stat.S_IMODE(there.st_mode) != mode:
            self.under.set_mode(one.path, mode | 0o700, folder=True)
            self.modes.append((one.path, mode))

    def finish(self) -> None:
        """The modes of folders, innermost first: nothing is changed in them any more."""
        for path, mode in reversed(self.modes):
            self.under.set_mode(path, mode, folder=True)

    def clear(self, path: str, there: os.stat_result | None) -> None:
        """Away with something of the workspace, and all that is below it."""
        if there is None:
            return
        if not stat.S_ISDIR(there.st_mode):
            self.under.remove(path)
            return
        if stat.S_IMODE(there.st_mode) & 0o700 != 0o700:
            self.under.set_mode(path, 0o700, folder=True)
        for name, state in sorted(self.under.names(path)):
            self.clear(f"{path}/{name}", state)
        self.under.remove_folder(path)

    def replace(self, one: Layered, here: os.stat_result) -> None:
        folder, cut, _ = one.path.rpartition("/")
        other = f"{folder}{cut}{BESIDE}{os.getpid()}"
        source = os.path.join(self.overlay.upper, one.path)
        try:
            if one.kind == "link":
                self.under.link(other, os.fsencode(os.readlink(source)))
            else:
                self.copy(source, other, here)
            self.under.move(other, one.path)
        except BaseException:
            if state_of(self.under, other) is not None:
                self.under.remove(other)
            raise

    def copy(self, source: str, other: str, here: os.stat_result) -> None:
        """A file with its bytes, its mode and its time."""
        descriptor = self.under.create(other)
        try:
            with open(source, "rb", opener=unfollowed) as file:
                while block := file.read(CHUNK_BYTES):
                    view = memoryview(block)
                    while view:
                        view = view[os.write(descriptor, view) :]
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, stat.S_IMODE(here.st_mode))
            if os.utime in os.supports_fd:
                os.utime(descriptor, ns=(here.st_atime_ns, here.st_mtime_ns))
        finally:
            os.close(descriptor)


def unfollowed(path: str, flags: int) -> int:
    """Opens no link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
