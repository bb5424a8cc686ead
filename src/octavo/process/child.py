"""A running command as everybody else sees it, confined or not.

The plain one is made by `octavo.process.pipes`, the confined one by the sandbox launchers.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable
from typing import Final, Protocol

from octavo.process.spec import ExitStatus
from octavo.protocol.errors import UsageError

GRACE_S: Final = 0.25
"""Between the polite request to end and the sure end, unless the caller says otherwise."""
SURE_S: Final = 5.0
"""A killed process is gone in milliseconds; one stuck in a dead disk or mount never is."""


class StartError(UsageError):
    """The command could not be started; `shell_code` is what a shell would exit with."""

    def __init__(self, program: str, error: OSError, *, folder: str | None = None) -> None:
        subject = f"{program!r} in {folder!r}" if folder is not None else repr(program)
        reason = os.strerror(error.errno) if error.errno else str(error)
        super().__init__(f"cannot start {subject}: {reason}", hint=HINTS.get(error.errno or 0))
        self.errno = error.errno
        self.shell_code = 127 if error.errno == errno.ENOENT else 126


HINTS: Final = {
    errno.ENOENT: "Check the spelling, the PATH of the command and the folder.",
    errno.EACCES: "Check that the file is a program and may be executed.",
    errno.ENOEXEC: "Name the interpreter, for example `sh FILE`.",
    errno.E2BIG: "Pass long values in a file or on standard input.",
    errno.EMFILE: "Too many files are open in this program.",
    errno.EAGAIN: "Too many processes are running for this user.",
}


class Child(Protocol):
    """A started command with everything that belongs to it. Whoever holds it closes it.

    The descriptors stay the child's: read, write and watch them, never close them. They do not
    block. With a terminal, `terminal_fd` is set and the other three are None.
    """

    @property
    def pid(self) -> int:
        """The process that `wait` is about (or its stand-in outside a sandbox)."""
        ...

    @property
    def stdin_fd(self) -> int | None: ...
    @property
    def stdout_fd(self) -> int | None: ...
    @property
    def stderr_fd(self) -> int | None: ...
    @property
    def terminal_fd(self) -> int | None: ...

    async def wait(self) -> ExitStatus:
        """Until the command itself has ended; its background children may live on.

        Any number of callers, any number of times; the answer stays.
        """
        ...

    async def gone(self) -> None:
        """Until nothing of the whole tree runs any more, as far as this system can tell."""
        ...

    def close_stdin(self) -> None:
        """End of input. Nothing happens with a terminal or when it is closed already."""
        ...

    def send_signal(self, number: int) -> None:
        """To the command's process group; nothing happens when it has ended."""
        ...

    def terminate(self) -> None:
        """Ask the whole tree to end."""
        ...

    def kill(self) -> None:
        """End the whole tree, at once and without its consent. Returns before it is gone."""
        ...

    def resize(self, rows: int, cols: int) -> None:
        """Give the terminal a new size; UsageError without a terminal."""
        ...

    def close(self) -> None:
        """Release descriptors and the process entry; kills the tree if the command runs."""
        ...


async def end(child: Child, *, grace_s: float = GRACE_S) -> bool:
    """End the tree politely, then surely. True when nothing of it is left.

    Cancelling this skips the rest of the grace: the kill is always sent.
    """
    gone = False
    try:
        if grace_s > 0:
            child.terminate()
            gone = await within(grace_s, child.gone())
    finally:
        if not gone:
            child.kill()
    return gone or await within(SURE_S, child.gone())


async def within(seconds: float, event: Awaitable[object]) -> bool:
    """Whether it happened in that time."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return False
    return True
