"""The program in the sandbox account: starts one command as it is told, and stays with it.

`python -I … --pipe-in=NAME --pipe-out=NAME`. What is decided here decides nothing about rights:
the request says which SIDs the command's token has, and the account is what its walls are made of.

Theory of operation. The main thread waits for whatever comes first: the command's end, its time,
`terminate`, or the end of the pipe, which means that nobody is left to run the command for. One
thread reads each output, one takes messages, one feeds the input. After the command's end what it
wrote is passed on to the last byte; a program it left behind may hold the outputs open, so that
wait ends with the same events, and after a while in which nothing comes.
"""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Final, Literal

import pywintypes
import win32api
import win32con
import win32event

from octavo.process import argv_windows as argv
from octavo.protocol.errors import OctavoError
from octavo.sandbox.windows import desktops, frames, log, setup
from octavo.sandbox.windows.frames import (
    CloseStdin,
    Exit,
    Failure,
    FrameError,
    Message,
    Output,
    Resize,
    SpawnReady,
    SpawnRequest,
    Stdin,
    StdinTaken,
    Terminate,
)

assert sys.platform == "win32"

from octavo.process.handles_windows import Channel, Event, Stopped, wait_any
from octavo.process.pty_windows import Typed
from octavo.process.spawn_windows import Command, Job, Started
from octavo.process.spec import Pipes, Terminal
from octavo.process.stdio_windows import Ends, open_and_start
from octavo.sandbox.win32 import desktop, disk, ipc, own, token
from octavo.sandbox.win32.winapi import CallError

USAGE: Final = "usage: --pipe-in=NAME --pipe-out=NAME"
REQUEST_S: Final = 15.0
SEND_S: Final = 5.0
"""The last message: whoever does not take it by then has gone."""
QUIET_S: Final = 1.0
"""After the command's end: so long without a byte from those it left behind."""
DRAIN_S: Final = 10.0
"""After the command's end: at most."""
GRANTS_S: Final = 10.0
"""So long a folder may not be readable yet while rights to read are being given."""
LOOK_S: Final = 0.1
STOP_S: Final = 1.0
SYNCHRONIZE: Final = 0x100000
INHERITABLE: Final = False
HIDDEN_SYSTEM: Final = 0x2 | 0x4
BAD_USAGE: Final = 2


def main(arguments: list[str]) -> int:
    """Serve one command; the exit code is its own."""
    names = pipe_arguments(arguments)
    if names is None:
        sys.stderr.write(USAGE + "\n")
        return BAD_USAGE
    try:
        wire = ipc.open_wire(*names)
    except (OSError, FrameError) as error:
        sys.stderr.write(f"{error}\n")
        return frames.TERMINATED_EXIT
    hide_profile()
    try:
        return serve(wire)
    finally:
        wire.close()


def pipe_arguments(arguments: list[str]) -> tuple[str, str] | None:
    """The two names; None when these are other arguments."""
    found = dict(each.partition("=")[::2] for each in arguments)
    if len(arguments) != 2 or set(found) != {"--pipe-in", "--pipe-out"}:
        return None
    return found["--pipe-in"], found["--pipe-out"]


def hide_profile() -> None:
    """The account's own folder among the users' ones, which nobody needs to see."""
    with suppress(pywintypes.error, OSError, KeyError):
        if win32api.GetUserName() in (setup.OFFLINE, setup.ONLINE):
            folder = os.path.expanduser("~")
            win32api.SetFileAttributes(folder, win32con.FILE_ATTRIBUTE_DIRECTORY | HIDDEN_SYSTEM)


def serve(wire: ipc.Wire) -> int:
    """Read the request, start the command, stay until its end."""
    try:
        request = wire.receive(timeout_s=REQUEST_S)
    except (FrameError, TimeoutError) as error:
        return refuse(wire, "read_spawn_request", str(error), None)
    if request is None:
        return frames.TERMINATED_EXIT
    if not isinstance(request, SpawnRequest):
        return refuse(wire, "read_spawn_request", f"{request.kind} before a request", None)
    diary = Log(request)
    diary.write("START")
    with ExitStack() as undo:
        try:
            run = begin(request, wire, undo, diary)
        except (OctavoError, OSError, pywintypes.error) as error:
            diary.write("FAILURE", str(error))
            return refuse(wire, "spawn_child", told(error, request), code_of(error))
        try:
            wire.send(SpawnReady(process_id=run.started.pid), timeout_s=SEND_S)
        except (OSError, Stopped) as error:
            run.job.terminate()
            diary.write("FAILURE", f"nobody took the news of the start: {error}")
            return refuse(wire, "write_spawn_ready", str(error), None)
        undo.callback(run.stop)
        code = run.until_end()
        diary.write("SUCCESS" if code == 0 else "FAILURE", f"exit code {code}")
    return code


def refuse(wire: ipc.Wire, stage: str, message: str, code: int | None) -> int:
    """Say what could not be done, and be done."""
    with suppress(OSError, Stopped, FrameError):
        wire.send(Failure(message=message, stage=stage, windows_error_code=code), timeout_s=SEND_S)
    return frames.TERMINATED_EXIT


def code_of(error: Exception) -> int | None:
    """Windows' number, where it gave one."""
    if isinstance(error, CallError):
        return error.code
    if isinstance(error, argv.NotFoundError):
        return 2
    number = getattr(error, "winerror", None)
    return number if isinstance(number, int) and 0 <= number <= 0xFFFFFFFF else None


def told(error: Exception, request: SpawnRequest) -> str:
    """Everything a person needs to understand it; programs take stage and code."""
    size = sum(len(name) + len(value) + 2 for name, value in request.env.items())
    return (
        f"{error}; command {setup.preview(request.command)!r} in {request.cwd!r}, "
        f"{len(request.env)} variables of {size} characters, "
        f"{'terminal' if request.tty else 'pipes'}"
    )


class Log:
    """A line when a command starts and one when it ended. A log that cannot be written stops nothing."""

    def __init__(self, request: SpawnRequest) -> None:
        self._folder = request.octavo_home
        self._preview = setup.preview(request.command)

    def write(self, word: str, more: str = "") -> None:
        """Append a line."""
        now = datetime.now().astimezone()
        text = f"{word}: {self._preview}" + (f" ({more})" if more else "")
        with suppress(OSError), open(os.path.join(self._folder, log.file_name(now)), "ab") as file:
            file.write(log.line(now, "runner", text))


# Starting ----------------------------------------------------------------------------------------


def begin(request: SpawnRequest, wire: ipc.Wire, undo: ExitStack, diary: Log) -> "Run":
    """Start the command; what has to live as long as it is closed by `undo`.

    Raises OctavoError or OSError: nothing runs then.
    """
    problem = frames.check_request(request)
    if problem is not None:
        raise OctavoError(problem)
    restricted = token.for_runner(request.cap_sids, proxy=request.network_proxy_restricting_sid)
    undo.callback(restricted.close)
    allow_nul(request, diary)
    await_read_grants(request.cwd)
    place = desktops.SHARED
    if request.private_desktop_name != desktops.SHARED:
        private = desktop.open_named(request.private_desktop_name)
        undo.callback(private.close)
        place = private.full_name
    job = Job()
    undo.callback(job.close)
    stdio = (
        Terminal(rows=request.rows, cols=request.cols)
        if request.tty
        else Pipes(stdin=request.stdin_open)
    )
    ends, started = open_and_start(
        command_of(request), stdio, job=job, token=restricted.value, desktop=place, undo=undo
    )
    return Run(request, wire, ends, started, job)


def command_of(request: SpawnRequest) -> Command:
    """The command as Windows takes it: programs are looked for with the account's own eyes."""
    comspec = os.path.join(win32api.GetSystemDirectory(), "cmd.exe")
    application, line = argv.resolved(
        request.command, request.cwd, request.env, is_file=os.path.isfile, comspec=comspec
    )
    return Command(
        application=application,
        line=line,
        block=argv.block(request.env),
        cwd=request.cwd,
        name=request.command[0],
    )


def allow_nul(request: SpawnRequest, diary: Log) -> None:
    """Let the command's token use the NUL device: usually everybody may, and nothing is written.

    A command that cannot use it says so itself; no rule depends on it.
    """
    try:
        if disk.allow_nul((*request.cap_sids, own.logon_sid())):
            return
        problem = "only an administrator can open it"
    except (OctavoError, OSError, pywintypes.error) as error:
        problem = str(error)
    diary.write("NOTE", f"the NUL device is not open to the command: {problem}")


def await_read_grants(cwd: str) -> None:
    """While rights to read are still being given, the folder may become readable."""
    pause = threading.Event()
    for _ in range(round(GRANTS_S / LOOK_S)):
        if readable(cwd) or not grants_running():
            return
        pause.wait(LOOK_S)


def readable(folder: str) -> bool:
    """Can the account open it? What is missing is somebody else's error."""
    try:
        os.scandir(folder).close()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def grants_running() -> bool:
    """Is somebody at it?"""
    try:
        win32event.OpenMutex(SYNCHRONIZE, INHERITABLE, setup.READ_MUTEX)
    except pywintypes.error as error:
        return error.winerror == 5  # it is there, and not for us
    return True


# Running -----------------------------------------------------------------------------------------


class _End(Enum):
    """What else can stand in the queue of input."""

    INPUT = "no more input"
    OVER = "no more command"


class Run:
    """A command that runs, with the threads that move its bytes."""

    def __init__(
        self, request: SpawnRequest, wire: ipc.Wire, ends: Ends, started: Started, job: Job
    ) -> None:
        self.started = started
        self.job = job
        self._wire = wire
        self._ends = ends
        self._began = time.monotonic()
        self._deadline = None if request.timeout_ms is None else request.timeout_ms / 1000
        self._terminate = Event()
        self._gone = Event()
        self._drained = Event()
        self._heard = self._began
        self._lock = threading.Lock()
        self._outputs = 0
        self._over = False
        self._input: queue.SimpleQueue[bytes | _End] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ahead = 0

    def until_end(self) -> int:
        """Move bytes until the command is over, and say how it ended; its exit code."""
        self._start_threads()
        ended = self._first(self.started.value, self._left())
        if ended == 0:
            code, timed_out = self._after_end()
        else:
            code, timed_out = self._cut_off(ended)
        with self._lock:
            self._over = True
        if not self._gone.is_set:
            with suppress(OSError, Stopped):
                self._wire.send(Exit(exit_code=code, timed_out=timed_out), timeout_s=SEND_S)
        return code

    def _start_threads(self) -> None:
        console = self._ends.console
        outputs = (
            {"stdout": console.output}
            if console is not None
            else {name: self._ends.channels[name] for name in ("stdout", "stderr")}
        )
        self._outputs = len(outputs)
        for name, channel in outputs.items():
            self._thread(f"read {name}", partial(self._forward, name, channel))
        into = console.input if console is not None else self._ends.channels.get("stdin")
        self._thread("feed", partial(self._feed, into))
        self._thread("listen", self._listen)

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, name=name, daemon=True))
        self._threads[-1].start()

    def stop(self) -> None:
        """End the threads: whatever they wait for, nobody needs it any more."""
        console = self._ends.console
        ends = (console.input, console.output) if console is not None else ()
        for channel in (*self._ends.channels.values(), *ends):
            channel.cancel()
        self._wire.cancel()
        self._input.put(_End.OVER)
        for thread in self._threads:
            thread.join(STOP_S)

    # How it ends.

    def _left(self) -> float | None:
        """Seconds until the time is up; None without a limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._began + self._deadline - time.monotonic())

    def _first(self, handle: int, timeout_s: float | None) -> int | None:
        """Which comes first: the handle (0), `terminate` (1), the pipe's end (2), the time (None)."""
        return wait_any((handle, self._terminate.value, self._gone.value), timeout_s)

    def _cut_off(self, ended: int | None) -> tuple[int, bool]:
        """End everything: time is up (None), asked to (1), or nobody is there any more (2)."""
        self.job.terminate()
        if ended != 2:
            self._hang_up()
            wait_any((self._drained.value, self._gone.value), SEND_S)
        timed_out = ended is None
        return frames.TIMED_OUT_EXIT if timed_out else frames.TERMINATED_EXIT, timed_out

    def _after_end(self) -> tuple[int, bool]:
        """The command ended by itself: pass on what it wrote; what it left behind lives on."""
        code = self.started.exit_code()
        assert code is not None
        self._hang_up()
        self._heard = ended_at = time.monotonic()
        while True:
            patience = min(self._heard + QUIET_S, ended_at + DRAIN_S) - time.monotonic()
            left = self._left()
            came = self._first(
                self._drained.value, max(0.0, patience if left is None else min(patience, left))
            )
            if came in (1, 2) or (came is None and left is not None and self._left() == 0):
                return self._cut_off(came)
            if came == 0 or patience <= 0:
                break
        self.job.release()
        return code, False

    def _hang_up(self) -> None:
        # It may wait until its output has been read: not here.
        if self._ends.console is not None:
            self._thread("hang up", self._ends.console.hang_up)

    # Threads.

    def _forward(self, name: str, channel: Channel) -> None:
        with suppress(Stopped, OSError):
            while data := channel.read(frames.PIECE):
                self._heard = time.monotonic()
                stream: Literal["stdout", "stderr"] = "stderr" if name == "stderr" else "stdout"
                if not self._send(Output(data=data, stream=stream)):
                    break
        with self._lock:
            self._outputs -= 1
            if not self._outputs:
                self._drained.set()

    def _listen(self) -> None:
        with suppress(Stopped, OSError, FrameError):
            while (message := self._wire.receive()) is not None and self._obey(message):
                pass
        self._gone.set()

    def _obey(self, message: Message) -> bool:
        """Do what it says; false for what nobody may say."""
        match message:
            case Stdin(data=data):
                with self._lock:
                    self._ahead += len(data)
                    if self._ahead > frames.STDIN_LIMIT:
                        return False
                self._input.put(data)
            case CloseStdin():
                self._input.put(_End.INPUT)
            case Resize(rows=rows, cols=cols):
                if self._ends.console is not None:
                    self._ends.console.resize(rows, cols)
            case Terminate():
                self._terminate.set()
            case _:
                return False
        return True

    def _feed(self, channel: Channel | None) -> None:
        typed = Typed() if self._ends.console is not None else None
        while (data := self._input.get()) is not _End.OVER:
            if data is _End.INPUT:
                # A terminal has no end: whoever types says what it takes for one.
                if typed is None and channel is not None:
                    channel.close()
                    channel = None
                continue
            if channel is not None:
                try:
                    channel.write_all(data if typed is None else typed.feed(data))
                except Stopped:
                    return
                except OSError:  # nobody will read it, which is the command's right
                    channel.close()
                    channel = None
            with self._lock:
                self._ahead -= len(data)
            self._send(StdinTaken(count=len(data)))

    def _send(self, message: Message) -> bool:
        """False when it is over, or nobody is there any more."""
        if self._over:
            return False
        try:
            self._wire.send(message)
        except (OSError, Stopped):
            self._gone.set()
            return False
        return True


if __name__ == "__main__":
    result = main(sys.argv[1:])
    sys.stderr.flush()
    # Threads may still wait for a command's leftovers; nothing of theirs is needed any more.
    os._exit(result)
