"""One connection: bytes collected for a parser, or relayed to another connection. Hands.

All connections of a loop read into one shared buffer, so an idle tunnel costs next to nothing.
What is relayed goes from that buffer straight into the other socket; only what the socket does
not take at once is copied. Where a read is under way before there is anything to read (the
completion ports of Windows), each connection has a small buffer of its own.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

SHARED: Final = 256 * 1024
OWN: Final = 16 * 1024
HIGH: Final = 128 * 1024
"""Collected bytes at which reading pauses."""
COMPLETION_PORTS: Final = sys.platform == "win32"
RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER: on closing, the other side is told that something went wrong."""


def shared_buffer() -> memoryview:
    """The buffer all connections of one loop read into."""
    return memoryview(bytearray(SHARED))


def at_once(sock: socket.socket) -> None:
    """Small pieces are sent without waiting for an acknowledgement.

    The loop does that only for sockets that were made with their protocol's number.
    """
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Wire(asyncio.BufferedProtocol):
    """A connection that somebody owns: who makes it closes it."""

    def __init__(self, sock: socket.socket | None, shared: memoryview) -> None:
        self.buffer = bytearray()
        """Collected and not taken yet."""
        self.eof = False
        """The other side sends no more."""
        self.lost = False
        self.broken = False
        """The connection ended with an error."""
        self.transport: asyncio.Transport
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sock = None if COMPLETION_PORTS else sock
        self._view = memoryview(bytearray(OWN)) if COMPLETION_PORTS else shared
        self._peer: Wire | None = None
        self._source: Wire | None = None
        self._paused = False
        self._stopped = False
        self._writable = True
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expired = False

    @classmethod
    async def accepted(cls, sock: socket.socket, shared: memoryview) -> Self:
        """A connection that came in."""
        loop = asyncio.get_running_loop()
        at_once(sock)
        _, wire = await loop.connect_accepted_socket(lambda: cls(sock, shared), sock)
        return wire

    @classmethod
    async def connected(cls, sock: socket.socket, shared: memoryview) -> Self:
        """A connection that was made; the socket is connected already."""
        loop = asyncio.get_running_loop()
        at_once(sock)
        _, wire = await loop.create_connection(lambda: cls(sock, shared), sock=sock)
        return wire

    def encrypted(self, transport: asyncio.Transport) -> None:
        """From now on through TLS: nothing goes past the transport any more."""
        self.transport = transport
        self._sock = None

    # ---- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._peer is not None:
            self._peer.send(self._view[:nbytes])
            return
        self.buffer += self._view[:nbytes]
        if len(self.buffer) > HIGH and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self.eof = True
        self._wake_reader()
        if self._peer is not None:
            self._peer.end()
            self._check_end()
        return True  # the other direction may live on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.eof = True
        self.broken = exc is not None
        self._writable = False
        self._wake_reader()
        self._wake_writer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.gone.done():
            self.gone.set_result(None)
        if self._on_end is not None:
            self._on_end()

    def pause_writing(self) -> None:
        self._writable = False
        if self._source is not None:
            self._source.transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._wake_writer()
        if self._source is not None and not self._source.transport.is_closing():
            self._source.transport.resume_reading()

    # ---- collecting -----------------------------------------------------------------------------

    async def fill(self, until: float | None = None) -> bool:
        """Wait for more bytes; False when there will be none.

        `until`: a time of the loop; then TimeoutError. Cheaper than a timeout around it: the one
        timer of a connection is moved only when it goes off.
        """
        if not self._open():
            return False
        self._deadline, self._expired = until, False
        if until is not None and (self._timer is None or self._timer.when() > until):
            self._set_timer(until)
        if self._paused and len(self.buffer) <= HIGH:
            self._paused = False
            self.transport.resume_reading()
        before = len(self.buffer)
        while len(self.buffer) == before and self._open():
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
            if self._expired:
                raise TimeoutError
        self._deadline = None
        return len(self.buffer) > before

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None or self.lost:
            return
        if self._deadline > self._loop.time():
            self._set_timer(self._deadline)
        else:
            self._deadline, self._expired = None, True
            self._wake_reader()

    def within(self, seconds: float) -> float:
        """A time of the loop, for `fill`."""
        return self._loop.time() + seconds

    def take(self, count: int) -> bytes | bytearray:
        """At most so many collected bytes."""
        if count >= len(self.buffer):
            data, self.buffer = self.buffer, bytearray()
            return data
        part = bytes(self.buffer[:count])
        del self.buffer[:count]
        return part

    def _open(self) -> bool:
        return not (self.eof or self._stopped)

    def stop_filling(self) -> None:
        """Whoever waits for bytes waits no longer."""
        self._stopped = True
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # ---- writing --------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray) -> None:
        """Send, or keep until it can be sent."""
        if not self.lost:
            self.transport.write(data)

    @property
    def writable(self) -> bool:
        """Not much is kept, and it will be sent."""
        return self._writable and not self.lost

    async def drain(self) -> None:
        """Wait until not much is kept. Raises ConnectionError when it never will be sent."""
        while not self._writable and not self.lost:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self.lost:
            raise ConnectionResetError("the connection is lost")

    def _wake_writer(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def send(self, view: memoryview) -> None:
        """Send bytes of the shared buffer, of which nothing may be kept."""
        if self.lost or self.transport.is_closing():
            return
        sent = 0
        if self._sock is not None and not self.transport.get_write_buffer_size():
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                self.transport.abort()
                return
        if sent < len(view):
            self.transport.write(bytes(view[sent:]))

    def end(self) -> None:
        """Nothing more will be sent; the other direction lives on."""
        if not self.lost and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Send what is kept, then close."""
        if not self.lost:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.lost:
            self.transport.abort()

    def reset(self) -> None:
        """Close at once, and let the other side see that it was no proper end."""
        if self.lost:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    # ---- relaying -------------------------------------------------------------------------------

    def relay_to(self, peer: "Wire", on_end: Callable[[], None]) -> None:
        """From now on what comes goes to the peer, collected bytes first.

        `on_end` is called when this connection is lost, or both its directions have ended.
        """
        self._peer, peer._source, self._on_end = peer, self, on_end
        peer.transport.set_write_buffer_limits(high=0)
        if self.buffer:
            peer.write(self.take(len(self.buffer)))
        if self.eof:
            peer.end()
        if self.lost:
            on_end()
        elif self._paused and peer._writable:
            self._paused = False
            self.transport.resume_reading()
        self._check_end()

    def _check_end(self) -> None:
        if self._peer is not None and self.eof and self._peer.eof and self._on_end is not None:
            self._on_end()


async def relay(one: Wire, other: Wire, *, linger_s: float) -> None:
    """Both directions, until both have ended or either is lost. Closes both.

    Without a deadline of its own: whoever awaits it decides how long a tunnel may live, and ends
    it by cancelling.
    """
    over = asyncio.Event()
    try:
        one.relay_to(other, over.set)
        other.relay_to(one, over.set)
        await over.wait()
        await finish(one, other, linger_s=linger_s)
    finally:
        one.abort()
        other.abort()


async def finish(one: Wire, other: Wire, *, linger_s: float) -> None:
    """Close both; what is kept may still be sent, for a while. A broken end is passed on."""
    broken = one.broken or other.broken
    for wire in (one, other):
        if broken and not wire.lost and not wire.transport.get_write_buffer_size():
            wire.reset()
        else:
            wire.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(linger_s):
            for wire in (one, other):
                if not wire.lost:
                    await asyncio.shield(wire.gone)
