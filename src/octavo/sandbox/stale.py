"""Has anything a plan depends on changed on disk?

A plan holds for the paths it looked at. Folders tell cheaply: while a folder's change time stands
still (no program can set it back), no entry in it was added, removed or replaced; only the entries
of changed folders are looked at again. Each path is held open, so that its inode number cannot be
given to something else; past a number of paths, any change of their folder counts instead.
"""

import os
import sys
import time
from contextlib import suppress
from typing import Final

assert sys.platform == "linux"

SETTLED_NS: Final = 50_000_000
"""A folder changed this recently may change again within the same tick of its clock."""
MOST_HELD: Final = 128
"""Descriptors kept open for one policy; programs may usually have 1024."""

Stamp = tuple[int, int, int] | None


class Footprint:
    """What was at each path when the plan was made. Whoever makes one closes it."""

    def __init__(self, paths: list[str]) -> None:
        self._entries: dict[str, dict[str, Stamp]] = {}
        self._held: list[int] = []
        self._all_held = len(paths) <= MOST_HELD
        for path in paths:
            if self._all_held:
                self._hold(path)
            self._entries.setdefault(os.path.dirname(path), {})[path] = stamp(path)
        self._folders = {folder: settled(folder) for folder in self._entries}
        self._changed = {folder: changed(folder) for folder in self._entries}

    def _hold(self, path: str) -> None:
        with suppress(OSError):  # missing now; the stamp says so
            self._held.append(os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC))

    def stale(self) -> bool:
        """True when any of the paths is not, or may not be, what it was."""
        for folder, before in self._folders.items():
            if before is not None and settled(folder) == before:
                continue
            if not self._all_held and changed(folder) != self._changed[folder]:
                return True
            if any(stamp(path) != was for path, was in self._entries[folder].items()):
                return True
            self._folders[folder] = settled(folder)
        return False

    def close(self) -> None:
        """Let go of the paths."""
        while self._held:
            os.close(self._held.pop())


def stamp(path: str) -> Stamp:
    """Device, inode and type: what makes a path the same thing."""
    try:
        there = os.lstat(path)
    except OSError:
        return None
    return there.st_dev, there.st_ino, there.st_mode & 0o170000


def changed(folder: str) -> Stamp:
    """The folder's identity and change time."""
    try:
        there = os.lstat(folder)
    except OSError:
        return None
    return there.st_dev, there.st_ino, there.st_ctime_ns


def settled(folder: str) -> Stamp:
    """The same; None when it changed too recently to rely on."""
    found = changed(folder)
    if found is None or time.time_ns() - found[2] < SETTLED_NS:
        return None
    return found
