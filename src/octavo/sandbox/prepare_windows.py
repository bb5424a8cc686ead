"""From rules to a disk on which they hold: plan, carry out, and plan again when the disk moved.

Pure but for the `Disk` and the `Store` it is given, which are held for one plan at a time.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.plan_windows import Rule, plan_windows
from octavo.sandbox.windows import denyread, paths
from octavo.sandbox.windows.acl import Present
from octavo.sandbox.windows.apply import carry_out, check_by_hand
from octavo.sandbox.windows.audit import Audit
from octavo.sandbox.windows.paths import contains, fold
from octavo.sandbox.windows.plan import Facts, Level, Network, WindowsPlan
from octavo.sandbox.windows.repair import NotApplied, problem
from octavo.sandbox.windows.sids import Random
from octavo.sandbox.windows.world import ChangedMeanwhile, Disk, DiskError, Last, Store

AclMode = Literal["write", "manual"]
TRIES: Final = 3
AUDIT_MS: Final = 5 * 60 * 1000
"""How long the look for open folders holds: what a command may write does not change it."""
SLACK_MS: Final = 10_000
"""Clocks of volumes are coarse, and a command can still run while its successor is planned."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """SIDs of what set-up made."""

    group: str
    offline: str
    online: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a command is to be held to."""

    rules: tuple[Rule, ...]
    level: Level = "unelevated"
    network: Network = "off"
    proxy_enforced: bool = False
    acl_mode: AclMode = "write"
    """"manual": nothing is written; missing entries are an error with the commands for them."""
    patterns: tuple[str, ...] = ()
    """What they name is hidden."""
    glob_scan_max_depth: int | None = None
    read_roots: tuple[str, ...] = ()
    """Folders the sandbox accounts have to be able to read."""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    """Missing paths that need a file with this text."""


def prepare(
    wish: Wish,
    *,
    facts: Facts,
    disk: Disk,
    store: Store,
    audit: Callable[[], Audit],
    random: Random,
    now_ms: int,
    hold: Callable[[Iterable[str]], None] | None = None,
) -> WindowsPlan:
    """The plan, carried out: when this returns, a command may be started with its token.

    `hold` is told, before anybody else can plan, which paths the command depends on. Raises
    SandboxUnavailable (NotApplied, ByHand) when a rule cannot be held, ConfigError for a damaged
    file of ours.
    """
    changed: ChangedMeanwhile | None = None
    for _ in range(TRIES):
        try:
            with store.lock():
                plan = _once(wish, facts, disk, store, audit, random, now_ms)
                if hold is not None:
                    hold(_depended_on(wish, plan, disk))
                return plan
        except ChangedMeanwhile as error:
            changed = error
        except DiskError as error:
            raise NotApplied([problem(error, facts.user)]) from error
    raise SandboxUnavailable(
        f"{changed}, {TRIES} times in a row; the command did not run",
        hint="Wait until whatever changes the folder is done, then run the command again.",
    ) from changed


def _depended_on(wish: Wish, plan: WindowsPlan, disk: Disk) -> list[str]:
    """What has to stay hidden, and what has to stay there, while the command runs."""
    closed = [disk.canonical(path) for path, access, _ in wish.rules if _closes(path, access)]
    return [*plan.hidden, *(made.path for made in plan.creates), *closed]


def _closes(path: str, access: str) -> bool:
    return access != "write" and path not in ("/", "\\")


def _once(
    wish: Wish,
    facts: Facts,
    disk: Disk,
    store: Store,
    audit: Callable[[], Audit],
    random: Random,
    now_ms: int,
) -> WindowsPlan:
    _check_volumes(wish, disk)
    rules = [*wish.rules, *_matches(wish, disk)]
    known, stale_file = store.capabilities()
    digest, last = _digest(wish, facts), store.last()
    same = last if last is not None and last.wish == digest else None
    named = [record.path for record in store.journal().records]
    strays = _Strays(rules, disk, same, named)
    open_folders, audit_ms = _audited(same, audit, now_ms)
    before, held = _hidden(store, facts), store.held()
    plan = plan_windows(
        rules,
        facts=facts,
        capabilities=known,
        random=random,
        look=disk.look,
        level=wish.level,
        network=wish.network,
        proxy_enforced=wish.proxy_enforced,
        canonical=disk.canonical,
        strays=strays,
        open_folders=open_folders,
        hidden_before=before,
        held=held,
        read_roots=wish.read_roots,
        stand_ins=wish.stand_ins,
    )
    if wish.acl_mode == "manual":
        _by_hand(plan, store, facts, stale_file=stale_file)
    else:
        carry_out(
            plan,
            disk,
            store,
            facts=facts,
            now_ms=now_ms,
            stale_file=stale_file,
            hidden_before=before,
            held=held,
        )
    found = Last(digest, plan.fingerprint, now_ms, strays.found, open_folders, audit_ms)
    _remember(store, same, found)
    return plan


def _check_volumes(wish: Wish, disk: Disk) -> None:
    """A volume without lists is open to every command, whatever we write."""
    for path, access, origin in wish.rules:
        # a share is refused by the plan, with its own reason
        local = path not in ("/", "\\") and not paths.is_network(path)
        if access == "write" and local and not disk.keeps_lists(path):
            raise SandboxUnavailable(
                f'the Windows sandbox cannot hold rule "{path}" = write ({origin}): its drive '
                "keeps no access lists; the command did not run",
                hint="Use a folder on an NTFS drive.",
            )


def _digest(wish: Wish, facts: Facts) -> str:
    """Without the folders to read: they come and go in a profile, and close and open nothing."""
    table = [
        wish.rules,
        wish.level,
        wish.network,
        wish.proxy_enforced,
        wish.patterns,
        wish.glob_scan_max_depth,
        sorted(wish.stand_ins.items()),
        [getattr(facts, name) for name in Facts.__slots__],
    ]
    return hashlib.sha256(json.dumps(table, ensure_ascii=True).encode()).hexdigest()


def _matches(wish: Wish, disk: Disk) -> Iterator[Rule]:
    # all are checked before the first is looked for
    patterns = [denyread.compiled(each, wish.glob_scan_max_depth) for each in wish.patterns]
    for path, pattern in denyread.expand(patterns, disk.listing):
        yield path, "none", f"pattern {pattern}"


def _hidden(store: Store, facts: Facts) -> tuple[str, ...]:
    return store.hidden(facts.group) if facts.group else ()


def _audited(
    same: Last | None, audit: Callable[[], Audit], now_ms: int
) -> tuple[tuple[str, ...], int]:
    """Folders that everybody may write, and when they were looked for."""
    if same is not None and 0 <= now_ms - same.audit_ms < AUDIT_MS:
        return same.open, same.audit_ms
    return audit().open, now_ms


def _by_hand(plan: WindowsPlan, store: Store, facts: Facts, *, stale_file: bool) -> None:
    """The SIDs have to last, or the entries would be for others the next time."""
    if stale_file or plan.capabilities_changed:
        store.save_capabilities(plan.capabilities)
    check_by_hand(plan)
    if facts.group and set(plan.hidden) != set(store.hidden(facts.group)):
        store.save_hidden(facts.group, plan.hidden)


def _remember(store: Store, same: Last | None, now: Last) -> None:
    """Nothing is written when nothing is new."""
    if same is None or (same.fingerprint, same.strays, same.audit_ms) != (
        now.fingerprint,
        now.strays,
        now.audit_ms,
    ):
        store.save_last(now)


class _Strays:
    """What has entries of its own, below the folders a plan asks about.

    Everything is looked at, unless the last plan of this home had the same wishes: then nobody
    can have made such things where this plan closes, and those that were there, those on record
    and those made since are enough.
    """

    def __init__(
        self, rules: Iterable[Rule], disk: Disk, same: Last | None, named: Iterable[str]
    ) -> None:
        self._disk, self._same = disk, same
        self._open = {
            fold(disk.canonical(path)): access == "write"
            for path, access, _ in rules
            if path not in ("/", "\\")
        }
        again = [*(same.strays if same else ()), *named]
        self._again = list({fold(path): path for path in again}.values()) if same else []
        self._walked: dict[str, list[Present]] = {}

    @property
    def found(self) -> tuple[str, ...]:
        """The paths of all that was found."""
        named = {fold(one.path): one.path for each in self._walked.values() for one in each}
        return tuple(sorted(named.values()))

    def __call__(self, folder: str) -> Iterable[Present]:
        around = next((top for top in self._walked if contains(top, folder)), None)
        if around is None:
            self._walked[folder] = list(self._walk(folder))
            return self._walked[folder]
        return [one for one in self._walked[around] if contains(folder, one.path)]

    def _walk(self, folder: str) -> Iterator[Present]:
        since = max(self._same.at_ms - SLACK_MS, 1) if self._same else 0
        seen: set[str] = set()
        for one in self._disk.strays(folder, since):
            seen.add(fold(one.path))
            if isinstance(one, DiskError):
                self._check_unseen(one)
            else:
                yield one
        for path in self._again:
            if contains(folder, path) and fold(path) not in seen:
                present = self._disk.look(path)
                if present is not None and has_own(present):
                    yield present

    def _check_unseen(self, error: DiskError) -> None:
        """What a command made private in a writable folder is its own affair; what cannot be
        looked at where everything has to be closed, or hidden, is not."""
        deepest = paths.most_specific(self._open, fold(error.path))
        if deepest is None or not self._open[deepest]:
            raise error


def has_own(present: Present) -> bool:
    """Has it entries of its own, or inherits it nothing?"""
    own = present.dacl is None or any(not ace.inherited for ace in present.dacl)
    return own or present.protected
