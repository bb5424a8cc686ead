"""A terminal for a command on Windows: one owner of the pseudo-console and of all four pipe ends.

Users take `input` and `output`. The output ends only after `hang_up`, which can wait until it is
read: call that on another thread than the reader's.
"""

import ctypes
import sys
import threading
from contextlib import ExitStack
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"

from octavo.process.handles_windows import failed, function, kernel32, pipe_to_read, pipe_to_write

RESIZE_QUIRK: Final = 2
OLDEST: Final = "a terminal needs Windows 10, version 1809 or newer"
_H, _D, _P, _LONG = wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p, ctypes.c_long
_COORD = wintypes._COORD  # the only declaration there is


def _packed(rows: int, cols: int) -> "wintypes._COORD":
    return _COORD(min(cols, 0x7FFF), min(rows, 0x7FFF))


class PseudoConsole:
    """A terminal of `rows` times `cols`. Whoever holds it closes it."""

    def __init__(self, rows: int, cols: int) -> None:
        """Raises OSError when Windows has none to give."""
        try:
            create = function(kernel32, "CreatePseudoConsole", _LONG, _COORD, _H, _H, _D, _P)
        except AttributeError as error:
            raise OSError(OLDEST) from error
        self._console: int | None = None
        self._closing = threading.Lock()
        with ExitStack() as undo:
            self.input, self._theirs_in = pipe_to_write()
            """Type here; see `Typed`."""
            undo.callback(self.input.close)
            undo.callback(self._theirs_in.close)
            self.output, self._theirs_out = pipe_to_read()
            """What the screen shows, with its control sequences."""
            undo.callback(self.output.close)
            undo.callback(self._theirs_out.close)
            ends = self._theirs_in.value, self._theirs_out.value
            made = _H()
            failure = create(_packed(rows, cols), *ends, RESIZE_QUIRK, ctypes.byref(made))
            if failure:
                raise failed("CreatePseudoConsole", failure & 0xFFFF)
            self._console = made.value
            undo.pop_all()

    @property
    def value(self) -> int:
        """What a program is started with."""
        assert self._console is not None, "the console is closed"
        return self._console

    def resize(self, rows: int, cols: int) -> None:
        """A new size; nothing happens once it is closed."""
        with self._closing:
            if self._console is not None:
                function(kernel32, "ResizePseudoConsole", _LONG, _H, _COORD)(
                    self._console, _packed(rows, cols)
                )

    def hang_up(self) -> None:
        """Close the console: what its programs wrote comes out of `output`, and then its end."""
        with self._closing:
            console, self._console = self._console, None
        if console is not None:
            function(kernel32, "ClosePseudoConsole", None, _H)(console)
        self._theirs_in.close()
        self._theirs_out.close()

    def close(self) -> None:
        """Give everything back; again is harmless."""
        # Our end first: a console waits for its output to be read unless nobody can.
        self.output.close()
        self.input.close()
        self.hang_up()


class Typed:
    """Input as a console takes it: a line ends with both characters, however it was written."""

    def __init__(self) -> None:
        self._last = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes to write now; pieces may be cut anywhere."""
        found = bytearray()
        for at in range(len(data)):
            byte = data[at : at + 1]
            if byte == b"\n" and self._last != b"\r":
                found += b"\r"
            found += byte
            self._last = byte
        return bytes(found)
