"""Octavo's side of one runner: start it in the account, connect, have it start the command.

Blocking, for a worker thread; `Stop` ends every wait in here. What is started twice is started
from the same value (`octavo.sandbox.windows.retry`).
"""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from octavo.sandbox.windows import frames, retry
from octavo.sandbox.windows.frames import Failure, FrameError, SpawnReady
from octavo.sandbox.windows.retry import AttemptError, Failed, Launch, Where

assert sys.platform == "win32"

from octavo.process.handles_windows import Stopped
from octavo.process.spawn_windows import Started
from octavo.sandbox.win32.ipc import Pipes, Wire
from octavo.sandbox.win32.logon import Account, Logon
from octavo.sandbox.win32.winapi import CallError

OVER_HINT = "Look into the sandbox's log, or run `octavo sandbox doctor`."


class Stop:
    """Somebody wants it to end: what waits is woken, now or as soon as it would wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._asked = False

    def ask(self) -> None:
        """End it."""
        with self._lock:
            self._asked = True
            wake = self._wake
        if wake is not None:
            wake()

    def wakes(self, wake: Callable[[], None] | None) -> None:
        """From now on this is what has to be woken. Raises Stopped when it has been asked to."""
        with self._lock:
            self._wake = wake
            if self._asked:
                raise Stopped


class Session:
    """A command that runs, seen through its runner. Whoever holds it closes it."""

    def __init__(self, wire: Wire, runner: Started, pid: int) -> None:
        self.wire = wire
        self.runner = runner
        self.pid = pid
        """The command's own number, in the other account."""
        self._closed = False

    def close(self) -> None:
        """End the runner if it still runs, which ends the command; give everything back."""
        if self._closed:
            return
        self._closed = True
        self.wire.cancel()
        self.runner.terminate()
        self.wire.close()
        self.runner.close()


def open_session(
    launch: Launch,
    *,
    argv: Sequence[str],
    logon: Logon,
    load: Callable[[], Account],
    refresh: Callable[[Launch], Account],
    stop: Stop,
) -> Session:
    """Start the command of `launch` in its account; `argv` is how the runner is started.

    Stale credentials are made anew once. Raises AttemptError, or another OctavoError: nothing
    runs then. Stopped when `stop` was asked to.
    """

    def start(given: Launch, account: Account) -> Session:
        return attempt(given, account, argv=argv, logon=logon, stop=stop)

    return retry.with_retry(launch, start=start, load=load, refresh=refresh)


def attempt(
    launch: Launch, account: Account, *, argv: Sequence[str], logon: Logon, stop: Stop
) -> Session:
    """One attempt. Whatever goes wrong before the command runs, the runner is ended."""
    with ExitStack() as undo:
        pipes = Pipes(account.sid)
        undo.callback(pipes.close)
        into, out = pipes.names
        stop.wakes(pipes.cancel)
        try:
            runner = logon.start(account, (*argv, f"--pipe-in={into}", f"--pipe-out={out}"))
        except CallError as error:
            raise _failure("logon", str(error), error.code) from error
        undo.callback(runner.close)
        undo.callback(runner.terminate)
        try:
            wire = pipes.connect(runner)
        except TimeoutError as error:
            raise _failure(
                "logon", f"the runner did not connect within {frames.CONNECT_S:g} s", None
            ) from error
        except OSError as error:
            code = runner.exit_code()
            raise _failure(
                "logon", f"the runner did not connect ({error}); its exit code is {code}", None
            ) from error
        pid = agree(wire, launch)
        stop.wakes(None)
        undo.pop_all()
        return Session(wire, runner, pid)


def agree(wire: Wire, launch: Launch) -> int:
    """Send the request and hear what became of it: the command's number. Raises AttemptError."""
    try:
        wire.send(launch.request, timeout_s=frames.READY_S)
        answer = wire.receive(timeout_s=frames.READY_S)
    except FrameError as error:
        raise _failure("run", f"the runner's answer cannot be read: {error}", None) from error
    except TimeoutError as error:
        raise _failure("run", f"the runner said nothing for {frames.READY_S:g} s", None) from error
    except OSError as error:
        raise _failure("run", f"the runner went away: {error}", None) from error
    if isinstance(answer, SpawnReady):
        return answer.process_id
    if isinstance(answer, Failure):
        raise _failure(_where(answer.stage), answer.message, answer.windows_error_code)
    said = "nothing" if answer is None else answer.kind
    raise _failure("run", f"the runner said {said} before the command was started", None)


def _where(stage: str) -> Where:
    match stage:
        case "read_spawn_request" | "spawn_child" | "write_spawn_ready":
            return stage
        case _:
            return "run"


def _failure(where: Where, message: str, code: int | None) -> AttemptError:
    return AttemptError(message, Failed(where=where, code=code), hint=OVER_HINT)
