"""One writer per thread: a lock the system lets go of when its process dies, however that happens.

The file holds the number of the process, for the message. Where the file system knows no locks
(some network disks), nothing is locked.
"""

import os
import sys
from pathlib import Path
from typing import Final

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId
from octavo.store.errors import StoreError, ThreadBusy
from octavo.store.layout import LOCKS

AWAY: Final = 1 << 30
"""The byte that is locked on Windows, where a locked byte cannot be read."""
ATTEMPTS: Final = 8

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> bool:
        os.lseek(descriptor, AWAY, os.SEEK_SET)
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
        except OSError:  # this file system knows no locks
            return True
        return True


class ThreadLock:
    """Held from the moment it is made until `release()`. Raises ThreadBusy, StoreError."""

    def __init__(self, home: str, thread: ThreadId) -> None:
        self.path = str(Path(home, LOCKS, f"{thread}.lock"))
        try:
            self._descriptor: int | None = self._acquire(thread)
        except OSError as wrong:
            reason = wrong.strerror or str(wrong)
            raise StoreError(f"{printable(self.path)}: cannot be written: {reason}") from wrong

    def release(self) -> None:
        """Let go; again and again does no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if sys.platform != "win32":
            self._unlink()  # while it is held: whoever opened it meanwhile looks again
        os.close(descriptor)

    def _acquire(self, thread: ThreadId) -> int:
        Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(ATTEMPTS):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
            try:
                if not _take(descriptor):
                    raise _busy(descriptor, thread)
                if self._still_there(descriptor):
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, str(os.getpid()).encode())
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise ThreadBusy(f"thread {thread} is being opened and closed by another process")

    def _still_there(self, descriptor: int) -> bool:
        """Whether the locked file is the one others would open; its last holder removes it."""
        try:
            return os.path.samestat(os.fstat(descriptor), Path(self.path).stat())
        except FileNotFoundError:
            return False

    def _unlink(self) -> None:
        try:
            Path(self.path).unlink()
        except OSError:  # it is only a file without a lock then
            return


_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def _busy(descriptor: int, thread: ThreadId) -> ThreadBusy:
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, 32)
    pid = int(text) if text.isdigit() else None
    who = "another process" if pid is None else f"process {pid}"
    return ThreadBusy(f"thread {thread} is being written by {who}", pid=pid)
