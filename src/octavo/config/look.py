"""The real disk, as the policy asks about it. Nothing here raises, blocks or follows a link."""

import os
import stat
from typing import Final

from octavo.policy.links import Kind

AT_MOST: Final = 4096
GONE: Final = (FileNotFoundError, NotADirectoryError)


class DiskLook:
    """Looks at this machine's disk. See `octavo.policy.links.Look`."""

    def kind(self, path: str) -> Kind:
        """What lies at a path; "other" also where this user may not look."""
        try:
            mode = os.lstat(path).st_mode
        except GONE:
            return "missing"
        except (OSError, ValueError):
            return "other"
        if stat.S_ISLNK(mode):
            return "symlink"
        if stat.S_ISDIR(mode):
            return "dir"
        return "file" if stat.S_ISREG(mode) else "other"

    def readlink(self, path: str) -> str:
        """Where a symlink points; empty when it cannot be read."""
        try:
            return os.readlink(path)  # noqa: PTH115 - asked for every path of a policy
        except (OSError, ValueError):
            return ""

    def read_text(self, path: str) -> str:
        """The beginning of a regular file; empty when it cannot be read."""
        try:
            return os.fsdecode(read_regular(path, AT_MOST, follow=False))
        except (OSError, ValueError):
            return ""


def read_regular(path: str, at_most: int, *, follow: bool = True) -> bytes:
    """The first bytes of a regular file. A pipe or device in its place is an OSError, at once."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        parts: list[bytes] = []
        while at_most > 0 and (part := os.read(descriptor, at_most)):
            parts.append(part)
            at_most -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
