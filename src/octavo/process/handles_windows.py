"""Handles of Windows with an owner, and pipe ends whose waiting can be ended from outside.

Our ends of pipes are opened for overlapped use: a thread that waits on one is woken by `cancel`,
and what it had already been given is never lost. The other ends are plain and belong to a command.
"""

import ctypes
import secrets
import sys
from collections.abc import Sequence
from ctypes import wintypes
from types import TracebackType
from typing import Any, Final, Self

assert sys.platform == "win32"

INVALID: Final = ctypes.c_void_p(-1).value or -1
INFINITE: Final = 0xFFFFFFFF
FILE_FLAG_OVERLAPPED: Final = 0x40000000
FIRST_PIPE_INSTANCE: Final = 0x80000
REJECT_REMOTE: Final = 0x8
PIPE_INBOUND: Final = 1
PIPE_OUTBOUND: Final = 2
GENERIC_READ: Final = 0x80000000
GENERIC_WRITE: Final = 0x40000000
OPEN_EXISTING: Final = 3
BUFFER: Final = 65_536
STATUS_PENDING: Final = 0x103
INHERIT: Final = 1

BROKEN_PIPE: Final = 109
IO_PENDING: Final = 997
ABORTED: Final = 995
PIPE_CONNECTED: Final = 535
ENDED: Final = frozenset({BROKEN_PIPE, 38, 232, 233})
"""Broken pipe, end of file, no data, not connected: nobody is at the other end any more."""

kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)


class Overlapped(ctypes.Structure):
    """OVERLAPPED."""

    _fields_ = (
        ("internal", ctypes.c_size_t),
        ("internal_high", ctypes.c_size_t),
        ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD),
        ("event", wintypes.HANDLE),
    )


class SecurityAttributes(ctypes.Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    )


def function(library: ctypes.WinDLL, name: str, result: Any, *arguments: Any) -> Any:  # noqa: ANN401 - ctypes' own
    """A function of Windows with its types declared."""
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


_H, _P, _D, _B = wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD, wintypes.BOOL
_close_handle = function(kernel32, "CloseHandle", _B, _H)
_create_event = function(kernel32, "CreateEventW", _H, _P, _B, _B, wintypes.LPCWSTR)
_set_event = function(kernel32, "SetEvent", _B, _H)
_wait_many = function(kernel32, "WaitForMultipleObjects", _D, _D, _P, _B, _D)
_read_file = function(kernel32, "ReadFile", _B, _H, _P, _D, _P, _P)
_write_file = function(kernel32, "WriteFile", _B, _H, _P, _D, _P, _P)
_connect = function(kernel32, "ConnectNamedPipe", _B, _H, _P)
_cancel_io = function(kernel32, "CancelIoEx", _B, _H, _P)
_result = function(kernel32, "GetOverlappedResult", _B, _H, _P, _P, _B)
_create_pipe = function(
    kernel32, "CreateNamedPipeW", _H, wintypes.LPCWSTR, _D, _D, _D, _D, _D, _D, _P
)
_create_file = function(kernel32, "CreateFileW", _H, wintypes.LPCWSTR, _D, _D, _P, _D, _D, _H)
_peek = function(kernel32, "PeekNamedPipe", _B, _H, _P, _D, _P, _P, _P)
_set_information = function(kernel32, "SetHandleInformation", _B, _H, _D, _D)
_client_of = function(kernel32, "GetNamedPipeClientProcessId", _B, _H, _P)
_local_free = function(kernel32, "LocalFree", _P, _P)
_descriptor = function(
    advapi32,
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    _B,
    wintypes.LPCWSTR,
    _D,
    _P,
    _P,
)


def failed(call: str, code: int | None = None, *, path: str | None = None) -> OSError:
    """The error of the last call of this thread; `winerror` is the number Windows gave."""
    number = ctypes.get_last_error() if code is None else code
    subject = "" if path is None else f" for {path!r}"
    reason = ctypes.FormatError(number).strip() or "no description"
    return ctypes.WinError(number, f"{call}{subject} failed: {reason} (Windows error {number})")


class Stopped(Exception):  # noqa: N818 - what happened, not an accident
    """The wait was ended from outside."""


class Handle:
    """A handle with an owner: closed once, at the end of `with` or by `close`."""

    __slots__ = ("_value",)

    def __init__(self, value: int) -> None:
        self._value: int | None = value

    @property
    def value(self) -> int:
        """The number. Raises ValueError once it is closed."""
        if self._value is None:
            raise ValueError("the handle is closed")
        return self._value

    def detach(self) -> int:
        """The number, which the caller owns from now on."""
        value, self._value = self.value, None
        return value

    def close(self) -> None:
        """Give it back; again is harmless."""
        value, self._value = self._value, None
        if value is not None:
            _close_handle(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Event(Handle):
    """Something that happens once."""

    __slots__ = ()

    def __init__(self) -> None:
        value = _create_event(None, 1, 0, None)  # stays set until it is closed
        if not value:
            raise failed("CreateEvent")
        super().__init__(value)

    def set(self) -> None:
        """It has happened; harmless once the event is closed."""
        if self._value is not None:
            _set_event(self._value)

    def wait(self, timeout_s: float | None) -> bool:
        """Has it happened within that time?"""
        return wait_any((self.value,), timeout_s) is not None

    @property
    def is_set(self) -> bool:
        """Has it happened?"""
        return self.wait(0)


def wait_any(handles: Sequence[int], timeout_s: float | None) -> int | None:
    """Which of the handles is signalled first, as its place in the list; None after the time."""
    array = (wintypes.HANDLE * len(handles))(*handles)
    waiting_ms = INFINITE if timeout_s is None else max(0, min(round(timeout_s * 1000), 0x7FFFFFFF))
    found: int = _wait_many(len(handles), array, 0, waiting_ms)
    if found == INFINITE:
        raise failed("WaitForMultipleObjects")
    return found if found < len(handles) else None


class Channel:
    """Our end of a pipe, for one thread at a time. Whoever made it closes it.

    `cancel` ends what the thread waits for and everything after it; close only when no thread
    uses it any more.
    """

    def __init__(self, handle: int) -> None:
        self._handle = Handle(handle)
        self._done = Event()
        self._stop = Event()
        self._running: Overlapped | None = None

    def read(self, most: int, *, timeout_s: float | None = None) -> bytes:
        """What is there, at least one byte; nothing at the end of the stream.

        Raises Stopped after `cancel`, TimeoutError, OSError.
        """
        buffer = ctypes.create_string_buffer(most)
        while True:
            try:
                count = self._transfer("ReadFile", _read_file, (buffer, most, None), timeout_s)
            except OSError as error:
                if error.winerror in ENDED:
                    return b""
                raise
            if count:  # somebody who writes nothing is no end of the stream
                return ctypes.string_at(buffer, count)

    def write(self, data: bytes, *, timeout_s: float | None = None) -> int:
        """How many bytes the other side took, at least one; all of them, usually.

        Raises Stopped after `cancel`, TimeoutError, OSError when nobody will ever read it.
        """
        return self._transfer("WriteFile", _write_file, (data, len(data), None), timeout_s)

    def write_all(self, data: bytes, *, timeout_s: float | None = None) -> None:
        """Everything, however many pieces that takes; errors as in `write`."""
        at = 0
        while at < len(data):
            at += self.write(data[at:] if at else data, timeout_s=timeout_s)

    def connect(self, process: int, *, timeout_s: float) -> None:
        """Until somebody opened the other end, or the process has ended.

        Raises Stopped, TimeoutError, OSError; 109 when the process has ended.
        """
        try:
            self._transfer("ConnectNamedPipe", _connect, (), timeout_s, process)
        except OSError as error:
            if error.winerror != PIPE_CONNECTED:
                raise

    @property
    def client(self) -> int:
        """The number of the process at the other end."""
        found = wintypes.DWORD()
        if not _client_of(self._handle.value, ctypes.byref(found)):
            raise failed("GetNamedPipeClientProcessId")
        return found.value

    @property
    def resting(self) -> bool:
        """Does a thread wait in a call that nothing has answered yet? Then nothing is in the pipe."""
        running = self._running
        return running is not None and running.internal == STATUS_PENDING

    @property
    def at_end(self) -> bool:
        """Has everybody left the other end, and is nothing in the pipe?"""
        there = wintypes.DWORD()
        return not _peek(self._handle.value, None, 0, None, ctypes.byref(there), None)

    def cancel(self) -> None:
        """End the wait of the thread that is in here, and refuse every later one."""
        self._stop.set()

    def close(self) -> None:
        """Give everything back; again is harmless."""
        self._stop.set()
        self._handle.close()
        self._done.close()
        self._stop.close()

    def _transfer(
        self,
        name: str,
        call: Any,  # noqa: ANN401 - a function of Windows
        arguments: tuple[Any, ...],
        timeout_s: float | None,
        *also: int,
    ) -> int:
        if self._stop.is_set:
            raise Stopped
        running = Overlapped(event=self._done.value)
        count = wintypes.DWORD()
        handle = self._handle.value
        woken: int | None = 0
        if not call(handle, *arguments, ctypes.byref(running)):
            code = ctypes.get_last_error()
            if code != IO_PENDING:
                raise failed(name, code)
            self._running = running
            woken = wait_any((self._done.value, self._stop.value, *also), timeout_s)
            if woken != 0:
                _cancel_io(handle, ctypes.byref(running))
        # Windows writes into `running` and the buffer until this returns.
        ok = _result(handle, ctypes.byref(running), ctypes.byref(count), 1)
        code = ctypes.get_last_error()
        self._running = None
        if ok:
            return count.value
        if code == ABORTED and woken is None:
            raise TimeoutError(f"{name}: nothing happened for {timeout_s} s")
        if code == ABORTED and woken == 1:
            raise Stopped
        raise failed(name, BROKEN_PIPE if code == ABORTED and woken == 2 else code)


def create_pipe(name: str, mode: int, *, sddl: str | None = None) -> Channel:
    """The first and only end of a pipe of that name; `mode` is our direction with its flags.

    Raises OSError; 5 or 231 when somebody has that name already.
    """
    descriptor = ctypes.c_void_p()
    if sddl is not None and not _descriptor(sddl, 1, ctypes.byref(descriptor), None):
        raise failed("ConvertStringSecurityDescriptorToSecurityDescriptor", path=sddl)
    try:
        given = SecurityAttributes(ctypes.sizeof(SecurityAttributes), descriptor, 0)
        security = None if sddl is None else ctypes.byref(given)
        value = _create_pipe(
            name, mode | FILE_FLAG_OVERLAPPED, REJECT_REMOTE, 1, BUFFER, BUFFER, 0, security
        )
        if value == INVALID:
            raise failed("CreateNamedPipe", path=name)
        return Channel(value)
    finally:
        if descriptor.value is not None:
            _local_free(descriptor)


def open_file(name: str, access: int, *, flags: int = 0) -> int:
    """A handle on something that exists, shared with nobody. Raises OSError."""
    value: int = _create_file(name, access, 0, None, OPEN_EXISTING, flags, None)
    if value == INVALID:
        raise failed("CreateFile", path=name)
    return value


def open_null() -> Handle:
    """The device that is empty."""
    value: int = _create_file("NUL", GENERIC_READ, 3, None, OPEN_EXISTING, 0, None)
    if value == INVALID:
        raise failed("CreateFile", path="NUL")
    return Handle(value)


def channel_pair() -> tuple[Channel, Channel]:
    """A pipe within this program: what is written to the second comes out of the first."""
    name = _fresh_name()
    ours = create_pipe(name, PIPE_INBOUND | FIRST_PIPE_INSTANCE)
    try:
        return ours, Channel(open_file(name, GENERIC_WRITE, flags=FILE_FLAG_OVERLAPPED))
    except BaseException:
        ours.close()
        raise


def pipe_to_read() -> tuple[Channel, Handle]:
    """A pipe: what is written to the second comes out of the first."""
    return _pipe(PIPE_INBOUND, GENERIC_WRITE)


def pipe_to_write() -> tuple[Channel, Handle]:
    """A pipe: what is written to the first comes out of the second."""
    return _pipe(PIPE_OUTBOUND, GENERIC_READ)


def _pipe(mode: int, access: int) -> tuple[Channel, Handle]:
    name = _fresh_name()
    ours = create_pipe(name, mode | FIRST_PIPE_INSTANCE)
    try:
        return ours, Handle(open_file(name, access))
    except BaseException:
        ours.close()
        raise


def _fresh_name() -> str:
    return f"\\\\.\\pipe\\octavo-{secrets.token_hex(16)}"


def set_inheritable(handle: int, *, inheritable: bool) -> None:
    """Whether a program started from now on may get it. Raises OSError."""
    if not _set_information(handle, INHERIT, INHERIT if inheritable else 0):
        raise failed("SetHandleInformation")
