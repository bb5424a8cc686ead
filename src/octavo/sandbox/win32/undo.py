"""What is left of everything a home ever wrote, and taking it back, on the real disk."""

import sys
import time

from octavo.sandbox.windows import undo as work
from octavo.sandbox.windows.undo import Report, Status

assert sys.platform == "win32"

from octavo.sandbox.win32 import disk, own
from octavo.sandbox.win32.state import LOCK_S, Home


def status(home: str) -> Status:
    """What is left. Changes nothing. Raises ConfigError for a damaged journal."""
    store = Home(home)
    with store.lock():
        return work.status(disk, store, user=own.user_sid())


def undo(home: str) -> Report:
    """Take everything back. What fails is in the report with its repair, and stays on record.

    Raises SandboxUnavailable while commands run, ConfigError for a damaged journal.
    """
    store = Home(home)
    with store.lock():
        return work.undo(disk, store, user=own.user_sid())


def tidy(home: str, *, lock_s: float = LOCK_S) -> Report:
    """Remove what was made for built-in rules alone and is empty, where no command needs it.

    Raises SandboxUnavailable when it is not our turn in time, ConfigError for a damaged journal.
    """
    store = Home(home, lock_s=lock_s)
    with store.lock():
        now_ms = time.time_ns() // 1_000_000
        return work.tidy(disk, store, now_ms=now_ms, user=own.user_sid())
