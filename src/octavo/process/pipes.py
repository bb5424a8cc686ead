"""Start a plain, unconfined child under asyncio, with pipes or a terminal.

`subprocess` starts it (vfork where the system has it: as fast as posix_spawn, which knows
neither folders nor closing of descriptors); waiting, ending and reaping are ours, without
asyncio's child watchers, so nothing depends on the host's loop policy or signal handlers.

The child leads a session of its own, has no descriptor but its three, and finds signals as a
fresh login would: what `subprocess` cannot restore goes through `stage`.
"""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from octavo.process import family, pty_posix, reap, stage, tree
from octavo.process.child import StartError, within
from octavo.process.spec import ExitStatus, Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import InternalError, UsageError

assert sys.platform != "win32"

STAGE_S: Final = 10.0
"""The stage needs 15 ms; a machine that needs this long is not going to start anything."""
STAGE_FILE: Final = os.path.join(os.path.dirname(__file__), "stage.py")
# `subprocess` restores these two by itself.
RESTORED_ANYWAY: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})


class PlainChild:
    """A `Child` without a sandbox."""

    def __init__(self, pid: int, *, mark: bytes | None, fds: Mapping[str, int]) -> None:
        self._pid = pid
        self._fds = dict(fds)
        self._watch = reap.watch(pid)
        self._tree = tree.Tree(pid, mark=mark, group_is_ours=lambda: not self._watch.reaped)
        self._closed = False

    @property
    def pid(self) -> int:
        return self._pid

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
        return await self._watch.wait()

    async def gone(self) -> None:
        await self._watch.wait()
        await self._tree.gone()

    def close_stdin(self) -> None:
        fd = self._fds.pop("stdin", None)
        if fd is not None:
            os.close(fd)

    def send_signal(self, number: int) -> None:
        self._tree.signal_group(number)

    def terminate(self) -> None:
        self._tree.terminate()

    def kill(self) -> None:
        self._tree.kill()

    def resize(self, rows: int, cols: int) -> None:
        terminal = self.terminal_fd
        if terminal is None:
            raise UsageError("this command has no terminal to resize")
        size = Terminal(rows=rows, cols=cols)
        pty_posix.set_size(terminal, size.rows, size.cols)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._watch.status is None:
            self._tree.kill()
        while self._fds:
            os.close(self._fds.popitem()[1])
        self._watch.close()


async def start(spec: ProcessSpec) -> PlainChild:
    """Start a command on this machine, unconfined. The caller closes the child.

    Raises StartError when the system refuses: no such program, folder, permission, memory.
    """
    if not needs_stage(spec.stdio):
        return _spawn(spec, spec.argv)
    said, report = os.pipe()
    try:
        try:
            child = _spawn(spec, _stage_argv(spec, report), pass_fds=(report,))
        finally:
            os.close(report)
        try:
            _judge(spec, await _read_report(said))
        except BaseException:
            child.kill()
            child.close()
            raise
        return child
    finally:
        os.close(said)


def marked(env: Mapping[str, str]) -> tuple[dict[str, str], bytes | None]:
    """The environment with a mark of this command's own added, and the mark (Linux only).

    A command inside a command carries both marks: each side finds its own.
    """
    if sys.platform == "linux":
        mark = os.urandom(8).hex()
        outer = env.get(family.MARK_NAME)
        return {**env, family.MARK_NAME: f"{outer}:{mark}" if outer else mark}, mark.encode()
    else:  # noqa: RET505  # the checker takes only an else for the other platforms
        return dict(env), None


def needs_stage(stdio: Pipes | Terminal) -> bool:
    """Whether the child has to prepare itself with an interpreter (15 ms instead of 1).

    A controlling terminal can be taken only by the child; a signal mask and ignored signals
    of an unusual host can be undone only there too.
    """
    if isinstance(stdio, Terminal) or signal.pthread_sigmask(signal.SIG_BLOCK, ()):
        return True
    watched = (number for number in stage.RESTORED if number not in RESTORED_ANYWAY)
    return any(signal.getsignal(number) == signal.SIG_IGN for number in watched)


def _spawn(spec: ProcessSpec, argv: Sequence[str], *, pass_fds: tuple[int, ...] = ()) -> PlainChild:
    environment, mark = marked(spec.env)
    with ExitStack() as theirs, ExitStack() as ours:
        try:
            given, kept = _open_stdio(spec.stdio, theirs, ours)
            process = subprocess.Popen(
                argv,
                stdin=given[0],
                stdout=given[1],
                stderr=given[2],
                cwd=spec.cwd,
                env=environment,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            # The name on the error is the folder when it was the folder that failed.
            folder = spec.cwd if spec.cwd is not None and error.filename == spec.cwd else None
            raise refusal(spec, error, folder=folder) from error
        except UnicodeEncodeError as error:
            raise UsageError(f"{error.object!r} cannot be passed to a command") from error
        # Waiting is ours: without this Popen would warn, and collect the child behind our back.
        process.returncode = 0
        child = PlainChild(process.pid, mark=mark, fds=kept)
        ours.pop_all()
        return child


def _open_stdio(
    stdio: Pipes | Terminal, theirs: ExitStack, ours: ExitStack
) -> tuple[tuple[int, int, int], dict[str, int]]:
    """What the command gets as descriptors 0, 1, 2, and what we keep, by name."""
    if isinstance(stdio, Terminal):
        terminal, slave = pty_posix.open_terminal(stdio.rows, stdio.cols)
        ours.callback(os.close, terminal)
        theirs.callback(os.close, slave)
        return (slave, slave, slave), {"terminal": terminal}
    kept: dict[str, int] = {}

    def pipe(name: str, *, read: bool) -> int:
        ends = os.pipe()
        mine, other = ends if read else ends[::-1]
        ours.callback(os.close, mine)
        theirs.callback(os.close, other)
        os.set_blocking(mine, False)
        kept[name] = mine
        return other

    stdin = pipe("stdin", read=False) if stdio.stdin else subprocess.DEVNULL
    stdout = pipe("stdout", read=True)
    stderr = subprocess.STDOUT if stdio.merge_stderr else pipe("stderr", read=True)
    return (stdin, stdout, stderr), kept


def _stage_argv(spec: ProcessSpec, report: int) -> list[str]:
    if not sys.executable:
        raise InternalError("the Python interpreter that runs this program cannot be found")
    stdio = "terminal" if isinstance(spec.stdio, Terminal) else "pipes"
    locale = spec.env.get("LC_CTYPE")
    return [
        *(sys.executable, "-I", "-S", STAGE_FILE),
        *(str(report), stdio, "" if locale is None else f"={locale}"),
        *spec.argv,
    ]


async def _read_report(said: int) -> bytes:
    """What the stage wrote until it became the command, or ended."""
    loop = asyncio.get_running_loop()
    os.set_blocking(said, False)
    heard = bytearray()
    ended = asyncio.Event()

    def on_readable() -> None:
        data = os.read(said, 64)
        heard.extend(data)
        if not data:
            ended.set()

    loop.add_reader(said, on_readable)
    try:
        if not await within(STAGE_S, ended.wait()):
            return str(errno.ETIMEDOUT).encode()
    finally:
        loop.remove_reader(said)
    return bytes(heard)


def _judge(spec: ProcessSpec, report: bytes) -> None:
    if report == stage.READY:
        return
    number = int(report.removeprefix(stage.READY) or errno.ECHILD)
    raise refusal(spec, OSError(number, os.strerror(number)))


def findable(program: str, path: str) -> bool:
    """Is there anything of that name on the path? (`shutil` would cost 5 ms to load.)"""
    return any(os.path.exists(os.path.join(folder, program)) for folder in path.split(os.pathsep))


def refusal(spec: ProcessSpec, error: OSError, *, folder: str | None = None) -> StartError:
    """What to raise. A folder on PATH that may not be read is not the program's fault."""
    program, path = spec.argv[0], spec.env.get("PATH", os.defpath)
    bare = folder is None and os.sep not in program
    if bare and error.errno == errno.EACCES and not findable(program, path):
        error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return StartError(program, error, folder=folder)
