"""The real disk, as the policy asks about it. Nothing here raises, blocks or follows a link."""

import os
import stat
from typing import Final

from octavo.policy.links import Kind
from octavo.policy.paths import WINDOWS, inward, outward

AT_MOST: Final = 4096
MOUNT_POINT: Final = 0xA0000003
"""The tag of a junction, which leads elsewhere as a symlink does."""
GONE: Final = (FileNotFoundError, NotADirectoryError)


class DiskLook:
    """Looks at this machine's disk. See `octavo.policy.links.Look`."""

    def kind(self, path: str) -> Kind:
        """What lies at a path; "other" also where this user may not look."""
        try:
            found = os.lstat(native(path))
        except GONE:
            return "missing"
        except (OSError, ValueError):
            return "other"
        mode = found.st_mode
        if stat.S_ISLNK(mode) or getattr(found, "st_reparse_tag", 0) == MOUNT_POINT:
            return "symlink"
        if stat.S_ISDIR(mode):
            return "dir"
        return "file" if stat.S_ISREG(mode) else "other"

    def readlink(self, path: str) -> str:
        """Where a symlink points; empty when it cannot be read."""
        try:
            return inward(os.readlink(native(path)))  # noqa: PTH115 - asked for every path of a policy
        except (OSError, ValueError):
            return ""

    def spelled(self, path: str) -> str:
        """The path with its names as they are on the disk."""
        if not WINDOWS:
            return path
        from octavo.config.spelling import spelled  # noqa: PLC0415 - only there

        return spelled(path)

    def read_text(self, path: str) -> str:
        """The beginning of a regular file; empty when it cannot be read."""
        try:
            return os.fsdecode(read_regular(native(path), AT_MOST, follow=False))
        except (OSError, ValueError):
            return ""


def native(path: str) -> str:
    """A path of the policy as this system takes it. On Windows some have no such form: missing."""
    if WINDOWS and path.startswith("/"):
        if path == "/":
            return "\\"
        found = outward(path)
        if found == path:
            raise FileNotFoundError(path)
        return found
    return path


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
