"""One writer at a time, and a file that is replaced as a whole or not at all.

A link stays a link, and the file keeps the rights it had.
"""

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LOCK_S: Final = 10.0
"""How long a writer waits for the one before it."""
RETRY_S: Final = 0.01
PRIVATE: Final = 0o600

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a file; the system lets go when its process dies. Raises OSError,
    TimeoutError when somebody holds it for too long."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), flags, PRIVATE)
    try:
        deadline = time.monotonic() + LOCK_S
        while not _take(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError("another process holds its lock")
            _pause()
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put this in the file's place, forced to the disk before it counts. Raises OSError; then the
    file is as it was."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else PRIVATE
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)  # of a process that died
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _pause() -> None:
    """A moment, in the thread of whoever writes; nobody else waits here."""
    import threading  # noqa: PLC0415 - hardly ever needed

    threading.Event().wait(RETRY_S)
