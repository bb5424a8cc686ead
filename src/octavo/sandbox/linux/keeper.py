"""Without a pid namespace: a process outside the restrictions that ends what a command leaves.

It is a child subreaper, so orphans become its children: it kills those until none are left. It
does so too when it is told to end (SIGABRT), or when its own parent dies.
"""

import os
import select
import sys
import time

assert sys.platform == "linux"

from octavo.sandbox.linux import sysc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn
else:
    import _signal

DEADLINE_S = 5.0
PAUSE_S = 0.001  # killed processes need a moment
FORWARDED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1,
             _signal.SIGUSR2, _signal.SIGTSTP, _signal.SIGCONT)  # fmt: skip


def keep(inside: "Callable[[], None]") -> "NoReturn":
    """Run `inside` in a child, wait for it, end all it started, exit. Never returns."""

    def end(_number: int, _frame: object) -> None:
        end_all()
        os._exit(1)

    _signal.signal(_signal.SIGABRT, end)
    sysc.prctl(sysc.PR_SET_PDEATHSIG, _signal.SIGABRT)
    sysc.prctl(sysc.PR_SET_CHILD_SUBREAPER, 1)
    pid, pidfd = sysc.clone(0)
    if pid == 0:
        try:
            inside()
        finally:
            os._exit(125)
    os.close(pidfd)
    forward_to(pid)
    for fd in (0, 1, 2):
        os.close(fd)
    os.waitpid(pid, 0)
    end_all()
    os._exit(0)


def forward_to(pid: int) -> None:
    """Signals sent to this process go to the command's own first process."""

    def forward(number: int, _frame: object) -> None:
        try:
            os.kill(pid, number)
        except OSError:  # it has just ended
            pass

    for number in FORWARDED:
        _signal.signal(number, forward)


def end_all() -> bool:
    """Kill and reap every descendant. False when some outlived the deadline."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        for pid in children():
            try:
                os.kill(pid, sysc.SIGKILL)
            except OSError:  # ended by itself
                pass
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                select.select([], [], [], PAUSE_S)
        except ChildProcessError:
            return True
    return False


def children() -> "list[int]":
    """Direct children of this process."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb", buffering=0) as file:
            return [int(pid) for pid in file.read(1 << 20).split()]
    except OSError:
        return scan()


def scan() -> "list[int]":
    """The same where the kernel lacks the list: read every process's parent."""
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                fields = file.read(4096).rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == me:
            found.append(int(name))
    return found
