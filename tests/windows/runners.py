"""The real runner program, started in our own account, and everything it says."""

import ctypes
import sys
from contextlib import contextmanager
from dataclasses import dataclass

assert sys.platform == "win32"

from octavo.sandbox.win32 import ipc
from octavo.sandbox.win32.logon import OurAccount
from octavo.sandbox.windows.frames import Exit, Output, SpawnReady

S = 30.0


@dataclass
class Nobody:
    """The account the runner runs in: ours."""

    username: str = ""
    password: str = ""
    sid: str = ""


def runner_argv():
    return (sys.executable, "-I", "-m", "octavo.sandbox.win32.runner")


class Told:
    """A runner, and all it said."""

    def __init__(self, wire, started, incoming, outgoing):
        self.wire = wire
        self.started = started
        self.incoming = incoming
        self.outgoing = outgoing
        self.said = []

    def send(self, *messages):
        for message in messages:
            self.wire.send(message, timeout_s=S)

    def raw(self, data):
        self.outgoing.write_all(data, timeout_s=S)

    def until(self, kind):
        """Everything up to a message of this kind, which comes back."""
        while True:
            message = self.wire.receive(timeout_s=S)
            assert message is not None, f"no {kind.__name__} after {self.said}"
            self.said.append(message)
            if isinstance(message, kind):
                return message

    def output(self, stream="stdout"):
        return b"".join(
            each.data for each in self.said if isinstance(each, Output) and each.stream == stream
        )


@contextmanager
def runner(user):
    pipes = ipc.Pipes(user)
    into, out = pipes.names
    started = OurAccount().start(
        Nobody(), (*runner_argv(), f"--pipe-in={into}", f"--pipe-out={out}")
    )
    try:
        wire = pipes.connect(started)
        told = Told(wire, started, wire._incoming, wire._outgoing)
        try:
            yield told
        finally:
            wire.cancel()
            wire.close()
    finally:
        started.terminate()
        started.exit_code(S)
        started.close()


def run_to_end(user, request, *messages):
    with runner(user) as told:
        told.send(request)
        told.until(SpawnReady)
        told.send(*messages)
        end = told.until(Exit)
        assert told.wire.receive(timeout_s=S) is None
        assert told.started.exit_code(S) == end.exit_code
        return end, told


def handles() -> int:
    count = ctypes.c_uint32()
    ctypes.windll.kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


def runs(pid: int) -> bool:
    handle = ctypes.windll.kernel32.OpenProcess(0x100000, False, pid)
    if not handle:
        return False
    ended = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0
    ctypes.windll.kernel32.CloseHandle(handle)
    return not ended


def gone(pid: int) -> bool:
    """Has it ended, or does it within a few seconds?"""
    handle = ctypes.windll.kernel32.OpenProcess(0x100000, False, pid)
    if not handle:
        return True
    ended = ctypes.windll.kernel32.WaitForSingleObject(handle, 10_000) == 0
    ctypes.windll.kernel32.CloseHandle(handle)
    return ended
