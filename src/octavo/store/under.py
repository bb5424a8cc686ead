"""Files below one folder, reached step by step and never through a symlink.

Every name is looked up in the folder that was opened before it (`openat`, `O_NOFOLLOW`), so that
nothing outside can be read or written, whatever is moved or linked meanwhile. Where a system has
no such calls (Windows), each step is looked at first.
"""
# ruff: noqa: PTH101, PTH118
# (names relative to an open folder, and bytes that are no text)

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

DEEPEST: Final = 256
"""Folders inside each other; what lies deeper is not looked at."""
STEPWISE: Final = os.open in os.supports_dir_fd and os.scandir in os.supports_fd
_CLOSED: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK | _CLOSED
READ: Final = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | _CLOSED
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | _CLOSED
REPARSE: Final = 0x400
"""A Windows folder or file that leads elsewhere."""

Found = tuple[str, os.stat_result]
"""Name and state, symlinks not followed."""


class Under:
    """One folder and what is below it. Close it. Every method raises OSError."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._top = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOSED) if (
            STEPWISE
        ) else -1  # fmt: skip
        self._chain: list[tuple[str, int]] = []

    def close(self) -> None:
        """Let go of every open folder."""
        self._back_to(0)
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- looking --------------------------------------------------------------------------

    def names(self, folder: str) -> Iterator[Found]:
        """What lies in a folder (`""`: the root). What vanishes meanwhile is left out."""
        place = self._folder(folder)
        with os.scandir(place) as entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, state

    def state(self, path: str) -> os.stat_result:
        """Of a path itself, not of where it points."""
        name, at = self._at(path)
        return os.stat(name, dir_fd=at, follow_symlinks=False)

    def target(self, path: str) -> bytes:
        """Where a symlink points."""
        name, at = self._at(path)
        return os.fsencode(os.readlink(name, dir_fd=at))

    @contextmanager
    def opened(self, path: str) -> Iterator[int]:
        """A regular file, open for reading."""
        name, at = self._at(path)
        descriptor = os.open(name, READ, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            yield descriptor
        finally:
            os.close(descriptor)

    # ---- changing -------------------------------------------------------------------------

    def create(self, path: str) -> int:
        """A new file, open for writing; whoever asks closes it."""
        name, at = self._at(path)
        return os.open(name, NEW, 0o600, dir_fd=at)

    def link(self, path: str, target: bytes) -> None:
        """A new symlink."""
        name, at = self._at(path)
        os.symlink(os.fsdecode(target), name, dir_fd=at)

    def make_folder(self, path: str) -> None:
        """A new folder for its owner only."""
        name, at = self._at(path)
        os.mkdir(name, 0o700, dir_fd=at)

    def move(self, path: str, to: str) -> None:
        """Rename inside one folder; what is called `to` is replaced."""
        name, at = self._at(path)
        other, _ = self._at(to)
        os.replace(name, other, src_dir_fd=at, dst_dir_fd=at)

    def remove(self, path: str) -> None:
        """A file or a link."""
        name, at = self._at(path)
        os.unlink(name, dir_fd=at)

    def remove_folder(self, path: str) -> None:
        """An empty folder."""
        self._forget(path)
        name, at = self._at(path)
        os.rmdir(name, dir_fd=at)

    def set_mode(self, path: str, mode: int, *, folder: bool) -> None:
        """Permission bits of a file or a folder that is no link."""
        if folder:
            place = self._folder(path)
            os.chmod(place, mode)
            return
        name, at = self._at(path)
        if not STEPWISE:
            os.chmod(name, mode)
            return
        descriptor = os.open(name, _PATH | _NO_LINK | _CLOSED, dir_fd=at)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            _chmod(descriptor, name, at, mode)
        finally:
            os.close(descriptor)

    # ---- the way there --------------------------------------------------------------------

    def _at(self, path: str) -> tuple[str, int | None]:
        """The name and the open folder it is looked up in."""
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or "\0" in name:
            raise OSError(errno.EINVAL, "no name of a file", path)
        place = self._folder(folder)
        if isinstance(place, str):
            return os.path.join(place, name), None
        return name, place

    def _folder(self, path: str) -> int | str:
        steps = path.split("/") if path else []
        if len(steps) > DEEPEST:
            raise OSError(errno.ENAMETOOLONG, "too many folders inside each other", path)
        if not STEPWISE:
            return self._looked_at(steps)
        same = 0
        for (name, _), step in zip(self._chain, steps, strict=False):
            if name != step:
                break
            same += 1
        self._back_to(same)
        for step in steps[same:]:
            if step in ("", ".", ".."):
                raise OSError(errno.EINVAL, "leads elsewhere", path)
            above = self._chain[-1][1] if self._chain else self._top
            self._chain.append((step, os.open(step, _FOLDER, dir_fd=above)))
        return self._chain[-1][1] if self._chain else self._top

    def _looked_at(self, steps: list[str]) -> str:
        place = self.root
        for step in steps:
            place = os.path.join(place, step)
            state = os.lstat(place)
            leads = getattr(state, "st_file_attributes", 0) & REPARSE
            if leads or not stat.S_ISDIR(state.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
        return place

    def _forget(self, path: str) -> None:
        """Do not hold a folder open that is about to go, or that was replaced."""
        self._back_to(path.count("/"))

    def _back_to(self, length: int) -> None:
        while len(self._chain) > length:
            os.close(self._chain.pop()[1])


_PATH: Final = getattr(os, "O_PATH", os.O_RDONLY)


def _chmod(descriptor: int, name: str, at: int | None, mode: int) -> None:
    """A file one may not read can be changed only by its name; it was looked at just before."""
    if sys.platform != "win32":  # there, `set_mode` goes another way
        if _PATH == os.O_RDONLY:
            os.fchmod(descriptor, mode)
            return
        try:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
        except FileNotFoundError:  # no /proc here
            os.chmod(name, mode, dir_fd=at)
