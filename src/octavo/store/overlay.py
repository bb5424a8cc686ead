"""Changes of a thread kept apart from the workspace: where they lie, and how one reads them.

`overlays/THREAD/` in Octavo's home holds `upper` (what changed, in the form of Linux's overlayfs),
`work` (the kernel's own) and `overlay.json`. What a path comes to is found upper layer first.
"""

# ruff: noqa: PTH101, PTH108, PTH114, PTH116, PTH118, PTH123, PTH208
# (names that are no text, and layers of several hundred thousand files)

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, encode

from octavo.policy.paths import printable
from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.ids import ThreadId
from octavo.store.errors import StoreError
from octavo.store.layout import OVERLAYS, is_thread_id

LINUX: bool = sys.platform == "linux"
RECORD: Final = "overlay.json"
OPAQUE: Final = "user.overlay.opaque"
WHITEOUT: Final = "user.overlay.whiteout"
ORIGIN: Final = "user.overlay.origin"
PROBE: Final = "user.overlay.probe"
MOST_LINKS: Final = 40
RULE: Final = "--overlay"
REMEDY: Final = "work without --overlay, or "
MOUNT_POINT: Final = 4
"""The field of a line of mountinfo."""


class Overlay(Struct, frozen=True, kw_only=True):
    """The changes of one thread."""

    thread: ThreadId
    root: bytes
    """The folder they belong to."""
    began_ns: int
    """What changed in that folder later was changed by somebody else."""
    folder: bytes = b""

    @property
    def workspace(self) -> str:
        """The folder they belong to."""
        return os.fsdecode(self.root)

    @property
    def upper(self) -> str:
        """Where what changed lies."""
        return os.path.join(os.fsdecode(self.folder), "upper")

    @property
    def layers(self) -> tuple[str, str, str]:
        """Folder, upper and work, as the sandbox takes them."""
        return self.workspace, self.upper, os.path.join(os.fsdecode(self.folder), "work")

    @property
    def empty(self) -> bool:
        """Nothing was changed."""
        return not os.listdir(self.upper)


_DECODER: Final = Decoder(Overlay)


def find(home: str, thread: ThreadId) -> Overlay | None:
    """The changes of a thread that were neither kept nor dropped. Raises StoreError."""
    if not is_thread_id(thread):
        return None
    path = Path(home, OVERLAYS, thread, RECORD)
    try:
        return _DECODER.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, DecodeError, ValidationError) as wrong:
        raise StoreError(f"{printable(str(path))}: cannot be read: {wrong}") from wrong


def begin(home: str, thread: ThreadId, root: str, *, mounts: str | None = None) -> Overlay:
    """The overlay of a thread over a folder: the one that is there, or a new one.

    `mounts` is the text of mountinfo; None: this machine's. Raises SandboxUnavailable where none
    can be, StoreError when a record cannot be read.
    """
    if not LINUX:
        raise refused("only Linux has a file system for it", "")
    home = os.path.realpath(home)
    there = find(home, thread)
    if there is not None and there.workspace != root:
        raise refused(
            f"this thread has an overlay of {printable(there.workspace)} already",
            f"`octavo keep {thread}` or `octavo drop {thread}` ends it",
        )
    if f"{home}/".startswith(f"{root.rstrip('/')}/"):
        raise refused(f"Octavo's home {printable(home)} lies inside the workspace", "move one")
    inside = mounted_below(root, mounts)
    if inside:
        raise refused(
            f"something is mounted inside the workspace, and would be missing: {printable(inside)}",
            "unmount it",
        )
    return there or _new(home, thread, root)


def _new(home: str, thread: ThreadId, root: str) -> Overlay:
    folder = Path(home, OVERLAYS, thread)
    try:
        for name in ("upper", "work"):
            Path(folder, name).mkdir(mode=0o700, parents=True, exist_ok=True)
        upper = Path(folder, "upper")
        upper.chmod(stat.S_IMODE(os.stat(root).st_mode))
        _has_attributes(str(upper))
        made = Overlay(
            thread=thread,
            root=os.fsencode(root),
            began_ns=upper.stat().st_ctime_ns,
            folder=os.fsencode(folder),
        )
        Path(folder, RECORD).write_bytes(encode(made))
    except OSError as wrong:
        shutil.rmtree(folder, ignore_errors=True)
        reason = wrong.strerror or str(wrong)
        raise refused(f"{printable(str(folder))}: {reason}", "set OCTAVO_HOME elsewhere") from wrong
    except SandboxUnavailable:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return made


def _has_attributes(upper: str) -> None:
    """What is removed is written down in attributes: without them changes would be lost."""
    if sys.platform == "linux":
        try:
            os.setxattr(upper, PROBE, b"y")
            os.removexattr(upper, PROBE)
        except OSError as wrong:
            raise refused(
                f"the disk of {printable(upper)} keeps no attributes ({wrong.strerror})",
                "set OCTAVO_HOME to a folder on another disk (ext4, xfs, btrfs)",
            ) from wrong


def refused(reason: str, remedy: str) -> SandboxUnavailable:
    """Nothing runs, rather than without what was asked for."""
    hint = (REMEDY + remedy) if remedy else "work without --overlay"
    return SandboxUnavailable(f"{RULE}: {reason}", hint=hint)


def mounted_below(root: str, text: str | None) -> str:
    """A mount point inside a folder, or ""."""
    if text is None:
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except OSError:
            return ""
    inside = root.rstrip("/") + "/"
    points = (line.split(" ")[MOUNT_POINT] for line in text.splitlines() if line.count(" ") > 5)
    plain = (_unescaped(point) for point in points)
    return next((point for point in plain if point.startswith(inside)), "")


def _unescaped(text: str) -> str:
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text


def drop(overlay: Overlay) -> None:
    """Remove the changes. Raises StoreError."""
    folder = os.fsdecode(overlay.folder)
    # without its record it is no overlay any more: what cannot be removed is only waste
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, RECORD))
    try:
        remove_tree(folder)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise StoreError(f"{printable(folder)}: cannot be removed: {reason}") from wrong


def remove_tree(folder: str) -> None:
    """A folder with everything in it, also what its owner may not read. No link is followed."""
    for path, names, _ in os.walk(folder):
        os.chmod(path, 0o700)
        for name in names:
            inside = os.path.join(path, name)
            if not os.path.islink(inside):
                os.chmod(inside, 0o700)
    shutil.rmtree(folder)


# ---- what a path comes to -------------------------------------------------------------------

Located = tuple[str, "str | None"]
"""The path commands see, without symlinks; where its bytes are here, None for nowhere."""


def kind_of(path: str) -> str:
    """folder, link, gone (removed in this layer), missing, or file for all the rest."""
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    return kind_of_state(path, state)


def kind_of_state(path: str, state: os.stat_result) -> str:
    """The same, of something that was looked at."""
    if stat.S_ISDIR(state.st_mode):
        return "folder"
    if stat.S_ISLNK(state.st_mode):
        return "link"
    if stat.S_ISCHR(state.st_mode) and getattr(state, "st_rdev", 1) == 0:
        return "gone"
    empty = stat.S_ISREG(state.st_mode) and state.st_size == 0
    return "gone" if empty and attribute(path, WHITEOUT) is not None else "file"


def is_opaque(path: str) -> bool:
    """Whether a folder of the upper layer hides what the layer below has there."""
    return attribute(path, OPAQUE) == b"y"


def attribute(path: str, name: str) -> bytes | None:
    """An extended attribute, or None."""
    if sys.platform == "linux":
        try:
            return os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            return None
    else:
        return None


class Layers:
    """Finds files as commands in an overlay see them. Asks the disk through three functions."""

    def __init__(
        self,
        root: str,
        upper: str,
        *,
        kind: Callable[[str], str] = kind_of,
        opaque: Callable[[str], bool] = is_opaque,
        target: Callable[[str], str] = os.readlink,
    ) -> None:
        self._root = root.rstrip("/")
        self._upper = upper
        self._kind = kind
        self._opaque = opaque
        self._target = target

    def __call__(self, path: str) -> Located:
        """Where a path leads, symlinks followed. Raises OSError for a circle of them."""
        todo, view, links = path.split("/"), "", 0
        while todo:
            name = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                view = view.rpartition("/")[0]
                continue
            here = f"{view}/{name}"
            host = self.host(here)
            if host is not None and self._kind(host) == "link":
                links += 1
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = self._target(host)
                view = "" if target.startswith("/") else view
                todo = [*target.split("/"), *todo]
                continue
            view = here
        return view or "/", self.host(view or "/")

    def host(self, path: str) -> str | None:
        """Where the thing at a path lies, its folders being no links; None when it is removed."""
        if path != self._root and not path.startswith(self._root + "/"):
            return path
        upper: str | None = self._upper
        lower: str | None = self._root
        rest = path[len(self._root) :].split("/")[1:]
        for name in rest:
            upper, lower = self._below(upper, lower, name)
            if upper is None and lower is None:
                return None
        return upper or lower

    def _below(
        self, upper: str | None, lower: str | None, name: str
    ) -> tuple[str | None, str | None]:
        """One step down in both layers."""
        below = None if lower is None else f"{lower}/{name}"
        if below is not None and self._kind(below) == "missing":
            below = None
        if upper is None:
            return None, below
        above = f"{upper}/{name}"
        match self._kind(above):
            case "missing":
                return None, below
            case "gone":
                return None, None
            case "folder" if below is not None and self._kind(below) == "folder":
                return above, None if self._opaque(above) else below
            case _:
                return above, None


# ---- what changed ---------------------------------------------------------------------------


class Layered(Struct, frozen=True):
    """One thing in the upper layer."""

    path: str
    """Below the folder, with `/`."""
    kind: str
    """file, folder, link, gone or special."""
    opaque: bool = False


def layered(upper: str) -> Iterator[Layered]:
    """Everything in an upper layer, folders before what they hold. Raises OSError."""
    todo = [""]
    while todo:
        folder = todo.pop()
        below = []
        with os.scandir(os.path.join(upper, folder)) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                state = entry.stat(follow_symlinks=False)
                kind = kind_of_state(entry.path, state)
                if kind == "file" and not stat.S_ISREG(state.st_mode):
                    kind = "special"
                if kind == "folder":
                    below.append(path)
                yield Layered(path, kind, kind == "folder" and is_opaque(entry.path))
        todo += reversed(below)
