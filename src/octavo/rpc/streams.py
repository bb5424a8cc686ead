"""Lines over descriptors and sockets: standard input and output, or one connection.

Writing waits while the other side does not read, so that nothing piles up.
"""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Protocol

from octavo.rpc.lines import Splitter, TooLong

CHUNK: Final = 1 << 16


class Closed(Exception):  # noqa: N818 - says what is
    """The other side has gone."""


class Transport(Protocol):
    """Lines in, lines out."""

    def lines(self) -> AsyncIterator[bytes | TooLong]:
        """Until the other side has nothing more to say."""
        ...

    async def write(self, data: bytes) -> None:
        """Send; waits while the other side is slow. Raises Closed."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Streams:
    """A transport over asyncio's streams."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b""
    ) -> None:
        """`first` was read already."""
        self._first = first
        self._reader = reader
        self._writer = writer
        self._order = asyncio.Lock()

    async def lines(self) -> AsyncIterator[bytes | TooLong]:
        """See `Transport`."""
        splitter = Splitter()
        for line in splitter.feed(self._first):
            yield line
        while True:
            try:
                data = await self._reader.read(CHUNK)
            except (ConnectionError, OSError):
                return
            if not data:
                break
            for line in splitter.feed(data):
                yield line
        last = splitter.end()
        if last is not None:
            yield last

    async def write(self, data: bytes) -> None:
        """See `Transport`."""
        async with self._order:
            try:
                self._writer.write(data)
                await self._writer.drain()
            except (ConnectionError, OSError) as error:
                raise Closed from error

    async def close(self) -> None:
        """See `Transport`."""
        self._writer.close()
        # the protocol of a pipe has no way to wait for its end
        with suppress(ConnectionError, OSError, NotImplementedError):
            await self._writer.wait_closed()


class Plain:
    """A transport over files that cannot be waited for: all input at once."""

    def __init__(self, stdin: int, stdout: int, first: bytes = b"") -> None:
        self._first = first
        self._stdin = stdin
        self._stdout = stdout

    async def lines(self) -> AsyncIterator[bytes | TooLong]:
        """See `Transport`."""
        splitter = Splitter()
        for line in splitter.feed(self._first):
            yield line
        while data := os.read(self._stdin, CHUNK):
            for line in splitter.feed(data):
                yield line
            await asyncio.sleep(0)
        last = splitter.end()
        if last is not None:
            yield last

    async def write(self, data: bytes) -> None:
        """See `Transport`."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._stdout, left) :]
        except OSError as error:
            raise Closed from error

    async def close(self) -> None:
        """See `Transport`."""


async def stdio(first: bytes = b"") -> Transport:
    """Standard input and output, whatever they are; `first` was read already."""
    if not _waitable(0):
        return Plain(0, 1, first)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK)
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, sys.stdout
        )
    except (ValueError, OSError, NotImplementedError):
        return Plain(0, 1, first)
    return Streams(reader, asyncio.StreamWriter(transport, protocol, None, loop), first)


def _waitable(descriptor: int) -> bool:
    """False for /dev/null and its kin: the loop takes them, and then never hears of their end."""
    return os.isatty(descriptor) or not stat.S_ISCHR(os.fstat(descriptor).st_mode)
