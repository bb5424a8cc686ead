"""Commands that are not run: a launcher that answers from a script, through real pipes.

For tests of tools and of what stands above them. It says nothing about sandboxes.
"""

import asyncio
import os
import signal
import sys
from collections import deque
from itertools import count
from typing import Final, Self

from msgspec import Struct

from octavo.process.spec import ExitStatus, Pipes, ProcessSpec
from octavo.protocol.errors import UsageError
from octavo.sandbox.confined import Confined

MOST_BYTES: Final = 60_000
"""What fits into a pipe that nobody reads yet."""


class Answer(Struct, frozen=True, kw_only=True):
    """What one command says and how it ends."""

    output: bytes = b""
    exit_code: int = 0
    endless: bool = False
    """It runs until somebody ends it."""


class PretendLauncher:
    """A `octavo.tools.base.Launcher` that starts nothing.

    >>> launcher = PretendLauncher().says("README\\n").says("no such file\\n", exit_code=1)
    """

    def __init__(self) -> None:
        self.started: list[ProcessSpec] = []
        """Every command that was asked for, in order."""
        self.escalated: list[ProcessSpec] = []
        """Those that were to run outside the sandbox."""
        self._answers: deque[Answer] = deque()
        self._pids = count(100_000_000)  # larger than any real one

    def says(self, output: str, *, exit_code: int = 0) -> Self:
        """The next command prints this, on both outputs merged, and ends."""
        data = output.encode()
        if len(data) > MOST_BYTES:
            raise UsageError(f"at most {MOST_BYTES} bytes fit; use a real command for more")
        self._answers.append(Answer(output=data, exit_code=exit_code))
        return self

    def runs(self, output: str = "") -> Self:
        """The next command prints this and runs until it is ended."""
        self._answers.append(Answer(output=output.encode(), endless=True))
        return self

    def prepare(self) -> None:
        """Nothing to prepare."""

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """The next answer of the script; after its end commands succeed without a word."""
        if not isinstance(spec.stdio, Pipes):
            raise UsageError("a pretended command has no terminal")
        self.started.append(spec)
        if escalated:
            self.escalated.append(spec)
        answer = self._answers.popleft() if self._answers else Answer()
        return Confined(PretendChild(next(self._pids), spec.stdio, answer), rung="none")


class PretendChild:
    """A `octavo.process.child.Child` without a process."""

    terminal_fd: int | None = None

    def __init__(self, pid: int, stdio: Pipes, answer: Answer) -> None:
        self.pid = pid
        self._fds: dict[str, int] = {}
        self._over = asyncio.Event()
        self._status = ExitStatus(code=answer.exit_code)
        self._writing = [self._pipe("stdout")]
        if not stdio.merge_stderr:
            self._writing.append(self._pipe("stderr"))
        self._reading = -1
        if stdio.stdin:
            self._reading, self._fds["stdin"] = os.pipe()
            unblock(self._fds["stdin"])
        os.write(self._writing[0], answer.output)
        if not answer.endless:
            self._end(self._status)

    def _pipe(self, name: str) -> int:
        self._fds[name], ours = os.pipe()
        unblock(self._fds[name])
        return ours

    def _end(self, status: ExitStatus) -> None:
        if not self._over.is_set():
            self._status = status
            self._over.set()
            for fd in self._writing:
                os.close(fd)
            if self._reading >= 0:
                os.close(self._reading)

    @property
    def stdin_fd(self) -> int | None:
        return self._fds.get("stdin")

    @property
    def stdout_fd(self) -> int | None:
        return self._fds.get("stdout")

    @property
    def stderr_fd(self) -> int | None:
        return self._fds.get("stderr")

    async def wait(self) -> ExitStatus:
        """Until the script lets it end."""
        await self._over.wait()
        return self._status

    async def gone(self) -> None:
        """The same: there is no tree."""
        await self._over.wait()

    def close_stdin(self) -> None:
        """End of input."""
        fd = self._fds.pop("stdin", None)
        if fd is not None:
            os.close(fd)

    def send_signal(self, number: int) -> None:
        """Any signal ends it."""
        self._end(ExitStatus(signal=number))

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(9)  # the name is not known on every system

    def resize(self, rows: int, cols: int) -> None:
        raise UsageError("this command has no terminal to resize")

    def close(self) -> None:
        """Ends it, and lets go of its pipes."""
        self.kill()
        while self._fds:
            os.close(self._fds.popitem()[1])


def unblock(fd: int) -> None:
    """Reading and writing do not wait, as with a real child's pipes."""
    if sys.platform != "win32":
        os.set_blocking(fd, False)
