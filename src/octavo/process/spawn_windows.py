"""Start a program on Windows with exactly what it is given: three handles or a console, and a job.

The job is attached by the call that makes the process, so there is no moment outside it. Handles
are made inheritable one by one, for that call alone, and named in it.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from ctypes import wintypes
from dataclasses import dataclass
from typing import Any, Final

import win32job

assert sys.platform == "win32"

from octavo.process.handles_windows import (
    Handle,
    advapi32,
    failed,
    function,
    kernel32,
    set_inheritable,
    wait_any,
)

HANDLE_LIST: Final = 0x20002
JOB_LIST: Final = 0x2000D
PSEUDOCONSOLE: Final = 0x20016
CREATE_NO_WINDOW: Final = 0x08000000
EXTENDED_STARTUPINFO: Final = 0x00080000
UNICODE_ENVIRONMENT: Final = 0x00000400
USE_STD_HANDLES: Final = 0x100
JOB_LIMITS: Final = 9
KILL_ON_CLOSE: Final = 0x2000
"""The only one: without leave nothing that a command starts gets out of its job."""
NO_LIMITS: Final = 0
FILE_NOT_FOUND: Final = 2
BAD_FOLDER: Final = 267
ENDED_BY_US: Final = 1
"""Exit code of what is ended through its job."""

_inheriting = threading.Lock()


class StartupInfo(ctypes.Structure):
    """STARTUPINFOEX."""

    _fields_ = (
        ("cb", wintypes.DWORD),
        ("reserved", wintypes.LPWSTR),
        ("desktop", wintypes.LPWSTR),
        ("title", wintypes.LPWSTR),
        *((name, wintypes.DWORD) for name in ("x", "y", "cx", "cy", "chars_x", "chars_y", "fill")),
        ("flags", wintypes.DWORD),
        ("show", wintypes.WORD),
        ("reserved2_size", wintypes.WORD),
        ("reserved2", ctypes.c_void_p),
        ("stdin", wintypes.HANDLE),
        ("stdout", wintypes.HANDLE),
        ("stderr", wintypes.HANDLE),
        ("attributes", ctypes.c_void_p),
    )


class ProcessInformation(ctypes.Structure):
    """PROCESS_INFORMATION."""

    _fields_ = (
        ("process", wintypes.HANDLE),
        ("thread", wintypes.HANDLE),
        ("pid", wintypes.DWORD),
        ("tid", wintypes.DWORD),
    )


_H, _P, _D, _B, _W = (
    wintypes.HANDLE,
    ctypes.c_void_p,
    wintypes.DWORD,
    wintypes.BOOL,
    wintypes.LPCWSTR,
)
_initialize = function(kernel32, "InitializeProcThreadAttributeList", _B, _P, _D, _D, _P)
_update = function(
    kernel32, "UpdateProcThreadAttribute", _B, _P, _D, ctypes.c_size_t, _P, ctypes.c_size_t, _P, _P
)
_delete = function(kernel32, "DeleteProcThreadAttributeList", None, _P)
_TAIL: Final = (_W, wintypes.LPWSTR, _P, _P, _B, _D, _P, _W, _P, _P)
_create = function(kernel32, "CreateProcessW", _B, *_TAIL)
_create_as_user = function(advapi32, "CreateProcessAsUserW", _B, _H, *_TAIL)
_exit_code = function(kernel32, "GetExitCodeProcess", _B, _H, _P)
_terminate = function(kernel32, "TerminateProcess", _B, _H, wintypes.UINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program as Windows takes it: found, quoted and encoded by whoever asks."""

    application: str
    """The whole path of the program that runs: for a batch file the one that reads it."""
    line: str
    """The command line, quoted."""
    block: bytes
    """The environment, encoded."""
    cwd: str | None
    name: str
    """As the user wrote it, for messages."""


class SpawnError(OSError):
    """Windows did not start the command: `winerror` is its number, `call` who gave it."""

    def __init__(self, command: Command, call: str, code: int) -> None:
        reason = ctypes.FormatError(code).strip() or "no description"
        super().__init__(
            0,
            f"cannot start {command.name!r} in {command.cwd!r}: {reason} "
            f"({call}, Windows error {code})",
            None,
            code,
        )
        self.call = call
        self.code = code
        self.folder = command.cwd if code == BAD_FOLDER else None

    def __str__(self) -> str:
        return str(self.strerror)


class Job:
    """Everything a command starts. Closing it ends them all, unless `release` came before."""

    def __init__(self) -> None:
        make: Any = win32job.CreateJobObject  # the stubs say it returns nothing
        self._job = make(None, "")
        self._limit(KILL_ON_CLOSE)

    @property
    def value(self) -> int:
        """The handle's number."""
        return int(self._job)

    @property
    def active(self) -> int:
        """How many processes run in it."""
        if not self._job:
            return 0
        found = win32job.QueryInformationJobObject(
            self._job, win32job.JobObjectBasicAccountingInformation
        )
        return int(found["ActiveProcesses"])

    def terminate(self, code: int = ENDED_BY_US) -> None:
        """End all of them; nothing happens when nobody is left, or the job is closed."""
        if self._job:
            win32job.TerminateJobObject(self._job, code)

    def release(self) -> None:
        """What still runs outlives the job: for commands that ended by themselves."""
        self._limit(NO_LIMITS)

    def close(self) -> None:
        """Give it back; again is harmless."""
        job, self._job = self._job, None
        if job:
            job.Close()

    def _limit(self, flags: int) -> None:
        found = win32job.QueryInformationJobObject(self._job, JOB_LIMITS)
        found["BasicLimitInformation"]["LimitFlags"] = flags
        win32job.SetInformationJobObject(self._job, JOB_LIMITS, found)


class Started:
    """A process that runs, or did. Whoever holds it closes it."""

    def __init__(self, process: int, pid: int) -> None:
        self._process = Handle(process)
        self.pid: Final = pid

    @property
    def value(self) -> int:
        """The handle's number; it is signalled when the process has ended."""
        return self._process.value

    def exit_code(self, timeout_s: float | None = 0) -> int | None:
        """The code, as a signed number of 32 bits; None when it still runs after that time."""
        if wait_any((self.value,), timeout_s) is None:
            return None
        found = wintypes.DWORD()
        if not _exit_code(self.value, ctypes.byref(found)):
            raise failed("GetExitCodeProcess")
        return ctypes.c_int32(found.value).value

    def terminate(self) -> None:
        """End this process alone; nothing happens when it has ended."""
        _terminate(self.value, ENDED_BY_US)

    def close(self) -> None:
        """Give it back; again is harmless."""
        self._process.close()


class Attributes:
    """The list of attributes of a start; keeps what it points to until it is closed."""

    def __init__(self, values: Sequence[tuple[int, Any, int]]) -> None:
        """`values`: attribute, a pointer or a number, size in bytes."""
        size = ctypes.c_size_t()
        _initialize(None, len(values), 0, ctypes.byref(size))
        self._list = ctypes.create_string_buffer(size.value)
        self._kept = values
        if not _initialize(self._list, len(values), 0, ctypes.byref(size)):
            raise failed("InitializeProcThreadAttributeList")
        for attribute, value, length in values:
            if not _update(self._list, 0, attribute, value, length, None, None):
                error = failed("UpdateProcThreadAttribute")
                self.close()
                raise error

    @property
    def pointer(self) -> int:
        """Where it lies."""
        return ctypes.addressof(self._list)

    def close(self) -> None:
        """Give it back."""
        _delete(self._list)


def start(
    command: Command,
    *,
    job: Job,
    stdio: tuple[int, int, int] | None = None,
    console: int | None = None,
    token: int | None = None,
    desktop: str | None = None,
) -> Started:
    """Start a command in a job, with three handles or a pseudo-console, and what confines it.

    With `token` it runs as that; `desktop` is `WINDOWSTATION\\NAME`. The handles stay the
    caller's. Raises SpawnError.
    """
    assert (stdio is None) != (console is None), "a command has three handles or a console"
    if not os.path.isfile(command.application):
        raise SpawnError(command, "SearchPath", FILE_NOT_FOUND)
    jobs = (wintypes.HANDLE * 1)(job.value)
    values: list[tuple[int, Any, int]] = [(JOB_LIST, jobs, ctypes.sizeof(jobs))]
    inherited: tuple[int, ...] = ()
    if stdio is not None:
        inherited = tuple(dict.fromkeys(stdio))  # Windows refuses a handle that is named twice
        listed = (wintypes.HANDLE * len(inherited))(*inherited)
        values.append((HANDLE_LIST, listed, ctypes.sizeof(listed)))
    else:
        # The value is the console itself; a pointer to it starts programs that die at once.
        values.insert(0, (PSEUDOCONSOLE, console, ctypes.sizeof(wintypes.HANDLE)))
    info = StartupInfo(cb=ctypes.sizeof(StartupInfo), desktop=desktop, flags=USE_STD_HANDLES)
    # With a console: none, so that the program takes the console's and not ours.
    info.stdin, info.stdout, info.stderr = stdio or (None, None, None)
    attributes = Attributes(values)
    try:
        info.attributes = attributes.pointer
        with _inheriting:
            for each in inherited:
                set_inheritable(each, inheritable=True)
            try:
                return _call(command, info, inherit=bool(inherited), token=token)
            finally:
                for each in inherited:
                    set_inheritable(each, inheritable=False)
    finally:
        attributes.close()


def _call(command: Command, info: StartupInfo, *, inherit: bool, token: int | None) -> Started:
    flags = EXTENDED_STARTUPINFO | UNICODE_ENVIRONMENT | (CREATE_NO_WINDOW if inherit else 0)
    made = ProcessInformation()
    line = ctypes.create_unicode_buffer(command.line)
    block = ctypes.create_string_buffer(command.block, len(command.block))
    given = (
        command.application,
        line,
        None,
        None,
        inherit,
        flags,
        block,
        command.cwd,
        ctypes.byref(info),
        ctypes.byref(made),
    )
    ok = _create(*given) if token is None else _create_as_user(token, *given)
    if not ok:
        call = "CreateProcess" if token is None else "CreateProcessAsUser"
        raise SpawnError(command, call, ctypes.get_last_error())
    Handle(made.thread).close()
    return Started(made.process, made.pid)
