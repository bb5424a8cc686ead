"""A command in the other account as everybody else sees it: a `Child` made of messages.

One thread hears the runner and writes what the command said into pipes of our own, which are
watched like any command's; one reads what is typed and sends it on, as fast as the command reads.
"""

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from octavo.process.spec import ExitStatus, Pipes, Terminal
from octavo.protocol.errors import UsageError
from octavo.sandbox.windows import frames
from octavo.sandbox.windows.frames import (
    CloseStdin,
    Exit,
    Failure,
    FrameError,
    Output,
    Resize,
    Stdin,
    StdinTaken,
    Terminate,
)

assert sys.platform == "win32"

from octavo.process import watching_windows
from octavo.process.handles_windows import Channel, Stopped, channel_pair
from octavo.sandbox.win32.client import Session

POLL_S: Final = 0.01
OBEY_S: Final = 5.0
"""A runner that was asked to end the command and has not by then is ended itself."""
DEAF_S: Final = 1.0
"""After a kill: so long for somebody to read what the command still said."""
END_S: Final = 5.0
LOST: Final = -1
"""The code of a command whose runner went away."""


class RunnerChild:
    """A `Child` in the other account. `also`: what to give back at the end."""

    def __init__(
        self,
        session: Session,
        stdio: Pipes | Terminal,
        *,
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._terminal = isinstance(stdio, Terminal)
        self._also = also
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._status: ExitStatus | None = None
        self._closed = False
        self._killed = False
        self._ordering = False
        self._credit = threading.Condition()
        self._ahead = 0
        self._fds: dict[str, int] = {}
        self._ours: dict[str, Channel] = {}
        self._theirs: dict[str, Channel] = {}
        """The other ends of `_ours`: our own threads use them."""
        self._open(stdio)
        self._done = threading.Event()
        self._orders: queue.SimpleQueue[Resize | Terminate | None] = queue.SimpleQueue()
        self._threads = [self._thread("hear", self._hear)]
        if "stdin" in self._theirs:
            self._threads.append(self._thread("type", self._type))

    def _open(self, stdio: Pipes | Terminal) -> None:
        if isinstance(stdio, Terminal):
            names: tuple[str, ...] = ("stdout", "stdin")
        else:
            outputs = ("stdout",) if stdio.merge_stderr else ("stdout", "stderr")
            names = (*outputs, "stdin") if stdio.stdin else outputs
        for name in names:
            reader, writer = channel_pair()
            ends = (writer, reader) if name == "stdin" else (reader, writer)
            self._ours[name], self._theirs[name] = ends
        if self._terminal:
            self._fds["terminal"] = watching_windows.offer(
                self._ours["stdout"], typing=self._ours["stdin"]
            )
        else:
            self._fds = {name: watching_windows.offer(end) for name, end in self._ours.items()}

    @property
    def pid(self) -> int:
        return self._session.pid

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
        while not self._over_there:  # noqa: ASYNC110 - a process sets no event of the loop
            await asyncio.sleep(POLL_S)

    @property
    def _over_there(self) -> bool:
        return self._closed or self._session.runner.exit_code() is not None

    def close_stdin(self) -> None:
        number = self._fds.pop("stdin", None)
        if number is not None:
            watching_windows.revoke(number)
            self._ours.pop("stdin").close()

    def send_signal(self, number: int) -> None:  # Windows has none: all of them end it
        self.kill()

    def terminate(self) -> None:
        self.kill()

    def kill(self) -> None:
        if not self._killed and self._status is None:
            self._killed = True
            self._order(Terminate())

    def resize(self, rows: int, cols: int) -> None:
        if not self._terminal:
            raise UsageError("this command has no terminal to resize")
        size = Terminal(rows=rows, cols=cols)
        self._order(Resize(rows=min(size.rows, 0x7FFF), cols=min(size.cols, 0x7FFF)))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._status is None:
            self._session.runner.terminate()  # its job goes with it, and the command with that
        for channel in (*self._ours.values(), *self._theirs.values()):
            channel.cancel()
        self._session.wire.cancel()
        with self._credit:
            self._credit.notify_all()
        self._orders.put(None)
        for thread in self._threads:
            thread.join(END_S)
        while self._fds:
            watching_windows.revoke(self._fds.popitem()[1])
        for channel in (*self._ours.values(), *self._theirs.values()):
            channel.close()
        self._session.close()
        self._also()

    # Threads.

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        made = threading.Thread(target=work, name=f"{name} {self.pid}", daemon=True)
        made.start()
        return made

    def _hear(self) -> None:
        """Until the runner has said how it ended, or has nothing to say any more."""
        code = LOST
        try:
            code = self._until_end()
        except FrameError as error:
            self._complain(f"the runner said something that is no message: {error}")
        except OSError as error:
            self._complain(f"the runner went away: {error}")
        except Stopped:
            pass
        finally:
            for name in ("stdout", "stderr"):
                if name in self._theirs:
                    self._theirs[name].close()
            self._status = ExitStatus(code=code)
            self._done.set()
            with self._credit:
                self._credit.notify_all()
            with suppress(RuntimeError):  # the loop was closed in the meantime
                self._loop.call_soon_threadsafe(self._ended.set)

    def _until_end(self) -> int:
        while True:
            message = self._session.wire.receive()
            match message:
                case Output(data=data, stream=stream):
                    self._say(data, stream)
                case StdinTaken(count=count):
                    with self._credit:
                        self._ahead -= count
                        self._credit.notify_all()
                case Exit(exit_code=code):
                    return code
                case Failure(message=text, windows_error_code=number):
                    self._complain(f"{text} (Windows error {number})" if number else text)
                    return LOST
                case None:
                    self._complain("the runner ended without a word")
                    return LOST
                case _:
                    pass  # it runs already

    def _say(self, data: bytes, stream: str) -> None:
        """What the command wrote, for whoever reads it; nobody has to."""
        channel = self._theirs.get(stream) or self._theirs["stdout"]
        with suppress(Stopped, OSError):
            channel.write_all(data)

    def _complain(self, text: str) -> None:
        self._say(f"octavo: {text}\n".encode("utf-8", "backslashreplace"), "stderr")

    def _type(self) -> None:
        channel = self._theirs["stdin"]
        with suppress(Stopped, OSError):
            while data := channel.read(1 << 16):
                with self._credit:
                    self._credit.wait_for(lambda: self._ahead < frames.STDIN_AHEAD or self._over)
                    self._ahead += len(data)
                if self._over:
                    return
                self._session.wire.send(Stdin(data=data))
            if not self._terminal:
                self._session.wire.send(CloseStdin())

    @property
    def _over(self) -> bool:
        return self._closed or self._status is not None

    def _order(self, order: Resize | Terminate) -> None:
        """Have it said by a thread: the runner may be slow to hear."""
        if self._closed:
            return
        if not self._ordering:
            self._ordering = True
            self._threads.append(self._thread("order", self._give_orders))
        self._orders.put(order)

    def _give_orders(self) -> None:
        while (order := self._orders.get()) is not None:
            with suppress(Stopped, OSError):
                self._session.wire.send(order, timeout_s=OBEY_S)
            if isinstance(order, Terminate):
                self._see_the_end()

    def _see_the_end(self) -> None:
        """The runner was asked to end the command: it is ended itself when it does not."""
        if not self._done.wait(DEAF_S):
            for name in ("stdout", "stderr"):
                if name in self._theirs:
                    self._theirs[
                        name
                    ].cancel()  # nobody reads: what the command still says is dropped
        if self._session.runner.exit_code(OBEY_S) is None:
            self._session.runner.terminate()
