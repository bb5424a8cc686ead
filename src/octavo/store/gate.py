"""Many may pass, or one alone: a lock on a file that the system lets go of when its holder dies.

Where the file system knows no locks, everybody passes. On Windows all who hold it hold it alone.
"""

import os
import sys
from pathlib import Path
from typing import Final, Self

from octavo.policy.paths import printable
from octavo.store.errors import StoreError

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int, *, alone: bool, wait: bool) -> bool:
        if not alone:  # there are no shared locks on bytes
            return True
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(descriptor: int, *, alone: bool, wait: bool) -> bool:
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # this file system knows no locks
            return True
        return True


class Gate:
    """Held from the moment it is made until `release`. `held` is False when nobody waited for it
    and another holder was in the way.

    Waiting is for holders that stay milliseconds. Raises StoreError when the file cannot be made.
    """

    def __init__(self, path: str, *, alone: bool, wait: bool = False) -> None:
        self._descriptor: int | None = None
        try:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, _FLAGS, 0o600)
        except OSError as wrong:
            reason = wrong.strerror or str(wrong)
            raise StoreError(f"{printable(path)}: cannot be written: {reason}") from wrong
        try:
            self.held = _take(descriptor, alone=alone, wait=wait)
        except BaseException:
            os.close(descriptor)
            raise
        if self.held:
            self._descriptor = descriptor
        else:
            os.close(descriptor)

    def release(self) -> None:
        """Let go; again and again does no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
