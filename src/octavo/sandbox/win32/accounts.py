"""The sandbox's two local accounts and their group, for an administrator.

Existing things are harmless, missing ones too where they were to go; everything else is a CallError.
"""

import sys
import threading
from typing import Any, Final

assert sys.platform == "win32"

import winreg

import pywintypes
import win32api
import win32con
import win32event
import win32net
import win32profile
import win32security
import win32ts

from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import setup
from octavo.sandbox.windows.setup_run import AccountState

# untyped: the stubs know no None for this machine, no dicts and no handle objects
net: Final[Any] = win32net
security: Final[Any] = win32security
ts: Final[Any] = win32ts
api: Final[Any] = win32api
event: Final[Any] = win32event

USER_NOT_FOUND: Final = 2221
GROUP_NOT_FOUND: Final = 2220
NO_SUCH_ALIAS: Final = 1376
MEMBER_IN_ALIAS: Final = 1378
FILE_NOT_FOUND: Final = 2
NO_SUCH_PROCESS: Final = 87
BUSY: Final = (5, 32, 145)
"""A profile whose last process is still being taken apart."""
PRIVILEGE_ADMIN: Final = 2
END_MS: Final = 5000
ROUNDS: Final = 5
PROFILE_S: Final = 10


class LocalAccounts:
    """See `setup_run.Accounts`."""

    def make_group(self, name: str, comment: str) -> None:
        try:
            net.NetLocalGroupAdd(None, 1, {"name": name, "comment": comment})
        except win32net.error as error:
            raise failed("NetLocalGroupAdd", error, name) from error

    def sid_of(self, name: str) -> str:
        """Raises CallError 1332 for a name nobody has."""
        try:
            sid, _, _ = security.LookupAccountName(None, name)
        except pywintypes.error as error:
            raise failed("LookupAccountName", error, name) from error
        return str(security.ConvertSidToStringSid(sid))

    def state(self, name: str) -> AccountState | None:
        try:
            found = net.NetUserGetInfo(None, name, 1)
        except win32net.error as error:
            if error.winerror == USER_NOT_FOUND:
                return None
            raise failed("NetUserGetInfo", error, name) from error
        if found["priv"] >= PRIVILEGE_ADMIN or found["comment"] != setup.ACCOUNT_COMMENT:
            return "foreign"
        return "disabled" if found["flags"] & setup.ACCOUNT_DISABLED else "enabled"

    def make(self, name: str, password: str, *, flags: int, privilege: int, comment: str) -> None:
        table = {
            "name": name,
            "password": password,
            "priv": privilege,
            "home_dir": None,
            "comment": comment,
            "flags": flags,
            "script_path": None,
        }
        try:
            net.NetUserAdd(None, 1, table)
        except win32net.error as error:
            raise failed("NetUserAdd", error, name) from error

    def set_password(self, name: str, password: str) -> None:
        self._set(name, 1003, {"password": password})

    def _set(self, name: str, level: int, table: dict[str, object]) -> None:
        try:
            net.NetUserSetInfo(None, name, level, table)
        except win32net.error as error:
            raise failed(f"NetUserSetInfo {level}", error, name) from error

    def join(self, name: str, *, group_sid: str) -> None:
        """By SID: the group's name is localised."""
        try:
            group, _, _ = security.LookupAccountSid(
                None,
                security.ConvertStringSidToSid(group_sid),
            )
            member, _, _ = security.LookupAccountName(None, name)
            net.NetLocalGroupAddMembers(None, group, 0, [{"sid": member}])
        except pywintypes.error as error:
            if error.winerror != MEMBER_IN_ALIAS:
                raise failed(f"adding to the group {group_sid}", error, name) from error

    def enable(self, name: str) -> None:
        self._switch(name, enabled=True)

    def disable(self, name: str) -> None:
        self._switch(name, enabled=False)

    def _switch(self, name: str, *, enabled: bool) -> None:
        try:
            flags = int(net.NetUserGetInfo(None, name, 1)["flags"])
        except win32net.error as error:
            raise failed("NetUserGetInfo", error, name) from error
        wanted = flags & ~setup.ACCOUNT_DISABLED if enabled else flags | setup.ACCOUNT_DISABLED
        self._set(name, 1008, {"flags": wanted})

    def hide(self, name: str) -> None:
        """From the logon screen."""
        try:
            with winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, setup.USER_LIST, 0, LIST) as key:
                winreg.SetValueEx(key, name, 0, winreg.REG_DWORD, 0)
        except OSError as error:
            raise CallError("RegSetValueEx", error.winerror or 0, path=setup.USER_LIST) from error

    def unhide(self, name: str) -> None:
        try:
            with winreg.OpenKeyEx(winreg.HKEY_LOCAL_MACHINE, setup.USER_LIST, 0, LIST) as key:
                winreg.DeleteValue(key, name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CallError("RegDeleteValue", error.winerror or 0, path=setup.USER_LIST) from error

    def stop_processes(self, sid: str) -> None:
        """Those that begin meanwhile too; raises CallError when some are left."""
        for _ in range(ROUNDS):
            running = processes_of(sid)
            if not running:
                return
            for pid in running:
                end(pid)
        raise CallError("TerminateProcess", 5, path=f"{len(running)} processes of {sid}")

    def remove_profile(self, sid: str) -> None:
        pause = threading.Event()
        for _ in range(PROFILE_S):
            try:
                win32profile.DeleteProfile(sid)
            except pywintypes.error as error:
                if error.winerror == FILE_NOT_FOUND:
                    return
                if error.winerror not in BUSY:
                    raise failed("DeleteProfile", error, sid) from error
                last = error
                pause.wait(1)
            else:
                return
        raise failed("DeleteProfile", last, sid)

    def remove(self, name: str) -> None:
        try:
            net.NetUserDel(None, name)
        except win32net.error as error:
            if error.winerror != USER_NOT_FOUND:
                raise failed("NetUserDel", error, name) from error

    def remove_group(self, name: str) -> None:
        try:
            net.NetLocalGroupDel(None, name)
        except win32net.error as error:
            if error.winerror not in (GROUP_NOT_FOUND, NO_SUCH_ALIAS):
                raise failed("NetLocalGroupDel", error, name) from error


LIST: Final = winreg.KEY_SET_VALUE | winreg.KEY_WOW64_64KEY


def failed(call: str, error: pywintypes.error, subject: str | None = None) -> CallError:
    """pywin32's error as ours. It never shows arguments: one may be a password."""
    return CallError(call, int(error.winerror or 0), path=subject)


def processes_of(sid: str) -> tuple[int, ...]:
    """Ids of the processes of an account."""
    wanted = security.ConvertStringSidToSid(sid)
    try:
        found = ts.WTSEnumerateProcesses()
    except pywintypes.error as error:
        raise failed("WTSEnumerateProcesses", error) from error
    return tuple(pid for _, pid, _, owner in found if owner is not None and owner == wanted)


def end(pid: int) -> None:
    """End a process and wait for it; one that is gone already is fine."""
    try:
        handle = api.OpenProcess(win32con.PROCESS_TERMINATE | win32con.SYNCHRONIZE, 0, pid)
    except pywintypes.error as error:
        if error.winerror == NO_SUCH_PROCESS:
            return
        raise failed("OpenProcess", error, str(pid)) from error
    try:
        api.TerminateProcess(handle, 1)
        event.WaitForSingleObject(handle, END_MS)
    except pywintypes.error as error:
        if event.WaitForSingleObject(handle, 0) != event.WAIT_OBJECT_0:
            raise failed("TerminateProcess", error, str(pid)) from error
    finally:
        handle.Close()
