"""The disk as planning sees it, and this machine's facts. Reads only."""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import landlock, sysc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["dir", "file", "link", "other", "missing"]

S_IFMT = 0o170000
KINDS: "dict[int, Kind]" = {0o040000: "dir", 0o100000: "file", 0o120000: "link"}


class Disk:
    """Answers from lstat, remembered for one plan."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {}

    def kind(self, path: str) -> "Kind":
        found = self.kinds.get(path)
        if found is None:
            found = self.kinds[path] = look(path)
        return found

    def target(self, path: str) -> str:
        return os.readlink(path)

    def writable(self, path: str) -> bool:
        return os.access(path, os.W_OK | os.X_OK)

    def synthetic(self, path: str) -> str:
        """The kind of mount point we would have made there; see mountpoints.CONTENT."""
        try:
            there = os.lstat(path)
            if there.st_mode & 0o222:
                return ""
            kind = KINDS.get(there.st_mode & S_IFMT)
            if kind == "dir":
                return "" if os.listdir(path) else "dir"
            if kind != "file":
                return ""
            return {0: "file", 2: "pointer"}.get(there.st_size, "")
        except OSError:
            return ""


def look(path: str) -> "Kind":
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:  # what this user cannot see, the command cannot either
        return "missing"
    return KINDS.get(mode & S_IFMT, "other")


def facts() -> "tuple[int, int, str, int]":
    """uid, gid, machine, Landlock version."""
    return os.getuid(), os.getgid(), sysc.MACHINE, landlock.abi()
