"""End a whole process tree: ask everybody, then kill everybody, then know that they are gone.

The process group is signalled in one call, which no fork can outrun. On Linux the stragglers
that left the group are found (see `family`) and signalled through descriptors, so a number
that is reused in between never hits a stranger. Elsewhere the group is all there is.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from octavo.process import family

assert sys.platform != "win32"

ROUNDS: Final = 32
"""A family that still grows after so many kills is forking faster than it can be read."""
CALM: Final = 3
"""So many looks in a row must find nobody: one can miss a child that is born while it reads."""
POLL_S: Final = 0.01
"""Where nothing can be watched, look again this often."""
UNSETTLED_POLLS: Final = 20
"""An exec that takes longer than so many polls is something else."""
WATCHED: Final = 256
"""So many descriptors at most are open to watch a family; the rest come in later rounds."""


class Tree:
    """The processes below one leader, which is a child of ours and leads its own session."""

    def __init__(
        self, leader: int, *, mark: bytes | None, group_is_ours: Callable[[], bool]
    ) -> None:
        self.leader = leader
        self._mark = mark
        self._group_is_ours = group_is_ours
        self._known: frozenset[tuple[int, int]] = frozenset()
        self._unsettled = False
        self._killed = False

    def signal_group(self, number: int) -> None:
        """To the leader's group, if it can still be told from a stranger's."""
        if self._group_is_ours():
            # EPERM: only zombies or programs of another user are left in it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.leader, number)

    def terminate(self) -> None:
        """SIGTERM to all, and SIGCONT so that stopped ones can hear it."""
        strays = [process for process in self.living() if process.pgid != self.leader]
        for number in (signal.SIGTERM, signal.SIGCONT):
            self.signal_group(number)
            for process in strays:
                send(process, number)

    def kill(self) -> None:
        """SIGKILL to all, looking again until nobody new turns up."""
        self._killed = True
        self.signal_group(signal.SIGKILL)
        sent: set[tuple[int, int]] = set()
        calm = 0
        for _ in range(ROUNDS):
            fresh = [one for one in self.living() if (one.pid, one.started) not in sent]
            calm = 0 if fresh or self._unsettled else calm + 1
            if calm >= CALM:
                return
            for process in fresh:
                sent.add((process.pid, process.started))
                send(process, signal.SIGKILL)

    async def gone(self) -> None:
        """Until nobody is left. Have the leader's exit awaited first."""
        if sys.platform == "linux":
            polls, calm = UNSETTLED_POLLS, 0
            while True:
                living = self.living()
                quiet = not living and not (self._unsettled and polls > 0)
                calm = calm + 1 if quiet else 0
                if calm >= (CALM if self._killed else 1):
                    return
                if quiet:
                    continue
                if self._killed:  # whoever turns up after the kill was hidden by an exec
                    for process in living:
                        send(process, signal.SIGKILL)
                polls -= not living
                await _all_ended(living[:WATCHED])
        else:
            while self._group_answers():  # noqa: ASYNC110  # nothing tells us when a group is empty
                await asyncio.sleep(POLL_S)

    def living(self) -> list[family.Process]:
        """Members that still run (Linux; elsewhere nothing is known about them)."""
        if sys.platform == "linux":
            self._unsettled = False
            everybody = family.members(
                family.read_processes(),
                root=self.leader if self._group_is_ours() else -1,
                known=self._known,
                marked=self._marked,
                spare=os.getpid(),
            )
            self._known = frozenset((one.pid, one.started) for one in everybody)
            self._collect_orphans(everybody)
            return [one for one in everybody if not one.dead]
        else:  # noqa: RET505  # the checker takes only an else for the other platforms
            return []

    def _marked(self, process: family.Process) -> bool:
        if self._mark is None:
            return False
        carries = family.carries_mark(process, self._mark)
        self._unsettled = self._unsettled or carries is None
        return bool(carries)

    def _collect_orphans(self, everybody: list[family.Process]) -> None:
        # When this program is pid 1 or a subreaper, orphans become its children.
        for one in everybody:
            if one.dead and one.pid != self.leader and one.ppid == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(one.pid, os.WNOHANG)

    def _group_answers(self) -> bool:
        if not self._group_is_ours():
            return False
        try:
            os.killpg(self.leader, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def send(process: family.Process, number: int) -> None:
    """A signal to exactly that process, not to a later one with its number."""
    with suppress(ProcessLookupError, PermissionError), ExitStack() as stack:
        if sys.platform == "linux":
            pidfd = _open_pidfd(process.pid)
            if pidfd is not None:
                stack.callback(os.close, pidfd)
                if _same(process):
                    signal.pidfd_send_signal(pidfd, number)
                return
        if _same(process):  # close, not exact: nothing holds the number
            os.kill(process.pid, number)


def _same(process: family.Process) -> bool:
    now = family.read_process(process.pid)
    return now is not None and now.started == process.started


if sys.platform == "linux":

    def _open_pidfd(pid: int) -> int | None:
        """None before Linux 5.3 or where a filter forbids it. Raises ProcessLookupError."""
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:
            return None

    async def _all_ended(processes: list[family.Process]) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        waiting: set[int] = set()

        def on_exit(pidfd: int) -> None:
            loop.remove_reader(pidfd)
            waiting.discard(pidfd)
            if not waiting:
                ended.set()

        with ExitStack() as stack:
            for process in processes:
                with suppress(ProcessLookupError):
                    pidfd = _open_pidfd(process.pid)
                    if pidfd is None:
                        break
                    stack.callback(os.close, pidfd)
                    stack.callback(loop.remove_reader, pidfd)
                    waiting.add(pidfd)
                    loop.add_reader(pidfd, on_exit, pidfd)
            if waiting:
                await ended.wait()
            else:
                await asyncio.sleep(POLL_S)
