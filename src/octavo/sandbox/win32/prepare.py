"""From rules to a Windows on which they hold: the one call whoever starts commands makes."""

import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from octavo.sandbox import prepare_windows
from octavo.sandbox.prepare_windows import Accounts, AclMode, Wish
from octavo.sandbox.windows.acl import EVERYONE
from octavo.sandbox.windows.plan import Facts, Level, Network, WindowsPlan

assert sys.platform == "win32"

from octavo.sandbox.win32 import disk, own, scan
from octavo.sandbox.win32.state import Hold, Home

Rule = tuple[str, str, str]


def prepare(
    rules: Iterable[Rule],
    *,
    home: str,
    cwd: str,
    env: Mapping[str, str],
    level: Level,
    network: Network = "off",
    proxy_enforced: bool = False,
    acl_mode: AclMode = "write",
    accounts: Accounts | None = None,
    patterns: Sequence[str] = (),
    glob_scan_max_depth: int | None = None,
    read_roots: Sequence[str] = (),
    stand_ins: Mapping[str, str] | None = None,
    hold: Hold | None = None,
) -> WindowsPlan:
    """The plan for one command, carried out: when this returns, its token may be made.

    `env` is where the look for open folders finds TEMP and PATH. `accounts` are the SIDs that
    set-up made, for the elevated level. Open `hold` before and close it when the command has
    ended: until then nobody shows or removes what it depends on. Blocks: up to two minutes while
    another Octavo writes. Raises SandboxUnavailable for what cannot be held (ByHand and NotApplied
    are such), ConfigError for a damaged file of ours, CallError and DiskError for a call that
    failed: the command must not run then.
    """
    known = accounts or Accounts("", "", "")
    facts = own.facts(home, cwd, env, group=known.group, offline=known.offline, online=known.online)
    wish = Wish(
        rules=tuple(_resolved(rule) for rule in rules),
        level=level,
        network=network,
        proxy_enforced=proxy_enforced,
        acl_mode=acl_mode,
        patterns=tuple(patterns),
        glob_scan_max_depth=glob_scan_max_depth,
        read_roots=tuple(disk.canonical(root) for root in read_roots),
        stand_ins=dict(stand_ins or {}),
    )
    plan = prepare_windows.prepare(
        wish,
        facts=facts,
        disk=disk,
        store=Home(facts.home),
        audit=lambda: scan.world_writable(facts.cwd, env, _writers(facts)),
        random=secrets.token_bytes,
        now_ms=time.time_ns() // 1_000_000,
        hold=None if hold is None else hold.keep,
    )
    if acl_mode == "write":
        # usually everybody may use it, and nothing is written
        disk.allow_nul((*plan.active, facts.logon))
    return plan


def _resolved(rule: Rule) -> Rule:
    """Short names are what Windows itself puts into TEMP: the system says what they stand for."""
    path, access, origin = rule
    return rule if path in ("/", "\\") else (disk.canonical(path), access, origin)


def _writers(facts: Facts) -> tuple[str, ...]:
    """Whom a command's token is checked as, besides its capabilities."""
    accounts = (facts.offline, facts.online) if facts.group else ()
    return tuple(sid for sid in (EVERYONE, facts.logon, *accounts) if sid)
