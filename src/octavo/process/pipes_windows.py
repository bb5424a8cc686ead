"""A running command on Windows as everybody else sees it, with pipes or a terminal, under asyncio.

The plain one is started here; the sandbox starts its own and wraps them in the same `WindowsChild`.
"""

import asyncio
import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from octavo.process.child import StartError
from octavo.process.spec import ExitStatus, Pipes, Terminal
from octavo.protocol.errors import UsageError

assert sys.platform == "win32"

from octavo.process import watching_windows
from octavo.process.handles_windows import Event, wait_any
from octavo.process.pty_windows import Typed
from octavo.process.spawn_windows import Command, Job, SpawnError, Started
from octavo.process.stdio_windows import Ends, open_and_start

POLL_S: Final = 0.01
"""A job tells nobody when it is empty; look this often."""
SCREEN_S: Final = 2.0
"""After the end of a command with a terminal: so long for its last output to come through."""
END_S: Final = 5.0


class WindowsStartError(StartError):
    """The command could not be started; `code` is the number Windows gave."""

    def __init__(self, name: str, code: int, message: str, *, folder: str | None = None) -> None:
        super().__init__(name, ctypes.WinError(code), folder=folder)
        self.args = (message,)
        self.code = code


class WindowsChild:
    """A `Child` whose process this program started. `also`: what to give back at the end."""

    def __init__(
        self, started: Started, job: Job, ends: Ends, *, also: Callable[[], None] = lambda: None
    ) -> None:
        self._started = started
        self._job = job
        self._ends = ends
        self._also = also
        self._status: ExitStatus | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closing = Event()
        self._closed = False
        self._fds = {
            name: watching_windows.offer(channel) for name, channel in ends.channels.items()
        }
        self._hanging_up: threading.Thread | None = None
        if ends.console is not None:
            typed = Typed()
            self._fds["terminal"] = watching_windows.offer(
                ends.console.output, typing=ends.console.input, translate=typed.feed
            )
        self._thread = threading.Thread(target=self._sit, name=f"await {started.pid}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def stdin_fd(self) -> int | None:
        return self._fds.get("stdin")

    @property
    def stdout_fd(self) -> int | None:
        return self._fds.get("stdout")

    @property
    def stderr_fd(self) -> int | None:
        return self._fds.get("stderr")

    @property
    def terminal_fd(self) -> int | None:
        return self._fds.get("terminal")

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        return self._status or ExitStatus()

    async def gone(self) -> None:
        await self._ended.wait()
        while self._job.active:  # noqa: ASYNC110 - a job sets no event when it is empty
            await asyncio.sleep(POLL_S)

    def close_stdin(self) -> None:
        number = self._fds.pop("stdin", None)
        if number is not None:
            watching_windows.revoke(number)
            self._ends.channels.pop("stdin").close()

    def send_signal(self, number: int) -> None:  # Windows has none: all of them end it
        if self._status is None:
            self._job.terminate()

    def terminate(self) -> None:
        # Nobody can be asked: a command without a console of ours has nothing to be asked through.
        self._job.terminate()

    def kill(self) -> None:
        self._job.terminate()

    def resize(self, rows: int, cols: int) -> None:
        if self._ends.console is None:
            raise UsageError("this command has no terminal to resize")
        size = Terminal(rows=rows, cols=cols)
        self._ends.console.resize(size.rows, size.cols)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        if self._started.exit_code() is None:
            self._job.terminate()
        else:
            self._job.release()  # what it left behind in the background lives on
        self._thread.join(END_S)
        while self._fds:
            watching_windows.revoke(self._fds.popitem()[1])
        for channel in self._ends.channels.values():
            channel.close()
        if self._ends.console is not None:
            self._ends.console.close()
        if self._hanging_up is not None:
            self._hanging_up.join(END_S)
        self._job.close()
        self._started.close()
        self._closing.close()
        self._also()

    def _sit(self) -> None:
        """In a thread: until the command has ended and its screen is complete, or we close."""
        if wait_any((self._started.value, self._closing.value), None) == 0:
            self._finish_screen()
        code = self._started.exit_code(END_S)
        self._status = ExitStatus(code=code)
        with suppress(RuntimeError):  # the loop was closed in the meantime
            self._loop.call_soon_threadsafe(self._ended.set)

    def _finish_screen(self) -> None:
        console = self._ends.console
        if console is None:
            return
        # It can wait for its output to be read: not in this thread, which has a deadline.
        self._hanging_up = threading.Thread(target=console.hang_up, name="hang up", daemon=True)
        self._hanging_up.start()
        for _ in range(round(SCREEN_S / POLL_S)):
            if self._closing.wait(POLL_S) or console.output.at_end:
                return


async def start(command: Command, stdio: Pipes | Terminal) -> WindowsChild:
    """Start a command on this machine, unconfined. The caller closes the child.

    Raises StartError when Windows refuses: no such program, folder, permission.
    """
    return launch(command, stdio)


def launch(
    command: Command,
    stdio: Pipes | Terminal,
    *,
    token: int | None = None,
    desktop: str | None = None,
    also: Callable[[], None] = lambda: None,
) -> WindowsChild:
    """Start a command, as `token` on `desktop` when they are given. Needs a running loop.

    `also` is called when the child is closed, or nothing was started. Raises StartError, OSError.
    """
    with ExitStack() as undo:
        undo.callback(also)
        job = Job()
        undo.callback(job.close)
        try:
            ends, started = open_and_start(
                command, stdio, job=job, token=token, desktop=desktop, undo=undo
            )
        except SpawnError as error:
            folder = error.folder
            raise WindowsStartError(command.name, error.code, str(error), folder=folder) from error
        undo.callback(started.close)
        child = WindowsChild(started, job, ends, also=also)
        undo.pop_all()
        return child
