"""The state of a folder's files, taken fast: what did not change since last time is not read again.

Theory of operation. First everything is looked at (names and states, no contents); then it is
known whether it fits the limits. Then contents are read, in the order of the paths, but only of
files whose size, times or inode differ from the last time. A file that was changed less than two
seconds before it was read is read again next time: a change within one tick of the disk's clock
could leave all of them as they were.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

from octavo.policy.paths import printable
from octavo.store.errors import StoreError
from octavo.store.leftout import IGNORES, MANY, MARKS, NAMES, Rule, ignored, rules_of
from octavo.store.objects import Objects
from octavo.store.tree import Entry, Kind, Tree, is_git
from octavo.store.under import DEEPEST, Found, Under

MOST_ENTRIES: Final = 200_000
"""A workspace with more is somebody's home folder, or a whole disk."""
FRESH_NS: Final = 2_000_000_000
TRIES: Final = 3
"""For a file that is being written while it is read."""
MOST_IGNORES_BYTES: Final = 1 << 18
EVERY: Final = 64
"""Files between two looks whether to stop."""
GONE: Final = (FileNotFoundError, NotADirectoryError)
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

Around = tuple[tuple[str, tuple[Rule, ...]], ...]
"""The `.gitignore`s around a folder, outermost first."""


class Limits(Struct, frozen=True, kw_only=True):
    """How much may be kept."""

    max_bytes: int = 1 << 30
    """All checkpoints together, and one of them."""
    max_file_bytes: int = 32 << 20
    """A larger file is named, and not kept."""
    max_entries: int = MOST_ENTRIES
    many: int = MANY
    """A folder that a tool made is left out from so many things on."""


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """A file as it was when its content was read."""

    size: int
    modified: int
    changed: int
    inode: int
    content: bytes


class Stopped(StoreError):  # noqa: N818 - says what is
    """Somebody had no time to wait."""


class Snapshot(Struct, frozen=True):
    """A folder's state, and what is needed to see whether a file changed since."""

    tree: Tree
    states: dict[str, Seen]
    read_bytes: int
    """Of contents that had to be read."""


def _name(found: Found) -> str:
    return found[0]


def same_file(seen: Seen, state: os.stat_result) -> bool:
    """Whether nothing about a file moved."""
    return (
        seen.size == state.st_size
        and seen.modified == state.st_mtime_ns
        and seen.changed == state.st_ctime_ns
        and seen.inode == state.st_ino
    )


def seen_of(state: os.stat_result, content: bytes) -> Seen:
    """A file's state with its content."""
    return Seen(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, content)


class Taker:
    """Takes one snapshot of one folder."""

    def __init__(
        self,
        root: str,
        objects: Objects,
        *,
        limits: Limits,
        cache: dict[str, Seen],
        now_ns: Callable[[], int],
        skip: tuple[int, int] | None = None,
        stopped: Callable[[], bool] = bool,
    ) -> None:
        """`cache` is what the last one saw; `skip` the device and inode of a folder that is ours;
        `stopped` says that nobody waits any more."""
        self._root = root
        self._objects = objects
        self._limits = limits
        self._cache = cache
        self._now_ns = now_ns
        self._skip = skip
        self._stopped = stopped
        self._tree: Tree = {}
        self._files: list[tuple[str, os.stat_result]] = []
        self._looked = 0

    def take(self) -> Snapshot:
        """Raises StoreError: nothing that fits the limits, a full disk, Stopped."""
        try:
            with Under(self._root) as under:
                self._look(under)
                self._check()
                return self._read(under)
        except OSError as wrong:
            where = wrong.filename if isinstance(wrong.filename, str) else self._root
            reason = wrong.strerror or str(wrong)
            raise StoreError(f"{printable(where)}: {reason}") from wrong

    # ---- looking --------------------------------------------------------------------------

    def _look(self, under: Under) -> None:
        """Everything, without contents."""
        waiting: list[tuple[str, Around]] = [("", ())]
        while waiting:
            place, around = waiting.pop()
            found = self._listed(under, place, around)
            if any(name == IGNORES for name, _ in found):
                around = (*around, (place, self._ignores(under, place)))
            for name, state in found:
                path = f"{place}/{name}" if place else name
                if self._add(under, path, name, state):
                    waiting.append((path, around))

    def _listed(self, under: Under, place: str, around: Around) -> list[Found]:
        """What lies in a folder; nothing where nobody is to look or can look."""
        try:
            found = sorted(under.names(place), key=_name)
        except PermissionError:
            if not place:
                raise
            self._tree[place] = Entry("unread")
            return []
        except GONE:
            if not place:
                raise
            del self._tree[place]  # it went away meanwhile, or is no folder any more
            return []
        if place and self._made(place, found, around) and self._many(under, place):
            self._tree[place] = Entry("left")
            return []
        return found

    def _add(self, under: Under, path: str, name: str, state: os.stat_result) -> bool:
        """Note one thing; True for a folder to look into."""
        self._tick()
        if is_git(name):
            self._tree[path] = Entry("git")
        elif stat.S_ISREG(state.st_mode):
            self._files.append((path, state))
        elif stat.S_ISLNK(state.st_mode):
            try:
                self._tree[path] = Entry("link", 0, under.target(path))
            except OSError:  # replaced meanwhile: whatever it is now, it is not ours to judge
                self._tree[path] = Entry("unread")
        elif not stat.S_ISDIR(state.st_mode):
            self._tree[path] = Entry("special")
        elif (state.st_dev, state.st_ino) == self._skip or path.count("/") + 1 >= DEEPEST:
            self._tree[path] = Entry("left")
        else:
            self._tree[path] = Entry("folder", stat.S_IMODE(state.st_mode))
            return True
        return False

    @staticmethod
    def _made(path: str, found: list[Found], around: Around) -> bool:
        """Whether a tool made this folder."""
        name = path.rpartition("/")[2]
        marked = any(one in MARKS for one, _ in found)
        return marked or name in NAMES or ignored(path, around)

    def _many(self, under: Under, path: str) -> bool:
        count = 0
        waiting = [path]
        while waiting:
            place = waiting.pop()
            try:
                for name, state in under.names(place):
                    count += 1
                    if count > self._limits.many:
                        return True
                    if stat.S_ISDIR(state.st_mode) and not is_git(name):
                        waiting.append(f"{place}/{name}")
            except OSError:
                continue
        return False

    @staticmethod
    def _ignores(under: Under, folder: str) -> tuple[Rule, ...]:
        try:
            with under.opened(f"{folder}/{IGNORES}" if folder else IGNORES) as file:
                text = os.read(file, MOST_IGNORES_BYTES)
        except OSError:
            return ()
        return rules_of(text.decode("utf-8", "surrogateescape"))

    def _check(self) -> None:
        """Does it fit at all?"""
        entries = len(self._tree) + len(self._files)
        if entries > self._limits.max_entries:
            raise self._too_many()
        most = self._limits.max_file_bytes
        total = sum(state.st_size for _, state in self._files if state.st_size <= most)
        if total > self._limits.max_bytes:
            raise StoreError(
                f"{printable(self._root)}: its files are {total >> 20} MiB, more than checkpoints "
                f"may be ({self._limits.max_bytes >> 20} MiB)",
                hint="raise undo.max_bytes, or work in a smaller folder",
            )

    def _too_many(self) -> StoreError:
        return StoreError(
            f"{printable(self._root)}: more than {self._limits.max_entries} files lie in it",
            hint="work in a smaller folder",
        )

    # ---- reading --------------------------------------------------------------------------

    def _read(self, under: Under) -> Snapshot:
        known = self._objects.known()
        states: dict[str, Seen] = {}
        read_bytes = 0
        for path, state in self._files:
            self._tick()
            mode = stat.S_IMODE(state.st_mode)
            before = self._cache.get(path)
            if before is not None and same_file(before, state) and before.content in known:
                self._tree[path] = Entry("file", mode, before.content, state.st_size)
                states[path] = before
                continue
            seen = self._kept(under, path, state, known)
            read_bytes += state.st_size if seen is not None else 0
            if seen is not None:
                self._tree[path] = Entry("file", mode, seen.content, seen.size)
                states[path] = seen
        return Snapshot(self._tree, states, read_bytes)

    def _kept(
        self, under: Under, path: str, state: os.stat_result, known: set[bytes]
    ) -> Seen | None:
        """Read a file; None when it is not kept, and noted as such."""
        most = self._limits.max_file_bytes
        for _ in range(TRIES):
            if state.st_size > most:
                break
            try:
                with under.opened(path) as file:
                    before = os.fstat(file)
                    kept = self._objects.put_file(file, known, most)
                    state = os.fstat(file)
            except FileNotFoundError:
                return None  # it went away meanwhile: it is not there
            except OSError as wrong:
                if wrong.errno in FULL:
                    raise
                break
            if kept is not None and same_file(seen_of(before, b""), state):
                return seen_of(state, kept[0])
        kind: Kind = "large" if state.st_size > most else "unread"
        mode = stat.S_IMODE(state.st_mode)
        self._tree[path] = Entry(kind, mode, b"", state.st_size, state.st_mtime_ns)
        return None

    def _tick(self) -> None:
        self._looked += 1
        if self._looked > 2 * self._limits.max_entries:
            raise self._too_many()
        if self._looked % EVERY == 0 and self._stopped():
            raise Stopped("the checkpoint took too long")


# ---- what the last one saw ----------------------------------------------------------------


class _Cache(Struct, frozen=True, array_like=True):
    root: bytes
    rows: list[tuple[bytes, Seen]]


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(_Cache)


def cache_path(folder: str, root: str) -> str:
    """Where the states of a root's files are kept."""
    return str(Path(folder, hashlib.sha256(os.fsencode(root)).hexdigest()[:32]))


def read_cache(path: str, root: str) -> dict[str, Seen]:
    """What the last snapshot saw; nothing when that cannot be read: then all is read again."""
    try:
        kept = _DECODER.decode(Path(path).read_bytes())
    except (OSError, DecodeError, UnicodeDecodeError):
        return {}
    if kept.root != os.fsencode(root):
        return {}
    return {os.fsdecode(name): seen for name, seen in kept.rows}


def write_cache(path: str, root: str, states: dict[str, Seen], now_ns: int) -> None:
    """For the next one; files changed just now are left out. Raises OSError."""
    sure = now_ns - FRESH_NS
    rows = [
        (os.fsencode(name), seen)
        for name, seen in states.items()
        if seen.modified < sure and seen.changed < sure
    ]
    data = _ENCODER.encode(_Cache(os.fsencode(root), rows))
    there = Path(path)
    there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = there.with_name(f".{there.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(there)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
