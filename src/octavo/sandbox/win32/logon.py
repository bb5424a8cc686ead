"""Start a program in another account: the one call for that, behind a small protocol.

Where there is no such account (tests, Wine, which has no logon) the same program is started in
our own.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from ctypes import wintypes
from typing import Final, Protocol

import win32api

from octavo.process.argv_windows import command_line

assert sys.platform == "win32"

from octavo.process.handles_windows import Handle, advapi32, function, kernel32
from octavo.process.spawn_windows import (
    CREATE_NO_WINDOW,
    UNICODE_ENVIRONMENT,
    ProcessInformation,
    Started,
    StartupInfo,
)
from octavo.sandbox.win32.winapi import CallError

LOGON_WITH_PROFILE: Final = 1
HERE: Final = "."
"""This machine's own accounts."""
NO_DIALOGS: Final = 3

_P, _D, _B, _W, _L = (
    ctypes.c_void_p,
    wintypes.DWORD,
    wintypes.BOOL,
    wintypes.LPCWSTR,
    wintypes.LPWSTR,
)
_with_logon = function(
    advapi32, "CreateProcessWithLogonW", _B, _W, _W, _W, _D, _W, _L, _D, _P, _W, _P, _P
)
_create = function(kernel32, "CreateProcessW", _B, _W, _L, _P, _P, _B, _D, _P, _W, _P, _P)
_error_mode = function(kernel32, "SetErrorMode", wintypes.UINT, wintypes.UINT)

_mode = threading.Lock()
"""The error mode belongs to the whole process."""


class Account(Protocol):
    """Whose program it becomes."""

    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def sid(self) -> str: ...


class Logon(Protocol):
    """Starts the runner in an account."""

    def start(self, account: Account, argv: Sequence[str]) -> Started:
        """The process that runs; the caller closes it. Raises CallError with Windows' number."""
        ...


class OtherAccount:
    """The real one. The program gets the account's own environment and profile."""

    def start(self, account: Account, argv: Sequence[str]) -> Started:
        made = ProcessInformation()
        info = StartupInfo(cb=ctypes.sizeof(StartupInfo))
        line = ctypes.create_unicode_buffer(command_line(argv))
        with _mode:
            before = _error_mode(NO_DIALOGS)
            try:
                ok = _with_logon(
                    account.username,
                    HERE,
                    account.password,
                    LOGON_WITH_PROFILE,
                    argv[0],
                    line,
                    CREATE_NO_WINDOW | UNICODE_ENVIRONMENT,
                    None,
                    folder_of(argv[0]),
                    ctypes.byref(info),
                    ctypes.byref(made),
                )
                code = ctypes.get_last_error()
            finally:
                _error_mode(before)
        if not ok:
            raise CallError("CreateProcessWithLogon", code, path=account.username)
        return _started(made)


class OurAccount:
    """The same program as ourselves: nothing is confined by it, so only tests take it."""

    def start(self, account: Account, argv: Sequence[str]) -> Started:
        made = ProcessInformation()
        info = StartupInfo(cb=ctypes.sizeof(StartupInfo))
        line = ctypes.create_unicode_buffer(command_line(argv))
        ok = _create(
            argv[0],
            line,
            None,
            None,
            0,
            CREATE_NO_WINDOW,
            None,
            folder_of(argv[0]),
            ctypes.byref(info),
            ctypes.byref(made),
        )
        if not ok:
            raise CallError("CreateProcess", ctypes.get_last_error(), path=argv[0])
        return _started(made)


def folder_of(program: str) -> str:
    """Where the runner starts: a folder that every account can open, and nobody writes to."""
    return os.path.dirname(program) or win32api.GetSystemDirectory()


def _started(made: ProcessInformation) -> Started:
    Handle(made.thread).close()
    return Started(made.process, made.pid)
