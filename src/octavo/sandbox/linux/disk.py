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

    def synthetic(self, path: str) -> bool:
        try:
            mode = os.lstat(path).st_mode
            return mode & S_IFMT == 0o040000 and mode & 0o222 == 0 and not os.listdir(path)
        except OSError:
            return False


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
