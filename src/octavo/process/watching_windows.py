"""Threads that wait for a child's pipes, one each. See `octavo.process.watching`.

A child's "descriptor" is here the number under which `offer` keeps one of our pipe ends. What is
read ahead is bounded, and `read` knows whether something is still on its way: nothing that a
command wrote before its end is missed.
"""

import asyncio
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

assert sys.platform == "win32"

from octavo.process.handles_windows import Channel, Stopped

PIECE: Final = 1 << 16
AHEAD: Final = 1 << 20
"""Bytes read before anybody asked for them."""
SETTLE_S: Final = 1.0
"""What a thread has been given by the system is in its hands in microseconds."""
SETTLE_LOOKS: Final = 1_000
END_S: Final = 5.0

Translate = Callable[[bytes], bytes]

_offered: Final[dict[int, tuple[Channel, Channel, Translate]]] = {}
_numbers: Final = itertools.count(3)


def offer(channel: Channel, *, typing: Channel | None = None, translate: Translate = bytes) -> int:
    """The number by which `Inlet` and `Outlet` find our end of a pipe; take it back with `revoke`.

    A terminal is read from one pipe and typed into another: that is `typing`. `translate` makes
    what is written from what was given.
    """
    number = next(_numbers)
    _offered[number] = (channel, typing or channel, translate)
    return number


def end_of_typing(*, line_open: bool) -> bytes:
    """What a console takes for the end of input: control-Z, alone on its line."""
    return b"\r\x1a\r" if line_open else b"\x1a\r"


def revoke(number: int) -> None:
    """Nobody finds it any more; the pipe stays its owner's."""
    _offered.pop(number, None)


class Inlet:
    """An output to read: `ready(fd)` is called as long as there is something."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, ready: Callable[[int], object]
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._ready = ready
        self._channel = _offered[fd][0]
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._closed = False
        self._called = False
        self._thread = threading.Thread(target=self._sit, name=f"read {fd}", daemon=True)
        self._thread.start()

    def read(self, most: int) -> bytes:
        """What is there now; nothing at the end. Raises BlockingIOError."""
        with self._changed:
            if not self._pieces and not self._ended:
                self._settle()
            self._called = False
            if not self._pieces:
                if self._ended:
                    return b""
                raise BlockingIOError
            data = self._pieces.popleft()
            if len(data) > most:
                self._pieces.appendleft(data[most:])
                data = data[:most]
            self._held -= len(data)
            self._changed.notify_all()
            if self._pieces or self._ended:
                self._call()
            return data

    def close(self) -> None:
        """Hear nothing any more; once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._channel.cancel()
        self._thread.join(END_S)

    def _settle(self) -> None:
        """With the lock held: a thread that does not rest has something in its hands, or is about
        to ask for it. It says nothing when it begins to rest, so look."""
        for _ in range(SETTLE_LOOKS):
            if self._pieces or self._ended or self._closed or self._channel.resting:
                return
            self._changed.wait(SETTLE_S / SETTLE_LOOKS)

    def _sit(self) -> None:
        with suppress(Stopped):
            while self._room():
                try:
                    data = self._channel.read(PIECE)
                except OSError:  # as good as the end: nobody can hear more from it
                    data = b""
                self._take(data)
                if not data:
                    return

    def _room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._held < AHEAD or self._closed)
            return not self._closed

    def _take(self, data: bytes) -> None:
        with self._changed:
            if data:
                self._pieces.append(data)
                self._held += len(data)
            else:
                self._ended = True
            self._changed.notify_all()
            self._call()

    def _call(self) -> None:
        """With the lock held: have `ready` called soon, if it will not be anyway."""
        if not self._called and not self._closed:
            self._called = True
            _soon(self._loop, self._tell)

    def _tell(self) -> None:
        if not self._closed:
            self._called = False
            self._ready(self._fd)


class Outlet:
    """An input to write: after `want`, `ready()` is called as long as there is room."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, ready: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._ready = ready
        _, self._channel, self._translate = _offered[fd]
        self._changed = threading.Condition()
        self._given: bytes | None = None
        self._taken: int | OSError | None = None
        self._closed = False
        self._wanted = False
        self._thread: threading.Thread | None = None
        self._fd = fd

    def want(self) -> None:
        """There is something to write; again is harmless."""
        if not self._wanted and not self._closed:
            self._wanted = True
            if self._given is None:
                self._loop.call_soon(self._tell)

    def rest(self) -> None:
        """There is nothing to write any more."""
        self._wanted = False

    def write(self, data: bytes | bytearray) -> int:
        """How much of it was taken. The first call hands it over and raises BlockingIOError; the
        one after `ready` is about the same bytes and says what became of them. Raises OSError.
        """
        with self._changed:
            taken, self._taken = self._taken, None
            if taken is None:
                if self._given is None:
                    self._hand_over(bytes(data))
                raise BlockingIOError
            self._given = None
        if isinstance(taken, OSError):
            raise taken
        self._loop.call_soon(self._tell)
        return taken

    def close(self) -> None:
        """Hear nothing any more; what was not taken is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._channel.cancel()
            self._thread.join(END_S)

    def _hand_over(self, data: bytes) -> None:
        self._given = data
        if self._thread is None:
            name = f"write {self._fd}"
            self._thread = threading.Thread(target=self._sit, name=name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _sit(self) -> None:
        with suppress(Stopped):
            while (data := self._next()) is not None:
                result: int | OSError
                try:
                    self._channel.write_all(self._translate(data))
                    result = len(data)
                except OSError as error:
                    result = error
                with self._changed:
                    self._taken = result
                _soon(self._loop, self._tell)

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._given is not None and self._taken is None)
            )
            return None if self._closed else self._given

    def _tell(self) -> None:
        if self._wanted and not self._closed:
            self._ready()


class Reader:
    """An output, for a coroutine. Whoever makes it closes it, before the child."""

    def __init__(self, fd: int) -> None:
        self._there = asyncio.Event()
        self._inlet = Inlet(asyncio.get_running_loop(), fd, lambda _: self._there.set())
        self._closed = False

    async def read(self, most: int) -> bytes:
        """What is there, at least one byte; nothing at the end."""
        while True:
            self._there.clear()
            try:
                return self._inlet.read(most)
            except BlockingIOError:
                await self._there.wait()

    def close(self) -> None:
        """Hear nothing any more; again is harmless."""
        if not self._closed:
            self._closed = True
            self._inlet.close()


class Writer:
    """An input, for a coroutine. Whoever makes it closes it, before the child."""

    def __init__(self, fd: int) -> None:
        self._room = asyncio.Event()
        self._outlet = Outlet(asyncio.get_running_loop(), fd, self._room.set)
        self._left = bytearray()
        """What a cancelled call left behind goes first."""

    async def write(self, data: bytes) -> None:
        """All of it. Raises OSError when nobody will ever read it."""
        self._left += data
        while self._left:
            self._room.clear()
            self._outlet.want()
            try:
                del self._left[: self._outlet.write(self._left[:PIECE])]
            except BlockingIOError:
                await self._room.wait()
        self._outlet.rest()

    def close(self) -> None:
        """Hear nothing any more; again is harmless."""
        self._outlet.close()


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop was closed in the meantime
        loop.call_soon_threadsafe(call)
