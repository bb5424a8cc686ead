"""Who we are on this machine, and where its folders are: what a plan has to know.

Everything is asked of the system, not of variables, which a project could set.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import pywintypes
import win32api
import win32profile
import win32security
from win32com.shell import shell

import octavo
from octavo.process import argv_windows as argv
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import paths, tokens
from octavo.sandbox.windows.plan import Facts

assert sys.platform == "win32"

from octavo.sandbox.win32 import disk
from octavo.sandbox.win32.winapi import CallError

TOKEN_QUERY: Final = 8
SYSTEM_FOLDERS: Final = (
    shell.FOLDERID_Windows,
    shell.FOLDERID_ProgramFiles,
    shell.FOLDERID_ProgramFilesX86,
    shell.FOLDERID_ProgramData,
)
NO_SUCH_NAME: Final = 1332


def user_sid() -> str:
    """SID of the user this process runs as."""
    sid, _ = win32security.GetTokenInformation(_token(), win32security.TokenUser)
    return win32security.ConvertSidToStringSid(sid)


def groups() -> tuple[tuple[str, int], ...]:
    """(SID, attributes) of every group of this process."""
    return _groups(_token())


def logon_sid() -> str:
    """SID of this session. Raises SandboxUnavailable when there is none, as in some services."""
    token = _token()
    linked: tuple[tuple[str, int], ...] = ()
    try:
        other = win32security.GetTokenInformation(token, tokens.TOKEN_LINKED_TOKEN)
        linked = _groups(other)
    except pywintypes.error:
        pass  # the usual case: nobody who is no administrator has one
    return tokens.logon_sid(_groups(token), linked)


def _token() -> int:
    """Our own token; a handle that closes itself, whatever the stubs say."""
    try:
        return win32security.OpenProcessToken(win32api.GetCurrentProcess(), TOKEN_QUERY)
    except pywintypes.error as error:
        raise CallError("OpenProcessToken", error.winerror) from error


def _groups(token: int) -> tuple[tuple[str, int], ...]:
    found = win32security.GetTokenInformation(token, win32security.TokenGroups)
    return tuple((win32security.ConvertSidToStringSid(sid), how & 0xFFFFFFFF) for sid, how in found)


def account_sid(name: str) -> str:
    """SID of an account or group. Raises CallError; code 1332 when there is no such name."""
    try:
        sid, _, _ = win32security.LookupAccountName(None, name)
    except pywintypes.error as error:
        raise CallError("LookupAccountName", error.winerror, path=name) from error
    return win32security.ConvertSidToStringSid(sid)


def account_name(sid: str) -> str:
    r"""DOMAIN\name of a SID; the SID itself when nobody has it."""
    try:
        name, domain, _ = win32security.LookupAccountSid(
            None, win32security.ConvertStringSidToSid(sid)
        )
    except pywintypes.error:
        return sid
    return f"{domain}\\{name}" if domain else name


def facts(
    home: str,
    cwd: str,
    env: Mapping[str, str],
    *,
    group: str = "",
    offline: str = "",
    online: str = "",
) -> Facts:
    """What plans are made for here. `home` and `cwd` as the user wrote them; `env` is asked for
    the profile folder only where the system does not know it.

    Raises SandboxUnavailable or DiskError for a folder that cannot be resolved.
    """
    return Facts(
        user=user_sid(),
        logon=logon_sid(),
        home=disk.canonical(home),
        profile=disk.canonical(profile(env)),
        cwd=disk.canonical(cwd),
        system=system_folders(),
        runtime=runtime_folders(),
        group=group,
        offline=offline,
        online=online,
    )


def profile(env: Mapping[str, str] | None = None) -> str:
    """The user's profile folder. Raises CallError when neither the system nor `env` knows it."""
    try:
        return win32profile.GetUserProfileDirectory(_token())
    except pywintypes.error as error:
        found = argv.get(env or {}, "USERPROFILE")
        if not found:
            raise CallError("GetUserProfileDirectory", error.winerror) from error
        return found


def system_folders() -> tuple[str, ...]:
    """Folders of Windows and of installed programs, canonical."""
    return _distinct(str(shell.SHGetKnownFolderPath(each)) for each in SYSTEM_FOLDERS)


def runtime_folders() -> tuple[str, ...]:
    """Folders this program runs from: the base interpreter, its library, Octavo and what it
    needs. Whoever could write there could change what confines."""
    return _distinct(_runtime())


def _runtime() -> Iterator[str]:
    yield sys.base_prefix
    yield sys.base_exec_prefix
    yield os.path.dirname(os.__file__)
    for module in (octavo, win32security, pywintypes, sys.modules.get("msgspec")):
        file = getattr(module, "__file__", None)
        if file:
            yield os.path.dirname(file)


def _distinct(folders: Iterator[str]) -> tuple[str, ...]:
    """Canonical, each once, none that lies in another."""
    found: list[str] = []
    for folder in folders:
        try:
            path = disk.canonical(folder)
        except SandboxUnavailable:
            continue  # on a share, or no folder at all: no rule can open it either
        if not any(paths.contains(each, path) for each in found):
            found = [each for each in found if not paths.contains(path, each)] + [path]
    return tuple(found)
