"""Start a command under `sandbox-exec`, in a process group of its own, and end that group.

The plan says how it is confined; the caller owns the descriptors and the deadlines.
`spawn` and `Running` are plain POSIX, so that they are tested on every such system.
"""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.plan_macos import SANDBOX_EXEC, SeatbeltPlan

assert sys.platform != "win32"

REAP_DEADLINE_S: Final = 5.0
"""How long a killed process may take to disappear before we say so."""

PROBE_DEADLINE_S: Final = 10.0

TOO_LONG: Final = "The arguments and the environment together are too long for this system."


class Running:
    """A started command. Use it in a `with` block: leaving it ends the whole process group."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid: Final = process.pid
        """Of the command itself: `sandbox-exec` becomes it. Also the id of its group."""
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def wait(self, timeout_s: float | None) -> int | None:
        """The exit code, 128+n after signal n; None when the command still runs after `timeout_s`.

        What the command left behind in its group ends with it.
        """
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        if not self._over:
            # At once: the id of a reaped process is free again when its group is empty.
            self.signal(signal.SIGKILL)
            self._over = True
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group; False when nobody is left in it."""
        if self._over:
            return False
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # macOS answers EPERM for a group in which only unreaped processes are left
            return False
        return True

    def end(self, grace_s: float) -> int:
        """Ask the group to stop, wait `grace_s`, then kill it; the exit code."""
        self.signal(signal.SIGTERM)
        self.wait(grace_s)
        return self.kill()

    def kill(self) -> int:
        """Kill what is left of the group and reap the command; its exit code.

        A child that made a session of its own is out of reach: macOS has no process namespace.
        Raises `SandboxUnavailable` when the command cannot be reaped.
        """
        self.signal(signal.SIGKILL)
        code = self.wait(REAP_DEADLINE_S)
        if code is None:
            raise SandboxUnavailable(f"process {self.pid} does not end after SIGKILL")
        return code


def start(
    plan: SeatbeltPlan,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    stdin: int,
    stdout: int,
    stderr: int,
    new_session: bool = True,
) -> Running:
    """Start a command inside the plan. The descriptors stay the caller's.

    `new_session=False` keeps the controlling terminal, for a command that talks to a person.
    Raises `SandboxUnavailable` when there is no `sandbox-exec`. A command that does not exist is
    reported by `sandbox-exec` on `stderr`, with exit code 71.
    """
    assert sys.platform == "darwin", "Seatbelt is part of macOS"
    return spawn(
        (*plan.prefix, *argv),
        env={**env, **plan.environment},
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        new_session=new_session,
    )


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    stdin: int,
    stdout: int,
    stderr: int,
    new_session: bool = True,
) -> Running:
    """Start a program in its own process group with exactly these three descriptors.

    Raises `SandboxUnavailable` when the program itself cannot be started, and `FileNotFoundError`
    or `NotADirectoryError` when the folder is not there.
    """
    os.stat(os.path.join(cwd, "."))  # tells a missing folder from a missing program
    try:
        process = subprocess.Popen(
            tuple(argv),
            executable=argv[0],
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_session,
            process_group=None if new_session else 0,
        )
    except OSError as error:
        raise SandboxUnavailable(
            f"{argv[0]} cannot be started: {error.strerror}",
            hint=TOO_LONG if error.errno == errno.E2BIG else None,
        ) from error
    return Running(process)


def probe(*, deadline_s: float = PROBE_DEADLINE_S) -> str | None:
    """Why Seatbelt cannot be used here, in one line; None when it works. Starts a real program."""
    assert sys.platform == "darwin", "Seatbelt is part of macOS"
    try:
        done = subprocess.run(
            (SANDBOX_EXEC, "-p", "(version 1)(allow default)", "--", "/usr/bin/true"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError:
        return f"{SANDBOX_EXEC} is not on this machine"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{SANDBOX_EXEC} does not run: {error}"
    return why_unusable(done.returncode, done.stderr.decode(errors="replace"))


def why_unusable(code: int, words: str) -> str | None:
    """What the outcome of a trial run means; None when it went well."""
    if code == 0:
        return None
    if "sandbox_apply: Operation not permitted" in words:
        return "this process is inside a Seatbelt sandbox already, and they do not nest"
    line = next((line for line in words.splitlines() if line.strip()), "no message")
    return f"{SANDBOX_EXEC} failed with code {code}: {line.strip()}"
