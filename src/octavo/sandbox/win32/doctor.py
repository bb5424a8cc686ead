"""What `octavo sandbox doctor` looks at, on a real Windows.

What it means and what repairs it is `octavo.sandbox.windows.findings`.
"""

import ctypes
import os
import sys
from typing import Any, Final

assert sys.platform == "win32"

import pywintypes
import win32con
import win32security
import win32service

from octavo.protocol.errors import OctavoError, SandboxUnavailable
from octavo.sandbox.win32 import credentials, disk, dpapi, own, programs, undo, walls
from octavo.sandbox.win32.accounts import LocalAccounts
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import firewall, setup
from octavo.sandbox.windows.findings import Finding, Observed, Place, findings
from octavo.sandbox.windows.plan import Level
from octavo.sandbox.windows.setup import UsersFile
from octavo.sandbox.windows.setup_run import Places

# untyped: the stubs know no None where the machine's own is meant
security: Final[Any] = win32security
service: Final[Any] = win32service
SERVICE: Final = "seclogon"
LOGON_INTERACTIVE: Final = 2
RULES: Final = tuple(step.name for step in firewall.removal() if "allow" not in step.name)
LOOPBACK: Final = frozenset(name for name in RULES if "loopback" in name)


def examine(home: str, cwd: str, level: Level) -> tuple[Finding, ...]:
    """Everything, each with its repair. Changes nothing; asks for no administrator."""
    return findings(observe(home, cwd, level))


def observe(home: str, cwd: str, level: Level) -> Observed:
    """What can be found out. What cannot be asked is left open and said."""
    places = Places(home)
    damaged: list[str] = []
    users = _users(home, damaged)
    group, accounts = _sids(users)
    rules = _rules(accounts[0]) if accounts else ()
    policy, policy_problem = _policy()
    executable, store = _interpreter()
    journal = _journal(home, damaged)
    return Observed(
        build=sys.getwindowsversion().build,
        wine=wine_version(),
        level=level,
        user=own.user_sid(),
        group=group,
        accounts=accounts,
        home=place(home),
        cwd=place(cwd),
        secrets=place(places.secrets) if os.path.isdir(places.secrets) else None,
        damaged=tuple(damaged),
        set_up_needed=setup.needed(credentials.state(home), "offline", keep_network=True),
        policy=policy,
        policy_problem=policy_problem,
        rules_missing=_missing(home, rules),
        logon=_logons(users),
        secondary_logon=_service(),
        interpreter=executable,
        store=store,
        interpreter_readable=_readable(executable, group),
        journal=journal,
    )


def wine_version() -> str:
    """Of Wine; "" on a real Windows."""
    get = getattr(ctypes.WinDLL("ntdll"), "wine_get_version", None)
    if get is None:
        return ""
    get.restype = ctypes.c_char_p
    return bytes(get()).decode("ascii", "replace")


def place(path: str) -> Place:
    """A folder, as it is."""
    try:
        real = disk.canonical(path)
        return Place(path=real, present=disk.look(real), keeps_lists=disk.keeps_lists(real))
    except OctavoError as error:
        return Place(path=path, problem=str(error))


def _users(home: str, damaged: list[str]) -> UsersFile | None:
    """The users file; what is wrong with ours is said, what is only missing is not."""
    places, found = Places(home), None
    if os.path.lexists(places.marker):
        try:
            credentials.read_marker(home)
        except OctavoError as error:
            damaged.append(str(error))
    if os.path.lexists(places.users):
        try:
            found = credentials.read_users(home)
            for account in (found.offline, found.online):
                dpapi.unseal(account.sealed)
        except OctavoError as error:
            damaged.append(f"{places.users}: {error}" if found is not None else str(error))
            return None
    return found


def _sids(users: UsersFile | None) -> tuple[str, tuple[str, ...]]:
    local = LocalAccounts()
    names = (users.offline, users.online) if users else ()
    try:
        return local.sid_of(setup.GROUP), tuple(local.sid_of(each.username) for each in names)
    except CallError:
        return "", ()


def _policy() -> tuple[int | None, str]:
    machine = walls.MachineWalls()
    try:
        machine.open()
        return machine.policy(), ""
    except CallError as error:
        return None, str(error)


def _rules(sid: str) -> tuple[str, ...]:
    """Rules that are missing or for somebody else."""
    machine = walls.MachineWalls()
    try:
        machine.open()
        return tuple(name for name in RULES if f";{sid})" not in machine.users_of(name))
    except CallError:
        return ()


def _missing(home: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that set-up left out on purpose."""
    try:
        marker = credentials.read_marker(home)
    except OctavoError:
        return ()
    return tuple(name for name in names if not (marker.allow_local_binding and name in LOOPBACK))


def _logons(users: UsersFile | None) -> tuple[tuple[str, int], ...]:
    """Can the accounts log on? By trying."""
    found: list[tuple[str, int]] = []
    for account in (users.offline, users.online) if users else ():
        try:
            security.LogonUser(
                account.username,
                ".",
                dpapi.unseal(account.sealed).decode("ascii"),
                LOGON_INTERACTIVE,
                win32con.LOGON32_PROVIDER_DEFAULT,
            ).Close()
        except pywintypes.error as error:
            found.append((account.username, error.winerror))
        except (CallError, UnicodeDecodeError):
            continue  # the file is damaged, which is said elsewhere
        else:
            found.append((account.username, 0))
    return tuple(found)


def _service() -> str:
    """State of the service that starts programs in other accounts; "" when it does not say."""
    try:
        manager = service.OpenSCManager(None, None, service.SC_MANAGER_CONNECT)
        try:
            found = service.OpenService(manager, SERVICE, service.SERVICE_QUERY_CONFIG)
            try:
                start = service.QueryServiceConfig(found)[1]
            finally:
                service.CloseServiceHandle(found)
        finally:
            service.CloseServiceHandle(manager)
    except pywintypes.error:
        return ""
    return "disabled" if start == service.SERVICE_DISABLED else "enabled"


def _interpreter() -> tuple[str, bool]:
    try:
        return programs.base_interpreter(), False
    except SandboxUnavailable:
        return sys.executable, True


def _readable(executable: str, group: str) -> bool | None:
    if not group:
        return None
    return programs.readable(disk.canonical(executable), look=disk.look, group=group)


def _journal(home: str, damaged: list[str]) -> tuple[int, int]:
    try:
        found = undo.status(home) if os.path.isdir(home) else None
    except OctavoError as error:
        damaged.append(str(error))
        return 0, 0
    return (0, 0) if found is None else (len(found.left), found.entries)
