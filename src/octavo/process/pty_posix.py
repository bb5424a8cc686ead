"""Terminals for commands on Linux and macOS: make one, size it.

The controlling side is watched with `add_reader`; the command's side is handed over and closed.
"""

import fcntl
import os
import struct
import sys
import termios
from contextlib import suppress

assert sys.platform != "win32"

IUTF8 = 0x4000  # erase whole letters, not bytes; same value on Linux and macOS


def open_terminal(rows: int, cols: int) -> tuple[int, int]:
    """(our side, the command's side); neither is inherited, ours does not block.

    Raises OSError when the system has no terminals left.
    """
    ours, theirs = os.openpty()
    try:
        os.set_blocking(ours, False)
        set_size(ours, rows, cols)
        attributes = termios.tcgetattr(theirs)
        attributes[0] |= IUTF8
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise
    return ours, theirs


def set_size(terminal_fd: int, rows: int, cols: int) -> None:
    """A new size; the kernel tells the foreground group with SIGWINCH when it differs."""
    with suppress(OSError):  # macOS refuses once the command's side is closed for good
        fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
