"""Move bytes between a child and memory, in callbacks of the loop, without a task of its own.

Reading never waits for a slow reader of ours, writing never waits for a deaf child, and what
is kept is bounded. One read per turn of the loop, so a noisy command starves nobody.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Final, Literal

from octavo.process.child import Child, within
from octavo.process.output import Captured, HeadTailBuffer
from octavo.process.spec import MIB, OutputCaps
from octavo.protocol.errors import LimitReached, UsageError

if sys.platform == "win32":
    from octavo.process.watching_windows import Inlet, Outlet, end_of_typing
else:
    from octavo.process.watching import Inlet, Outlet, end_of_typing

READ_BYTES: Final = 1 << 16
DRAIN_BYTES: Final = MIB
"""The largest pipe an ordinary user can make: all that can be waiting when a command ends."""
PENDING_BYTES: Final = MIB
"""Input that waits for a command that does not read."""

StreamName = Literal["stdout", "stderr"]
"""A terminal and merged outputs are all `stdout`."""
OnOutput = Callable[[StreamName, bytes], None]


class Pump:
    """Collects a child's outputs and feeds its input until `close`.

    With `single_buffer` both outputs are collected as one, in the order they were read.
    What `on_output` raises ends the command and waits in `failure`.
    """

    def __init__(
        self,
        child: Child,
        *,
        caps: OutputCaps,
        single_buffer: bool = False,
        on_output: OnOutput | None = None,
    ) -> None:
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._on_output = on_output
        self._left = caps.limit_bytes
        self.limit_reached = False
        self.failure: Exception | None = None
        self._buffers = {"stdout": _buffer(caps)}
        if child.stderr_fd is not None and not single_buffer:
            self._buffers["stderr"] = _buffer(caps)
        self._open: dict[int, tuple[StreamName, Inlet]] = {}
        self._all_ended = asyncio.Event()
        self._feeder: Feeder | None = None
        self._watch("stdout", child.stdout_fd)
        self._watch("stderr", child.stderr_fd)
        self._watch("stdout", child.terminal_fd)

    @property
    def ended(self) -> bool:
        """Everybody who could still write has closed the outputs."""
        return not self._open

    @property
    def splits(self) -> bool:
        """The two outputs are kept apart."""
        return "stderr" in self._buffers

    def take(self, stream: StreamName = "stdout", *, final: bool) -> Captured:
        """What arrived since the last time; see `HeadTailBuffer.take`."""
        return self._buffers[stream].take(final=final)

    def feeder(self) -> "Feeder":
        """The child's input. Raises UsageError when it has none."""
        if self._feeder is None:
            self._feeder = Feeder(self._child)
        return self._feeder

    async def drain(self, grace_s: float) -> None:
        """After the exit: read all the command left behind, then wait a little for the end.

        Whoever still holds the pipe open after that may write what it likes: nobody reads it.
        """
        for fd in list(self._open):
            budget = DRAIN_BYTES
            while budget > 0 and (count := self._read(fd)):
                budget -= count
        if self._open:
            await within(grace_s, self._all_ended.wait())

    def close(self) -> None:
        """Stop reading and writing. The descriptors stay the child's."""
        for fd in list(self._open):
            self._forget(fd)
        if self._feeder is not None:
            self._feeder.close()

    def _watch(self, stream: StreamName, fd: int | None) -> None:
        if fd is None:
            return
        self._open[fd] = stream, Inlet(self._loop, fd, self._read)

    def _read(self, fd: int) -> int:
        """How much was there; 0 when nothing is waiting or the stream has ended."""
        found = self._open.get(fd)
        if found is None:
            return 0
        stream, inlet = found
        try:
            data = inlet.read(READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # a terminal says EIO when nobody has it open any more
            data = b""
        if data:
            self._accept(stream, data)
        else:
            self._forget(fd)
        return len(data)

    def _accept(self, stream: StreamName, data: bytes) -> None:
        if self._left is not None:
            over = len(data) > self._left
            data = data[: self._left]
            self._left -= len(data)
            if over:
                self.limit_reached = True
        self._buffers.get(stream, self._buffers["stdout"]).append(data)
        if self._on_output is not None and data:
            try:
                self._on_output(stream, data)
            except Exception as error:  # noqa: BLE001  # the callback is the caller's: it gets it back
                self.failure = error
        if self.limit_reached or self.failure is not None:
            self.close()
            self._child.kill()

    def _forget(self, fd: int) -> None:
        found = self._open.pop(fd, None)
        if found is not None:
            found[1].close()
        if not self._open:
            self._all_ended.set()


class Feeder:
    """Writes to a child's input as fast as the child reads, and remembers the rest."""

    def __init__(self, child: Child) -> None:
        fd = child.terminal_fd if child.stdin_fd is None else child.stdin_fd
        if fd is None:
            raise UsageError(
                "the command's standard input is closed",
                hint="Start it with a terminal to write to it later.",
            )
        self._child = child
        self._outlet = Outlet(asyncio.get_running_loop(), fd, self._on_writable)
        self._pending = bytearray()
        self._line_open = False
        self._end_wanted = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def write(self, data: bytes) -> None:
        """Queue input. Raises LimitReached when the command has not read for too long."""
        if len(self._pending) + len(data) > max(PENDING_BYTES, len(data)):
            raise LimitReached(
                f"the command has not read {len(self._pending)} bytes of its input yet",
                hint="Wait until it reads, or end it.",
            )
        if not data or self._closed:
            return
        self._pending += data
        self._line_open = not data.endswith(b"\n")
        self._idle.clear()
        self._outlet.want()

    def end(self) -> None:
        """No more input after what is queued: closes the pipe, types control-D in a terminal."""
        self._end_wanted = True
        if self._idle.is_set():
            self._finish()

    async def idle(self) -> None:
        """Until nothing is queued."""
        await self._idle.wait()

    async def flushed(self, deadline_s: float) -> bool:
        """Whether the command's side took everything in that time."""
        return await within(deadline_s, self._idle.wait())

    def close(self) -> None:
        """Drop what is queued and write nothing any more."""
        if not self._closed:
            self._closed = True
            self._outlet.close()
            self._pending.clear()
            self._idle.set()

    def _on_writable(self) -> None:
        try:
            count = self._outlet.write(self._pending[:READ_BYTES])
        except BlockingIOError:
            return
        except OSError:  # EPIPE, EIO: nobody will ever read it, which is the command's right
            self.close()
            self._child.close_stdin()
            return
        del self._pending[:count]
        if not self._pending:
            self._outlet.rest()
            self._idle.set()
            if self._end_wanted:
                self._finish()

    def _finish(self) -> None:
        if self._child.stdin_fd is not None:
            self.close()
            self._child.close_stdin()
        elif not self._closed:
            self._end_wanted = False
            self.write(end_of_typing(line_open=self._line_open))


def _buffer(caps: OutputCaps) -> HeadTailBuffer:
    return HeadTailBuffer(head_bytes=caps.head_bytes, tail_bytes=caps.tail_bytes)
