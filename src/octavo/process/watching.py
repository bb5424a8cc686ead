"""Hear when a child's output can be read and when its input can be written.

Here the loop watches descriptors itself; where it cannot, on Windows, threads wait instead
(`watching_windows`, with the same names). `read` and `write` never wait; BlockingIOError: not now.
"""

import asyncio
import os
import sys
from collections.abc import Callable

assert sys.platform != "win32"


def end_of_typing(*, line_open: bool) -> bytes:
    """What a terminal takes for the end of input: control-D, at the start of a line.

    In the middle of a line the first one only hands over what was typed so far.
    """
    return b"\x04\x04" if line_open else b"\x04"


class Inlet:
    """An output to read: `ready(fd)` is called as long as there is something."""

    __slots__ = ("_fd", "_loop")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, ready: Callable[[int], object]
    ) -> None:
        self._loop = loop
        self._fd = fd
        loop.add_reader(fd, ready, fd)

    def read(self, most: int) -> bytes:
        """What is there now; nothing at the end. Raises BlockingIOError, OSError."""
        return os.read(self._fd, most)

    def close(self) -> None:
        """Hear nothing any more; once."""
        self._loop.remove_reader(self._fd)


class Outlet:
    """An input to write: after `want`, `ready()` is called as long as there is room."""

    __slots__ = ("_fd", "_loop", "_ready")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, ready: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._ready = ready

    def want(self) -> None:
        """There is something to write; again is harmless."""
        self._loop.add_writer(self._fd, self._ready)

    def rest(self) -> None:
        """There is nothing to write any more."""
        self._loop.remove_writer(self._fd)

    def write(self, data: bytes | bytearray) -> int:
        """How much of it was taken. Raises BlockingIOError, OSError."""
        return os.write(self._fd, data)

    def close(self) -> None:
        """Hear nothing any more."""
        self._loop.remove_writer(self._fd)


class Reader:
    """An output, for a coroutine: nothing is watched while nobody waits."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read(self, most: int) -> bytes:
        """What is there, at least one byte; nothing at the end. Raises OSError."""
        while True:
            try:
                return os.read(self._fd, most)
            except BlockingIOError:
                await _ready(self._fd, writing=False)

    def close(self) -> None:
        """Hear nothing any more; again is harmless."""


class Writer:
    """An input, for a coroutine: nothing is watched while nobody waits."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def write(self, data: bytes) -> None:
        """All of it. Raises OSError when nobody will ever read it."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                await _ready(self._fd, writing=True)

    def close(self) -> None:
        """Hear nothing any more; again is harmless."""


async def _ready(fd: int, *, writing: bool) -> None:
    """Until something can be read, or written."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(fd, event.set)
    try:
        await event.wait()
    finally:
        remove(fd)
