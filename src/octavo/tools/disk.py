"""Files of the user as a patch sees them: bytes, or what lies there instead."""

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from octavo.config.look import read_regular
from octavo.patch.plan import FileState, Found, Other
from octavo.tools.write_files import Work

if TYPE_CHECKING:
    from octavo.tools.base import ToolContext

MOST_BYTES: Final = 64 << 20
"""A larger file is not source code; reading it into memory would help nobody."""


def read_file(path: str) -> Found:
    """The bytes of a file, symlinks followed. Raises OSError when it may not be read."""
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Other.MISSING
    if stat.S_ISDIR(state.st_mode):
        return Other.FOLDER
    if not stat.S_ISREG(state.st_mode):
        return Other.SPECIAL
    if state.st_size > MOST_BYTES:
        raise OSError(f"larger than {MOST_BYTES >> 20} MiB")
    return read_regular(path, MOST_BYTES)


def read_seen(path: str, context: "ToolContext") -> Found:
    """The bytes of a file as commands see and may read it. Raises OSError."""
    if "\0" in path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    view, host = context.located(path)
    for one in dict.fromkeys((path, view)):
        if context.sandboxed and not context.access.reads(one):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return Other.MISSING if host is None else read_file(host)


def resolver(cwd: str) -> "Resolver":
    """Makes paths of a patch absolute."""
    return Resolver(cwd)


class Resolver:
    """Relative paths lie in `cwd`."""

    def __init__(self, cwd: str) -> None:
        self.cwd = cwd

    def __call__(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.cwd, path))


def work_of(files: tuple[FileState, ...]) -> list[Work]:
    """A plan's files as `write_files` takes them."""
    return [(file.path, file.mode_of, file.before, file.after) for file in files]
