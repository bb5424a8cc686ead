"""Which processes belong to a command on Linux, also those that left its group and session.

Four ties, each enough: process group, session, descent from a member, and the mark that the
command inherited in its environment. A daemon that forks twice keeps only the mark; one that
also empties its environment cannot be told from a stranger and is not found.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

assert sys.platform != "win32"

MARK_NAME: Final = "OCTAVO_COMMAND_MARK"
"""The variable that ties daemons to the command that left them behind."""
DEAD_STATES: Final = "ZXx"
PF_KTHREAD: Final = 0x200000  # linux/sched.h
START_CODE: Final = 23
"""Position in the part of `/proc/PID/stat` after the name."""


class Process(Struct, frozen=True, kw_only=True):
    """One line of the process table; `started` tells two users of one number apart."""

    pid: int
    ppid: int
    pgid: int
    sid: int
    started: int
    """Clock ticks after boot."""
    dead: bool = False
    """Ended, and waiting to be collected by its parent."""
    kernel: bool = False
    """A thread of the kernel, not a program."""


def parse_stat(text: bytes) -> Process:
    """From `/proc/PID/stat`; the name in parentheses may itself contain anything."""
    pid, _, rest = text.partition(b" (")
    fields = rest.rpartition(b") ")[2].split()
    threads = int(fields[17])
    return Process(
        pid=int(pid),
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        started=int(fields[19]),
        # A process whose first thread has ended looks like a zombie while others still run.
        dead=fields[0].decode() in DEAD_STATES and threads <= 1,
        kernel=bool(int(fields[6]) & PF_KTHREAD),
    )


def members(
    processes: Iterable[Process],
    *,
    root: int,
    known: frozenset[tuple[int, int]] = frozenset(),
    marked: Callable[[Process], bool],
    spare: int,
) -> list[Process]:
    """Those that belong to the tree of `root`, dead ones too; `spare` (ourselves) never does.

    `known` are (number, start) pairs seen to belong earlier: a tie that has since been cut.
    """
    by_parent: dict[int, list[Process]] = {}
    queue: list[Process] = []
    everybody = list(processes)
    # Nobody older than the leader can carry its mark; reading environments is the costly part.
    since = next((process.started for process in everybody if process.pid == root), 0)
    for process in everybody:
        if process.pid == spare:
            continue
        by_parent.setdefault(process.ppid, []).append(process)
        if (
            root in (process.pid, process.pgid, process.sid)
            or (process.pid, process.started) in known
            or (process.started >= since and marked(process))
        ):
            queue.append(process)
    found = {process.pid: process for process in queue}
    while queue:
        for process in by_parent.get(queue.pop().pid, ()):
            if process.pid not in found:
                found[process.pid] = process
                queue.append(process)
    return list(found.values())


def read_process(pid: int) -> Process | None:
    """The process with that number now; None when there is none."""
    try:
        return parse_stat(_read(f"/proc/{pid}/stat"))
    except (OSError, ValueError, IndexError):
        return None


def read_processes() -> list[Process]:
    """Every process this program can see."""
    names = (name for name in os.listdir("/proc") if name.isdecimal())
    return [found for name in names if (found := read_process(int(name))) is not None]


def carries_mark(process: Process, mark: bytes) -> bool | None:
    """Whether the process was started with the mark in its environment.

    None while it cannot be told: in the middle of an exec the environment is empty.
    """
    if process.dead or process.kernel:
        return False
    try:
        environment = _read(f"/proc/{process.pid}/environ")
        if not environment:
            if _in_exec(process.pid):
                return None
            environment = _read(f"/proc/{process.pid}/environ")
    except OSError:
        return False
    prefix = MARK_NAME.encode() + b"="
    return any(
        entry.startswith(prefix) and mark in entry[len(prefix) :].split(b":")
        for entry in environment.split(b"\0")
    )


def _in_exec(pid: int) -> bool:
    # The kernel notes where the code starts only after arguments and environment are in place
    # (fs/binfmt_elf.c), so zero tells an environment to come from one that is really empty.
    return _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()[START_CODE] == b"0"


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)
