"""Both ends of the two pipes between Octavo and the runner in the other account, with frames.

Octavo makes the pipes, for one account and one client each, and looks who connected. Every wait
has a deadline or ends with `cancel`.
"""

import secrets
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import frames
from octavo.sandbox.windows.frames import Decoder, FrameError, Message

assert sys.platform == "win32"

from octavo.process.handles_windows import (
    FILE_FLAG_OVERLAPPED,
    Channel,
    create_pipe,
    open_file,
)
from octavo.process.spawn_windows import Started

if TYPE_CHECKING:
    from collections.abc import Iterator

READ: Final = 1 << 16


class Wire:
    """Messages over a pair of pipes: one thread reads, any thread sends."""

    def __init__(self, incoming: Channel, outgoing: Channel, expected: frozenset[str]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._decoder = Decoder(expected)
        self._ready: Iterator[Message] = iter(())
        self._sending = threading.Lock()

    def receive(self, *, timeout_s: float | None = None) -> Message | None:
        """The next message; None when the other side has hung up between two.

        Raises FrameError, TimeoutError, Stopped after `cancel`.
        """
        while True:
            message = next(self._ready, None)
            if message is not None:
                return message
            try:
                data = self._incoming.read(READ, timeout_s=timeout_s)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                data = b""
            if not data:
                self._decoder.end()
                return None
            self._ready = self._decoder.feed(data)

    def send(self, message: Message, *, timeout_s: float | None = None) -> None:
        """Send one, whole. Raises FrameError, TimeoutError, OSError, Stopped after `cancel`."""
        frame = frames.encode(message)
        if not self._sending.acquire(timeout=-1 if timeout_s is None else timeout_s):
            raise TimeoutError("another message is not through yet")
        try:
            self._outgoing.write_all(frame, timeout_s=timeout_s)
        finally:
            self._sending.release()

    def cancel(self) -> None:
        """End what any thread waits for in here, now and later."""
        self._incoming.cancel()
        self._outgoing.cancel()

    def close(self) -> None:
        """Give the pipes back; no thread may be in here any more."""
        self._incoming.close()
        self._outgoing.close()


class Pipes:
    """Octavo's ends, before anybody connected. Whoever holds them closes them or takes the wire."""

    def __init__(self, account: str) -> None:
        """For the account with that SID. Raises OSError."""
        self.names: Final = frames.pipe_names(secrets.token_bytes(16))
        with ExitStack() as undo:
            sddl = frames.pipe_security(account)
            self._into = create_pipe(self.names[0], frames.PIPE_FLAGS["in"], sddl=sddl)
            undo.callback(self._into.close)
            self._out = create_pipe(self.names[1], frames.PIPE_FLAGS["out"], sddl=sddl)
            undo.pop_all()

    def connect(self, started: Started, *, timeout_s: float = frames.CONNECT_S) -> Wire:
        """Wait for the runner, which is that process and nobody else.

        Raises SandboxUnavailable for a stranger, TimeoutError, Stopped after `cancel`, OSError;
        109 when the runner ended before it connected.
        """
        deadline = time.monotonic() + timeout_s
        for name, channel in zip(self.names, (self._into, self._out), strict=True):
            channel.connect(started.value, timeout_s=max(0.0, deadline - time.monotonic()))
            client = channel.client
            if client != started.pid:
                raise SandboxUnavailable(
                    f"process {client} opened {name}, which is for the runner, process {started.pid}; "
                    "the command did not run",
                    hint="End that program: it must not listen to Octavo.",
                )
        return Wire(self._out, self._into, frames.FROM_RUNNER)

    def cancel(self) -> None:
        """End what any thread waits for in here."""
        self._into.cancel()
        self._out.cancel()

    def close(self) -> None:
        """Give both back; not after `connect`, where the wire owns them."""
        self._into.close()
        self._out.close()


def open_wire(pipe_in: str, pipe_out: str) -> Wire:
    """The runner's ends. Raises OSError, FrameError for names that are none of ours."""
    for name, end in ((pipe_in, "-in"), (pipe_out, "-out")):
        if not name.startswith(frames.PIPE_PREFIX) or not name.endswith(end):
            raise FrameError(f"{name!r} is no pipe of Octavo's", part="pipe")
    incoming = _open(pipe_in, frames.RUNNER_ACCESS["in"])
    try:
        outgoing = _open(pipe_out, frames.RUNNER_ACCESS["out"])
    except BaseException:
        incoming.close()
        raise
    return Wire(incoming, outgoing, frames.TO_RUNNER)


def _open(name: str, access: int) -> Channel:
    return Channel(open_file(name, access, flags=FILE_FLAG_OVERLAPPED))
