"""Restricted tokens, exactly as planned: made from our own, closed again when anything fails.

The plan (`octavo.sandbox.windows.tokens`) says which SIDs, flags and defaults; nothing is decided
here.
"""

import ctypes
import sys
from collections.abc import Sequence
from ctypes import wintypes
from typing import Any, Final

import pywintypes
import win32api
import win32security

from octavo.sandbox.windows import tokens
from octavo.sandbox.windows.acl import Ace
from octavo.sandbox.windows.tokens import TokenPlan

assert sys.platform == "win32"

from octavo.sandbox.win32 import own
from octavo.sandbox.win32.winapi import CallError, Handle

REVISION: Final = 2
NESTED_HINT: Final = (
    "This process is confined already, and cannot confine others: start Octavo outside the sandbox."
)


class _Privilege(ctypes.Structure):
    """TOKEN_PRIVILEGES with one entry."""

    _fields_ = (
        ("count", wintypes.DWORD),
        ("low", wintypes.DWORD),
        ("high", wintypes.LONG),
        ("attributes", wintypes.DWORD),
    )


_advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_advapi32.AdjustTokenPrivileges.argtypes = [
    ctypes.c_void_p,
    wintypes.BOOL,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_void_p,
    ctypes.c_void_p,
]


def restricted(plan: TokenPlan) -> Handle:
    """A primary token for one command; the caller closes it.

    Raises CallError with the call and the number Windows gave; nothing is left open then.
    """
    # `Any`: the stubs take a handle for a number, and a list of SIDs for something else
    call = "OpenProcessToken"
    try:
        mine = win32security.OpenProcessToken(win32api.GetCurrentProcess(), plan.open_access)
        call = "CreateRestrictedToken"
        sids: Any = [(win32security.ConvertStringSidToSid(sid), 0) for sid in plan.restricting]
        made: Any = win32security.CreateRestrictedToken(mine, plan.flags, (), (), sids)
    except pywintypes.error as error:
        nested = error.winerror == tokens.NESTED and call == "CreateRestrictedToken"
        hint = NESTED_HINT if nested else None
        raise CallError(call, error.winerror, hint=hint) from error
    token = Handle(made.Detach())
    try:
        _set_default(token, plan.default_dacl)
        for name, attributes in plan.enable:
            _enable(token, name, attributes)
    except BaseException:
        token.close()
        raise
    return token


def for_runner(active: Sequence[str], *, proxy: str | None = None) -> Handle:
    """The token of a command that the runner starts as a sandbox account: also its own user SID.

    Raises SandboxUnavailable or CallError: then nothing may run.
    """
    user, logon = own.user_sid(), own.logon_sid()
    return restricted(tokens.token_plan(active, logon, user=user, proxy=proxy))


def _set_default(token: Handle, entries: Sequence[Ace]) -> None:
    """What objects get that the command makes without a list of their own."""
    made = win32security.ACL()
    try:
        for ace in entries:
            add = made.AddAccessAllowedAceEx if ace.allow else made.AddAccessDeniedAceEx
            add(REVISION, ace.flags, ace.mask, win32security.ConvertStringSidToSid(ace.sid))
        win32security.SetTokenInformation(token.value, win32security.TokenDefaultDacl, made)
    except pywintypes.error as error:
        raise CallError("SetTokenInformation", error.winerror) from error


def _enable(token: Handle, name: str, attributes: int) -> None:
    try:
        value = win32security.LookupPrivilegeValue("", name)
    except pywintypes.error as error:
        raise CallError("LookupPrivilegeValue", error.winerror, path=name) from error
    wanted = _Privilege(1, value & 0xFFFFFFFF, value >> 32, attributes)
    ctypes.set_last_error(0)
    done = _advapi32.AdjustTokenPrivileges(token.value, 0, ctypes.byref(wanted), 0, None, None)
    # it also says yes when the token does not have the privilege, and only then sets a number
    code = ctypes.get_last_error()
    if not done or code:
        raise CallError("AdjustTokenPrivileges", code, path=name)
