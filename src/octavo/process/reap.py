"""Learn that a child has ended without a signal handler and without asyncio's watchers.

The entry of an ended child is kept until `close`: while it is there, its number (which is also
its group's and session's) cannot be given to a stranger, so signals to the group stay safe.
"""

import asyncio
import os
import select
import sys
import threading
from contextlib import suppress
from typing import Final, Protocol

from octavo.process.spec import ExitStatus

assert sys.platform != "win32"

REAP_MS: Final = 100
"""`close` waits this long for a killed process; after that a thread waits for it."""
LOST: Final = ExitStatus()
"""Somebody else in this program collected the status, or SIGCHLD is ignored."""


class ExitWatch(Protocol):
    """Knows one child's end. `status` is None while it runs."""

    @property
    def status(self) -> ExitStatus | None: ...
    @property
    def reaped(self) -> bool:
        """The process entry is gone: its number may belong to a stranger."""
        ...

    async def wait(self) -> ExitStatus: ...
    def close(self) -> None:
        """Collect the child's entry. Kill it first: this does not wait for long."""
        ...


def watch(pid: int) -> ExitWatch:
    """The best watch this system has for a child of ours. Needs a running loop."""
    if sys.platform == "linux":
        with suppress(OSError):  # before Linux 5.3, or filtered in an old container
            return PidfdWatch(pid, os.pidfd_open(pid))
    return ThreadWatch(pid)


if sys.platform == "linux":

    class PidfdWatch:
        """Linux: a descriptor that becomes readable when the process ends."""

        def __init__(self, pid: int, pidfd: int) -> None:
            self._pid = pid
            self._pidfd: int | None = pidfd
            self._status: ExitStatus | None = None
            self._ended = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(pidfd, self._on_exit)

        @property
        def status(self) -> ExitStatus | None:
            if self._status is None and self._pidfd is not None:
                self._peek(self._pidfd)
            return self._status

        @property
        def reaped(self) -> bool:
            return self._pidfd is None or self._status is LOST

        async def wait(self) -> ExitStatus:
            if self._status is None:
                await self._ended.wait()
            return self._status or LOST

        def close(self) -> None:
            pidfd, self._pidfd = self._pidfd, None
            if pidfd is None:
                return
            self._loop.remove_reader(pidfd)
            try:
                self._collect(pidfd)
            finally:
                os.close(pidfd)
                self._ended.set()

        def _on_exit(self) -> None:
            if self._pidfd is not None:
                self._peek(self._pidfd)
                self._loop.remove_reader(self._pidfd)

        def _peek(self, pidfd: int) -> None:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            try:
                result = os.waitid(os.P_PIDFD, pidfd, options)
            except ChildProcessError:
                self._status = LOST
            else:
                if result is None:
                    return
                self._status = from_waitid(result)
            self._ended.set()

        def _collect(self, pidfd: int) -> None:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(REAP_MS):
                threading.Thread(target=_collect, args=(self._pid,), daemon=True).start()
                return
            self._peek(pidfd)
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)

    def _await_end(pid: int) -> ExitStatus:
        try:
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return LOST
        return LOST if result is None else from_waitid(result)

    def from_waitid(result: os.waitid_result) -> ExitStatus:
        """CLD_EXITED carries a code, CLD_KILLED and CLD_DUMPED a signal."""
        if result.si_code == os.CLD_EXITED:
            return ExitStatus(code=result.si_status)
        return ExitStatus(signal=result.si_status)


class ThreadWatch:
    """Elsewhere: one daemon thread per child sits in a wait call. It ends with the child.

    macOS before Python 3.13 can only wait and collect in one step; Linux without pidfd keeps
    the entry until `close` here too.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: ExitStatus | None = None
        self._reaped = False
        self._closing = threading.Event()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._sit, name=f"await {pid}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> ExitStatus | None:
        return self._status

    @property
    def reaped(self) -> bool:
        return self._reaped

    async def wait(self) -> ExitStatus:
        if self._status is None:
            await self._ended.wait()
        return self._status or LOST

    def close(self) -> None:
        self._closing.set()
        self._thread.join(REAP_MS / 1000)

    def _sit(self) -> None:
        if sys.platform == "linux":
            status = _await_end(self._pid)
        else:
            status = _collect(self._pid)
            # Members that live on keep the group's number reserved.
            self._reaped = not _group_answers(self._pid)
        self._status = status
        with suppress(RuntimeError):  # the loop was closed in the meantime
            self._loop.call_soon_threadsafe(self._ended.set)
        if sys.platform == "linux":
            self._closing.wait()
            _collect(self._pid)
        self._reaped = self._reaped or self._closing.is_set()


def _collect(pid: int) -> ExitStatus:
    try:
        return ExitStatus.from_wait_status(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return LOST


def _group_answers(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody is there, under another user
        return True
    return True
