"""Has anything a plan depends on changed on disk?

A plan holds for the paths it looked at. Folders tell cheaply: while a folder's own time stands
still, no entry in it was added, removed or replaced; only the entries of changed folders are
looked at again.
"""

import os
import time
from typing import Final

SETTLED_NS: Final = 50_000_000
"""A folder changed this recently may change again within the same tick of its clock."""

Stamp = tuple[int, int, int] | None


class Footprint:
    """What was at each path when the plan was made."""

    def __init__(self, paths: list[str]) -> None:
        self._entries: dict[str, dict[str, Stamp]] = {}
        for path in paths:
            self._entries.setdefault(os.path.dirname(path), {})[path] = stamp(path)
        self._folders = {folder: settled(folder) for folder in self._entries}

    def stale(self) -> bool:
        """True when any of the paths is not what it was."""
        for folder, before in self._folders.items():
            if before is not None and settled(folder) == before:
                continue
            if any(stamp(path) != was for path, was in self._entries[folder].items()):
                return True
            self._folders[folder] = settled(folder)
        return False


def stamp(path: str) -> Stamp:
    """Device, inode and type: what makes a path the same thing."""
    try:
        there = os.lstat(path)
    except OSError:
        return None
    return there.st_dev, there.st_ino, there.st_mode & 0o170000


def settled(folder: str) -> Stamp:
    """The folder's identity and time; None when it changed too recently to rely on."""
    try:
        there = os.lstat(folder)
    except OSError:
        return None
    if time.time_ns() - there.st_mtime_ns < SETTLED_NS:
        return None
    return there.st_dev, there.st_ino, there.st_mtime_ns
