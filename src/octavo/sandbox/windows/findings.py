"""What `octavo sandbox doctor` says about what it found, each with its repair.

Pure: observations in, findings out.
"""

from dataclasses import dataclass
from typing import Final, Literal

from octavo.protocol.errors import UsageError
from octavo.sandbox.windows import acl, setup
from octavo.sandbox.windows.acl import Present
from octavo.sandbox.windows.journal import powershell
from octavo.sandbox.windows.plan import Level

State = Literal["ok", "weak", "problem", "info"]
OLDEST_BUILD: Final = 17763
"""Windows 10 1809, the first with pseudoconsoles."""
SET_UP: Final = "Run `octavo sandbox setup`."
POLICY: Final = {
    0: "local rules are in force",
    1: "a policy of your organisation overrides local rules",
    2: "a policy of your organisation overrides some local rules",
    3: "the firewall is off for inbound traffic of some networks",
}
LOCALLY: Final = (
    "Add the group OctavoSandboxUsers to “Allow log on locally” in the local security policy "
    "(secpol.msc), or use the unelevated sandbox."
)
LOGON: Final = {
    1326: ("the password was changed by somebody", SET_UP),
    1327: ("a policy restricts the account: an empty password, hours, or kinds of logon",
           "Ask your administrator to allow it to log on, or use the unelevated sandbox."),
    1331: ("the account is disabled", SET_UP),
    1385: ("the account may not log on here", LOCALLY),
    1907: ("its password has to be changed first", SET_UP),
    1909: ("the account is locked", "Wait until Windows unlocks it, or run `octavo sandbox setup`."),
    1793: ("the account has expired", SET_UP),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out."""

    name: str
    state: State
    text: str
    repair: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that was looked at; `problem` when that failed."""

    path: str
    present: Present | None = None
    problem: str = ""
    keeps_lists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was found out about a machine. None: it could not be asked."""

    build: int
    wine: str = ""
    level: Level = "disabled"
    user: str = ""
    """SID."""
    group: str = ""
    """SID; empty when there is no such group."""
    accounts: tuple[str, ...] = ()
    """SIDs of the sandbox accounts."""
    home: Place
    cwd: Place
    secrets: Place | None = None
    damaged: tuple[str, ...] = ()
    """Files of ours that cannot be read, with the reason."""
    set_up_needed: str | None = None
    """Why set-up has to run; None when it has not."""
    policy: int | None = None
    policy_problem: str = ""
    rules_missing: tuple[str, ...] = ()
    logon: tuple[tuple[str, int], ...] = ()
    """(account, Windows' number; 0: it can log on)."""
    secondary_logon: str = ""
    """State of the service that starts programs as somebody else: running, stopped, disabled."""
    interpreter: str = ""
    store: bool = False
    interpreter_readable: bool | None = None
    journal: tuple[int, int] = (0, 0)
    """Paths and entries of ours on the user's folders."""


def findings(seen: Observed) -> tuple[Finding, ...]:
    """Everything, the machine first."""
    elevated = seen.level == "elevated" or seen.set_up_needed is None
    found = [_system(seen), _level(seen), *_damaged(seen), _place(seen.home, "home", seen)]
    found += [_place(seen.cwd, "folder", seen), _interpreter(seen)]
    if elevated:
        found += [*_set_up(seen), *_logon(seen)]
    found.append(_policy(seen, needed=elevated))
    paths, entries = seen.journal
    if entries:
        text = f"{entries} of Octavo's entries are on {paths} paths"
        found.append(
            Finding(
                "entries", "info", text, "`octavo sandbox windows status` lists, `undo` removes."
            )
        )
    return tuple(found)


def _system(seen: Observed) -> Finding:
    if seen.wine:
        return Finding(
            "system",
            "problem",
            f"this is Wine {seen.wine}: it accepts access lists and restricted tokens and holds "
            "neither, so nothing is confined",
            "Use a real Windows, or Octavo for Linux.",
        )
    if seen.build < OLDEST_BUILD:
        return Finding(
            "system",
            "weak",
            f"build {seen.build} has no pseudoconsoles: terminal sessions do not work",
            "Update to Windows 10 1809 or newer.",
        )
    return Finding("system", "ok", f"Windows build {seen.build}")


def _level(seen: Observed) -> Finding:
    if seen.level == "disabled":
        text = "windows.sandbox is not set: every confined command is refused"
        return Finding(
            "level",
            "problem",
            text,
            'Set windows.sandbox to "elevated" (after `octavo sandbox setup`) or "unelevated".',
        )
    if seen.level == "unelevated":
        text = "unelevated: writing is held; reading and the network are not"
        return Finding(
            "level", "weak", text, 'Run `octavo sandbox setup`, then set it to "elevated".'
        )
    return Finding("level", "ok", "elevated")


def _damaged(seen: Observed) -> list[Finding]:
    return [
        Finding(
            "own files", "problem", text, "Run `octavo sandbox setup` again; see the text above."
        )
        for text in seen.damaged
    ]


def _place(place: Place, name: str, seen: Observed) -> Finding:
    """Can entries be written there?"""
    if place.problem:
        return Finding(name, "problem", place.problem, "Use another folder.")
    present = place.present
    if present is None:
        return Finding(name, "info", f"{place.path} does not exist yet")
    if not place.keeps_lists:
        text = f"the drive of {place.path} keeps no access lists: nothing there can be closed"
        return Finding(name, "problem", text, "Use a folder on an NTFS drive.")
    mine = (seen.user, acl.OWNER_RIGHTS, acl.USERS, acl.AUTHENTICATED_USERS, acl.EVERYONE)
    if present.owner == seen.user or acl.open_to(present.dacl, mine) & acl.WRITE_DAC:
        return Finding(name, "ok", f"{place.path} is yours")
    if present.owner in seen.accounts:
        who = "a sandbox account"
    else:
        who = {
            acl.ADMINISTRATORS: "the administrators",
            acl.SYSTEM: "the system",
        }.get(present.owner, present.owner or "nobody known")
    text = f"{place.path} belongs to {who}: its access list cannot be changed by you (error 5)"
    return Finding(name, "problem", text, _ownership(place.path))


def _ownership(path: str) -> str:
    try:
        lines = powershell([("takeown.exe", "/F", path, "/R", "/SKIPSL", "/D", "Y")])
    except UsageError:
        return "Take ownership of the folder as administrator."
    return f"Run in PowerShell as yourself with administrator rights: {lines.strip()}"


def _interpreter(seen: Observed) -> Finding:
    if seen.store:
        text = f"{seen.interpreter} is of the Microsoft Store: other accounts cannot start it"
        return Finding("interpreter", "problem", text, setup.STORE_ADVICE)
    if seen.interpreter_readable is False:
        text = f"{seen.interpreter} cannot be read by the sandbox accounts; a copy is made for them"
        return Finding("interpreter", "info", text)
    return Finding("interpreter", "ok", seen.interpreter)


def _set_up(seen: Observed) -> list[Finding]:
    found: list[Finding] = []
    if seen.set_up_needed is not None:
        found.append(Finding("set-up", "problem", f"it has to run: {seen.set_up_needed}", SET_UP))
    else:
        found.append(Finding("set-up", "ok", "complete"))
    if seen.secrets is not None:
        problem = seen.secrets.problem or setup.secrets_problem(
            seen.secrets.present, group=seen.group, user=seen.user
        )
        if problem and seen.secrets.present is not None:
            text = f"{seen.secrets.path} does not protect the accounts' credentials: {problem}"
            found.append(Finding("credentials", "problem", text, SET_UP))
        elif not problem:
            found.append(Finding("credentials", "ok", "readable by you and the system only"))
    if seen.rules_missing:
        text = f"firewall rules are missing or for somebody else: {', '.join(seen.rules_missing)}"
        found.append(Finding("firewall rules", "problem", text, SET_UP))
    return found


def _logon(seen: Observed) -> list[Finding]:
    found: list[Finding] = []
    if seen.secondary_logon == "disabled":
        text = "the service “Secondary Logon” is disabled: no program starts in another account"
        repair = "Run as administrator: Set-Service seclogon -StartupType Manual"
        found.append(Finding("logon service", "problem", text, repair))
    for account, code in seen.logon:
        if code == 0:
            found.append(Finding("logon", "ok", f"{account} can log on"))
            continue
        text, repair = LOGON.get(code, ("it cannot log on", SET_UP))
        found.append(Finding("logon", "problem", f"{account}: {text} (error {code})", repair))
    return found


def _policy(seen: Observed, *, needed: bool) -> Finding:
    state: State = "problem" if needed else "weak"
    advice = setup.ADVICE["helper_firewall_policy_ineffective"]
    if seen.policy is None:
        text = f"the firewall cannot be asked: {seen.policy_problem or 'no answer'}"
        return Finding(
            "firewall", state, text, setup.ADVICE["helper_firewall_policy_access_failed"]
        )
    text = POLICY.get(seen.policy, f"state {seen.policy}")
    return (
        Finding("firewall", "ok", text)
        if seen.policy == 0
        else Finding("firewall", state, text, advice)
    )
