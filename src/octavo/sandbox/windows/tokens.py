"""The token a command gets: which SIDs it is checked against a second time, and its defaults.

Pure: numbers and SIDs; one thin module makes the token from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows.acl import EVERYONE, OWNER_RIGHTS, READ_CONTROL, Ace
from octavo.sandbox.windows.sids import is_sid

TOKEN_ACCESS: Final = 0x1AB
"""Assign, duplicate, query, adjust privileges, default and session of our own token."""
DISABLE_MAX_PRIVILEGE: Final = 1
LUA_TOKEN: Final = 4
WRITE_RESTRICTED: Final = 8
FLAGS: Final = DISABLE_MAX_PRIVILEGE | LUA_TOKEN | WRITE_RESTRICTED
GENERIC_ALL: Final = 0x10000000
SE_GROUP_LOGON_ID: Final = 0xC0000000
TOKEN_LINKED_TOKEN: Final = 19
SE_PRIVILEGE_ENABLED: Final = 2
CHANGE_NOTIFY: Final = "SeChangeNotifyPrivilege"
NESTED: Final = 87
"""What CreateRestrictedToken answers inside a process that is restricted already."""


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """Everything CreateRestrictedToken and what follows it are given."""

    restricting: tuple[str, ...]
    """In order, attributes 0."""
    default_dacl: tuple[Ace, ...]
    """For objects made without a list of their own."""
    flags: int = FLAGS
    open_access: int = TOKEN_ACCESS
    enable: tuple[tuple[str, int], ...] = ((CHANGE_NOTIFY, SE_PRIVILEGE_ENABLED),)


def token_plan(
    capabilities: Sequence[str], logon: str, *, user: str | None = None, proxy: str | None = None
) -> TokenPlan:
    """The plan for a command whose active capability SIDs these are.

    `user` is given in the elevated backend only: the SID of the sandbox account, which owns the
    pipes its programs make. The signed-in user's SID must never be there.
    Raises SandboxUnavailable without capability, without logon SID, or for what is no SID.
    """
    if not capabilities:
        _refuse("no capability SID is active", "This is a defect; please report it.")
    if not logon:
        _refuse("this session has no logon SID", "Sign in and start Octavo from that session.")
    given = [*capabilities, *([user] if user else []), *([proxy] if proxy else []), logon, EVERYONE]
    wrong = next((sid for sid in given if not is_sid(sid)), None)
    if wrong is not None:
        _refuse(f"{wrong!r} is no SID", "Look at the file with the capability SIDs.")
    return TokenPlan(
        restricting=tuple(dict.fromkeys(given)),
        default_dacl=(
            Ace(allow=True, sid=logon, mask=GENERIC_ALL),
            Ace(allow=True, sid=OWNER_RIGHTS, mask=READ_CONTROL),
        ),
    )


def logon_sid(groups: Sequence[tuple[str, int]], linked: Sequence[tuple[str, int]] = ()) -> str:
    """The logon SID among a token's groups (SID, attributes), else among its linked token's.

    Raises SandboxUnavailable when there is none, as in some services.
    """
    found = (sid for sid, how in (*groups, *linked) if how & SE_GROUP_LOGON_ID == SE_GROUP_LOGON_ID)
    first = next(found, None)
    if first is None:
        _refuse("this session has no logon SID", "Sign in and start Octavo from that session.")
    return first


def _refuse(reason: str, hint: str) -> NoReturn:
    raise SandboxUnavailable(f"no restricted token: {reason}; the command did not run", hint=hint)
