"""Messages to and from a server's program: one JSON object per line on its stdin and stdout.

The program is not ours: lines that are no messages are passed over and remembered, what it says on
stderr is kept as a short tail, and a line without end does not fill the memory.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing, suppress
from typing import Final

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from octavo.mcp.base import line_of
from octavo.process.child import Child

if sys.platform == "win32":
    from octavo.process.watching_windows import Reader, Writer
else:
    from octavo.process.watching import Reader, Writer

LONGEST_LINE: Final = 64 << 20
"""Bytes; pictures come as base64 in one line."""
CHUNK: Final = 1 << 16
TAIL_LINES: Final = 20
TAIL_BYTES: Final = 8 << 10
SAID_CHARS: Final = 300
"""Of stderr in a message: the end, where programs say what was wrong."""

Incoming = MemoryObjectReceiveStream[SessionMessage | Exception]
Outgoing = MemoryObjectSendStream[SessionMessage]


class Wire:
    """What goes between a program and its session, and what is known of the program."""

    def __init__(self, child: Child, closed: asyncio.Event) -> None:
        """`closed` is set when it said its last word, or broke the rules."""
        self.child = child
        self.closed = closed
        self.garbage = ""
        """The first thing on stdout that was no message."""
        self.broken: str | None = None
        """Which rule it broke."""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""

    def said(self) -> str:
        """The end of what is on stderr, as one line."""
        last = self._rest.decode("utf-8", "replace")
        text = " | ".join(line.strip() for line in (*self._tail, last) if line.strip())
        cut = text if len(text) <= SAID_CHARS else "…" + text[-SAID_CHARS:]
        return line_of(cut, SAID_CHARS + 1)

    async def hear(self, into: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Pass messages on until there are no more."""
        try:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async with aclosing(self._lines()) as lines:
                    async for line in lines:
                        message = self._message(line)
                        if message is not None:
                            await into.send(message)
        finally:
            self.closed.set()
            into.close()

    async def speak(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write what the session sends."""
        fd = self.child.stdin_fd
        assert fd is not None
        with closing(Writer(fd)) as into:
            try:
                async for one in messages:
                    data = one.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
                    await into.write(data + b"\n")
            except OSError:
                self.closed.set()
            finally:
                messages.close()

    async def keep_errors(self) -> None:
        """Read stderr to its end and keep the last lines."""
        fd = self.child.stderr_fd
        if fd is None:
            return
        with closing(Reader(fd)) as output:
            async for data in chunks(output):
                *lines, rest = (self._rest + data).split(b"\n")
                self._tail.extend(line.decode("utf-8", "replace") for line in lines[-TAIL_LINES:])
                self._rest = rest[-TAIL_BYTES:]

    async def _lines(self) -> AsyncGenerator[bytes, None]:
        fd = self.child.stdout_fd
        assert fd is not None
        parts: list[bytes] = []
        size = 0
        with closing(Reader(fd)) as output:
            async for data in chunks(output):
                *lines, rest = data.split(b"\n")
                for line in lines:
                    yield b"".join((*parts, line))
                    parts, size = [], 0
                parts.append(rest)
                size += len(rest)
                if size > LONGEST_LINE:
                    self.broken = f"it wrote a line of more than {LONGEST_LINE >> 20} MiB"
                    return

    def _message(self, line: bytes) -> SessionMessage | None:
        if not line.strip():
            return None
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except (ValidationError, ValueError, RecursionError):
            self.garbage = self.garbage or line_of(line[:1000].decode("utf-8", "replace"), 120)
            return None


@asynccontextmanager
async def wired(wire: Wire) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The streams of a session, while somebody carries what goes through them."""
    heard, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](64)
    outgoing, spoken = anyio.create_memory_object_stream[SessionMessage](64)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(wire.hear(heard), name="mcp stdout"),
            group.create_task(wire.speak(spoken), name="mcp stdin"),
            group.create_task(wire.keep_errors(), name="mcp stderr"),
        ]
        try:
            yield incoming, outgoing
        finally:
            for task in tasks:
                task.cancel()
            for stream in (heard, incoming, outgoing, spoken):
                stream.close()


async def chunks(output: Reader) -> AsyncIterator[bytes]:
    """What can be read from a program, to its end."""
    with suppress(OSError):
        while data := await output.read(CHUNK):
            yield data
