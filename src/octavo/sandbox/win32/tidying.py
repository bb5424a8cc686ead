"""After the last command of a home: what was made for it and is empty goes again, in a thread."""

import sys
import threading
from contextlib import suppress
from typing import Final

import pywintypes

from octavo.protocol.errors import OctavoError

assert sys.platform == "win32"

from octavo.sandbox.win32 import undo

TURN_S: Final = 5.0
"""Whoever writes entries longer than this is followed by a command that tidies up."""
END_S: Final = 10.0


class Tidier:
    """Counts the commands of one home that were started here."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._running = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """A command is about to start: call it before anything is made for it."""
        with self._lock:
            self._running += 1

    def end(self) -> None:
        """It has ended, and nothing is held for it any more. Returns at once."""
        with self._lock:
            self._running -= 1
            busy = self._thread is not None and self._thread.is_alive()
            if self._running or busy:
                return
            self._thread = threading.Thread(target=self._work, name="tidy")
            self._thread.start()

    def close(self) -> None:
        """Wait until it is done."""
        thread = self._thread
        if thread is not None:
            thread.join(END_S)

    def _work(self) -> None:
        # what stays is shown by `windows status`; no command depends on its being gone
        with suppress(OctavoError, OSError, pywintypes.error):
            undo.tidy(self._home, lock_s=TURN_S)
