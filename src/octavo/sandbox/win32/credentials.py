"""The sandbox accounts' credentials: read on each use, and only from a folder that protects them.

Every local account that can read the file can decrypt it, so the folder's access list comes first.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

assert sys.platform == "win32"

from octavo.protocol.errors import ConfigError, OctavoError, SandboxUnavailable
from octavo.sandbox.win32 import disk, dpapi, own
from octavo.sandbox.win32 import state as files
from octavo.sandbox.win32.accounts import LocalAccounts
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import setup
from octavo.sandbox.windows.acl import Present
from octavo.sandbox.windows.plan import Identity
from octavo.sandbox.windows.setup import Marker, State, UsersFile
from octavo.sandbox.windows.setup_run import Places

Look = Callable[[str], Present | None]
LONGEST: Final = 64 * 1024
"""Bytes of a marker or users file; ours have less than one thousand."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What `CreateProcessWithLogonW` needs. Never printed."""

    username: str
    password: str
    sid: str

    def __repr__(self) -> str:
        return f"Credentials({self.username})"


def load(
    home: str, identity: Identity, *, look: Look = disk.look, user: str | None = None
) -> Credentials:
    """An account's credentials. `user` is the SID of the signed-in user.

    Raises SandboxUnavailable when set-up is not complete or the folder does not protect them,
    ConfigError for a damaged file, CallError when it cannot be decrypted (13: changed, or another
    machine's).
    """
    accounts, places = LocalAccounts(), Places(home)
    group = accounts.sid_of(setup.GROUP)
    check_folder(places, look=look, group=group, user=user or own.user_sid())
    marker, users = read_marker(home), read_users(home)
    found = State(marker=marker, users=users)
    why = setup.needed(found, identity, keep_network=True)
    if why is not None:
        raise SandboxUnavailable(
            f"the elevated sandbox has to be set up again: {why}; the command did not run",
            hint=setup.AGAIN,
        )
    account = users.account(identity)
    try:
        password = dpapi.unseal(account.sealed).decode("ascii")
    except UnicodeDecodeError:
        # not "from": the error would carry the password
        raise ConfigError(
            "a password in it is not ours", file=places.users, hint=setup.AGAIN
        ) from None
    return Credentials(account.username, password, accounts.sid_of(account.username))


def check_folder(places: Places, *, look: Look, group: str, user: str) -> None:
    """Raises SandboxUnavailable when somebody else may read the credentials."""
    problem = setup.secrets_problem(look(places.secrets), group=group, user=user)
    if problem is not None:
        raise SandboxUnavailable(
            f"{places.secrets} does not protect the accounts' credentials: {problem}; "
            "the command did not run",
            hint="Run `octavo sandbox setup`, which makes new passwords and closes the folder.",
        )


def read_users(home: str) -> UsersFile:
    """The users file. Raises ConfigError for a missing or damaged one."""
    path = Places(home).users
    return setup.decode_users(read_own(path), path)


def read_marker(home: str) -> Marker:
    """The marker. Raises ConfigError for a missing or damaged one, also one of a set-up that did
    not finish."""
    path = Places(home).marker
    return setup.decode_marker(read_own(path), path)


def read_own(path: str) -> bytes:
    """A file of ours. Raises ConfigError for a missing one, a link, or one that is far too long."""
    data = files.read(path)
    if data is None:
        raise ConfigError("it is missing", file=path, hint=setup.AGAIN)
    if len(data) > LONGEST:
        raise ConfigError(f"it is longer than {LONGEST:,} bytes", file=path, hint=setup.AGAIN)
    return data


def state(home: str) -> State:
    """What is there of an earlier set-up, for `setup.needed`. Damaged files count as missing:
    `doctor` says what is wrong with them."""
    try:
        marker = read_marker(home)
    except OctavoError:
        marker = None
    try:
        users: UsersFile | None = read_users(home)
        for account in (users.offline, users.online) if users else ():
            dpapi.unseal(account.sealed)
    except OctavoError:
        users = None
    return State(marker=marker, users=users, accounts_enabled=users is not None and enabled(users))


def enabled(users: UsersFile) -> bool:
    """Can both accounts be used, as far as the system says?"""
    accounts = LocalAccounts()
    try:
        states = [accounts.state(each.username) for each in (users.offline, users.online)]
    except CallError:
        return True  # nobody told us otherwise: the logon itself will
    return states == ["enabled", "enabled"]


def discard(home: str) -> None:
    """Credentials that turned out stale: from now on set-up is needed. Raises CallError."""
    files.replace(Places(home).users, b"")
