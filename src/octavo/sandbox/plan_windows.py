"""Turn file and network rules into access entries and a token for Windows.

Pure, on any system: the disk is asked through `look`, links are followed by `canonical`, new SIDs
come from `random`. `octavo.sandbox.windows` says what the values mean and carries them out.

Theory of operation. The command's token is checked twice for every change: once as usual, once
against a short list of SIDs. Each writable root has a SID of its own on that list (its capability),
and an entry on the root that allows it. What is closed inside gets an entry that denies the same
SID, and Windows hands both down. An entry on an object comes before what is inherited, so a folder
that is opened again inside a closed one needs only an entry for a SID of its own.

Each root is an island: its entries depend on what is closed inside it and on nothing else, and so
does its SID. Whatever other policies left behind names other SIDs, which are not in the token.

Three things keep a closed path closed. Folders between it and its root are pinned (a folder that
can be renamed carries its contents out of the rule). A missing one is created, closed from birth.
And where sandbox accounts may own something, owners lose the right to rewrite entries.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import acl, paths, sids
from octavo.sandbox.windows.acl import Ace, Change, Present, Target, Wanted
from octavo.sandbox.windows.plan import Create, Facts, Identity, Level, Network, WindowsPlan
from octavo.sandbox.windows.sids import Capabilities, Random
from octavo.sandbox.windows.tokens import token_plan

__all__ = ["Facts", "WindowsPlan", "choose", "plan_windows"]

Access = Literal["write", "read", "none"]
Rule = tuple[str, str, str]
"""(absolute path, "write" | "read" | "none", where the rule comes from)."""
Look = Callable[[str], Present | None]

STRONGER: Final = {"read": 0, "write": 1, "none": 2}
"""Which access holds when two rules name the same path."""
NOT_RUN: Final = "the command did not run"
PROTECTED: Final = "protected: "
"""Origins of rules the user did not write begin with this."""
NO_WALL: Final = (
    "the network is only discouraged by variables: a program that ignores them reaches it"
)
SHARED: Final = "reading is not limited: a command reads what you can read"


def choose(
    level: Level, network: Network, *, proxy_enforced: bool = False
) -> tuple[Literal["unelevated", "elevated"], Identity | None]:
    """Which backend runs a command, and as which account.

    A run that is held to a proxy always takes the other account, whatever the level says: only
    an account can be told apart by the firewall. Raises SandboxUnavailable for "disabled".
    """
    enforced = proxy_enforced or network == "proxy"
    if level == "disabled" and not enforced:
        raise SandboxUnavailable(
            f"no Windows sandbox is chosen: {NOT_RUN}",
            hint='Set windows.sandbox to "elevated" or "unelevated".',
        )
    if enforced or level == "elevated":
        return "elevated", "online" if network == "on" and not enforced else "offline"
    return "unelevated", None


def plan_windows(
    rules: Iterable[Rule],
    *,
    facts: Facts,
    capabilities: Capabilities,
    random: Random,
    look: Look,
    level: Level = "unelevated",
    network: Network = "off",
    proxy_enforced: bool = False,
    canonical: Callable[[str], str] = str,
    strays: Callable[[str], Iterable[Present]] = lambda _path: (),
    open_folders: Iterable[str] = (),
    hidden_before: Iterable[str] = (),
    held: Iterable[str] = (),
    read_roots: Iterable[str] = (),
    stand_ins: Mapping[str, str] | None = None,
) -> WindowsPlan:
    """The entries and the token that give a command exactly these rights.

    `look` says what a path has, None when it is missing. `strays(folder)` lists what lies below
    and has entries of its own, or inherits nothing. `open_folders` is what the audit found open
    to everybody. `hidden_before` was hidden by earlier plans; `held` is what other running
    commands still need hidden. Raises SandboxUnavailable naming the rule that cannot be held.
    """
    backend, identity = choose(level, network, proxy_enforced=proxy_enforced)
    elevated = backend == "elevated"
    if elevated and not (facts.group and facts.offline and facts.online):
        _refuse(
            "the elevated sandbox", "its accounts are not set up", "Run `octavo sandbox setup`."
        )
    if not elevated and network == "none":
        _refuse(
            "network none", "this backend cannot close it", "Use the elevated sandbox, or drop it."
        )
    table = _Table(rules, canonical, facts, look)
    table.check(elevated=elevated)
    work = _Work(table, facts, look, strays, elevated=elevated, stand_ins=stand_ins or {})
    known = work.name_roots(capabilities, random)
    known, outside = work.close_open_folders(open_folders, known, random)
    work.lay_out()
    work.unhide(hidden_before, held)
    active = (*(root.sid for root in work.islands.values()), *outside)
    active = active or (known.readonly,)
    hidden = tuple(sorted(work.hidden, key=paths.key))
    changes = work.changes()
    return WindowsPlan(
        backend=backend,
        identity=identity,
        capabilities=known,
        capabilities_changed=known is not capabilities,
        creates=tuple(work.creates),
        changes=changes,
        hidden=hidden,
        read_grants=work.read_grants(read_roots) if elevated else (),
        active=active,
        token=None if elevated else token_plan(active, facts.logon),
        network=network,
        notes=tuple(table.notes),
        weaker=_weaker(network, elevated=elevated),
        fingerprint=work.fingerprint((backend, identity or "", network, *active)),
    )


def _weaker(network: Network, *, elevated: bool) -> tuple[str, ...]:
    if elevated:
        return ()
    return (SHARED,) if network == "on" else (SHARED, NO_WALL)


def _refuse(rule: str, reason: str, remedy: str) -> NoReturn:
    raise SandboxUnavailable(
        f"the Windows sandbox cannot hold {rule}: {reason}; {NOT_RUN}", hint=remedy
    )


# Rules -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Rule:
    path: str
    access: Access
    origin: str

    @property
    def name(self) -> str:
        return f'rule "{self.path}" = {self.access} ({self.origin})'


class _Table:
    """The rules by folded path, and what was left out."""

    def __init__(
        self, rules: Iterable[Rule], canonical: Callable[[str], str], facts: Facts, look: Look
    ) -> None:
        self.notes: list[str] = []
        self.entries: dict[str, _Rule] = {}
        self.everything: Access = "none"
        self._facts = facts
        given = [self._resolved(rule, canonical) for rule in rules]
        for rule in given:
            self._add(rule)
        self._protect(facts)
        self._drop_missing(look)
        self._drop_repeated()

    def _resolved(self, rule: Rule, canonical: Callable[[str], str]) -> _Rule:
        path, access, origin = rule
        if access not in STRONGER:
            _refuse(
                f'rule "{path}" ({origin})',
                f"{access!r} is not an access",
                "Use write, read or none.",
            )
        kind: Access = "write" if access == "write" else "read" if access == "read" else "none"
        if path in ("/", "\\"):
            return _Rule("", kind, origin)
        plain = paths.canonical(path)
        real = canonical(plain)
        return _Rule(plain if real == plain else paths.canonical(real, resolved=True), kind, origin)

    def _add(self, rule: _Rule) -> None:
        if not rule.path:
            self.everything = rule.access
            return
        at = paths.fold(rule.path)
        known = self.entries.get(at)
        if known is None or STRONGER[rule.access] > STRONGER[known.access]:
            self.entries[at] = rule

    def _protect(self, facts: Facts) -> None:
        """Our own home stays closed where a root contains it."""
        at = paths.fold(facts.home)
        if at not in self.entries and self.access(facts.home) == "write":
            self.entries[at] = _Rule(facts.home, "read", PROTECTED + "Octavo's home")

    def _drop_missing(self, look: Look) -> None:
        gone = [r for r in self.entries.values() if r.access == "write" and look(r.path) is None]
        for rule in gone:
            del self.entries[paths.fold(rule.path)]
            self.notes.append(f"{rule.path} ({rule.origin}) is left out: it does not exist")
        for rule in list(self.entries.values()):
            lost = any(paths.contains(each.path, rule.path) for each in gone)
            if lost and rule.access != "write" and look(rule.path) is None:
                del self.entries[paths.fold(rule.path)]

    def _drop_repeated(self) -> None:
        """What says the same as the rule above it says nothing."""
        for rule in self.ordered():
            if self.access_above(rule) == rule.access:
                del self.entries[paths.fold(rule.path)]

    def governing(self, path: str) -> _Rule | None:
        """The rule that decides a canonical path; None for the one for everything."""
        at = paths.fold(path)
        for place in (at, *paths.ancestors(at)):
            if place in self.entries:
                return self.entries[place]
        return None

    def above(self, rule: _Rule) -> _Rule | None:
        """The next rule above a rule's path."""
        return None if paths.is_root(rule.path) else self.governing(paths.parent(rule.path))

    def access(self, path: str) -> Access:
        found = self.governing(path)
        return self.everything if found is None else found.access

    def access_above(self, rule: _Rule) -> Access:
        found = self.above(rule)
        return self.everything if found is None else found.access

    def ordered(self) -> list[_Rule]:
        """Shallow first."""
        return sorted(self.entries.values(), key=lambda r: (paths.depth(r.path), r.path))

    def check(self, *, elevated: bool) -> None:
        """Refuse what no entry can say."""
        if self.everything == "write":
            _refuse("write access to everything", "that is no sandbox", "Name the folders.")
        if self.everything == "none":
            _refuse(
                "reading limited to some folders",
                "what every user of the machine may read, its accounts may read too",
                'Read everything (":root" = "read") and set what must stay hidden to "none".',
            )
        for rule in self.entries.values():
            if rule.access == "none" and not elevated:
                _refuse(
                    rule.name,
                    "without an account of its own a command reads what you can read",
                    "Use the elevated sandbox, or drop the rule.",
                )
            if rule.access == "none" and paths.is_root(rule.path):
                _refuse(rule.name, "a whole drive cannot be hidden", "Name its folders.")
            if rule.access == "write":
                self._check_root(rule)
            elif paths.is_network(rule.path) and self.access_above(rule) != rule.access:
                _refuse(rule.name, "access lists of shares belong to the server", "Drop the rule.")

    def _check_root(self, rule: _Rule) -> None:
        facts = self._facts
        if paths.is_network(rule.path):
            _refuse(rule.name, "it lies on a network share", "Work on a local drive.")
        if paths.is_root(rule.path):
            _refuse(rule.name, "it is a whole drive", "Name a folder.")
        if paths.contains(rule.path, facts.profile):
            _refuse(
                rule.name, "it contains your whole user profile", "Name a folder in the profile."
            )
        for folder in facts.system:
            if paths.overlaps(rule.path, folder) and not _program_data(rule.path, folder):
                _refuse(rule.name, f"it overlaps the system's {folder}", "Name another folder.")
        for folder in facts.runtime:
            if self.access(folder) == "write" and paths.contains(rule.path, folder):
                _refuse(
                    rule.name,
                    f"Octavo itself runs from {folder}",
                    "Install Octavo outside the folders its commands may write.",
                )


def _program_data(path: str, folder: str) -> bool:
    """Programs keep data of all users there: folders in it may be opened, it itself may not."""
    return folder.upper().endswith("\\PROGRAMDATA") and not paths.contains(path, folder)


# Islands -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Island:
    """A writable root and what is closed inside it."""

    rule: _Rule
    sid: str = ""
    closed: list[_Rule] = field(default_factory=list)
    shape: list[tuple[str, str]] = field(default_factory=list)
    """Every rule below it, islands inside it included, but not what lies in those."""
    pins: dict[str, str] = field(default_factory=dict)
    """Folders between root and closed paths, and why."""


@dataclass(slots=True)
class _Draft:
    path: str
    why: str
    rank: int
    wanted: list[Wanted] = field(default_factory=list)
    guard: bool = False
    drop: bool = False


class _Work:
    def __init__(
        self,
        table: _Table,
        facts: Facts,
        look: Look,
        strays: Callable[[str], Iterable[Present]],
        *,
        elevated: bool,
        stand_ins: Mapping[str, str],
    ) -> None:
        self.table, self.facts, self.elevated = table, facts, elevated
        self._look, self._strays = look, strays
        self._seen: dict[str, Present | None] = {}
        self._stand_ins = {paths.fold(path): text for path, text in stand_ins.items()}
        self.islands: dict[str, _Island] = {}
        self.drafts: dict[str, _Draft] = {}
        self.creates: list[Create] = []
        self.hidden: list[str] = []
        self._born: dict[str, int] = {}
        self._targets: list[Target] = []
        self._outside: list[tuple[str, str]] = []
        self._find_islands()

    def look(self, path: str) -> Present | None:
        at = paths.fold(path)
        if at not in self._seen:
            self._seen[at] = self._look(path)
        return self._seen[at]

    def _find_islands(self) -> None:
        for rule in self.table.ordered():
            around = self.island_around(rule.path)
            if around is not None:
                around.shape.append((rule.path[len(around.rule.path) + 1 :], rule.access))
            if rule.access == "write":
                self.islands[paths.fold(rule.path)] = _Island(rule)
            elif around is not None:
                around.closed.append(rule)
                if self.table.access_above(rule) == "write":
                    self._pin(around, rule)

    def island_around(self, path: str) -> _Island | None:
        """The nearest root above a path."""
        at = paths.fold(path)
        return next((self.islands[up] for up in paths.ancestors(at) if up in self.islands), None)

    def _pin(self, island: _Island, rule: _Rule) -> None:
        root = paths.fold(island.rule.path)
        for folder in paths.ancestors(rule.path):
            if paths.fold(folder) == root:
                break
            island.pins.setdefault(folder, rule.origin)

    def name_roots(self, known: Capabilities, random: Random) -> Capabilities:
        """Give each root its SID."""
        cwd = paths.fold(self.facts.cwd)
        for at, island in self.islands.items():
            name = sids.root_key(island.rule.path, island.shape)
            known, island.sid = sids.sid_for(known, name, random, is_cwd=at == cwd)
        return known

    def close_open_folders(
        self, folders: Iterable[str], known: Capabilities, random: Random
    ) -> tuple[Capabilities, list[str]]:
        """Folders that everybody may write are denied to a SID of their own, outside roots."""
        active: list[str] = []
        for folder in folders:
            path = paths.canonical(folder, resolved=True)
            if self.table.access(path) == "write" or self.look(path) is None:
                continue
            known, sid = sids.sid_for(known, sids.open_folder_key(path), random)
            active.append(sid)
            self._outside.append((path, sid))
        return known, active

    # What goes where.

    def draft(self, path: str, why: str, rank: int) -> _Draft:
        """The entries being collected for a path. Lower ranks are written first."""
        found = self.drafts.setdefault(paths.fold(path), _Draft(path, why, rank))
        found.rank = min(found.rank, rank)
        return found

    def lay_out(self) -> None:
        """Collect the entries of every path."""
        for path, sid in self._outside:
            self.draft(path, "open to everybody", 1).wanted.append(acl.deny_write(sid))
        for rule in self.table.ordered():
            self._lay_out_access(rule)
        for island in self.islands.values():
            self._lay_out_island(island)
        for rule in self.table.ordered():
            self._lay_out_strays(rule)

    def _lay_out_access(self, rule: _Rule) -> None:
        """What concerns reading, and so the group: only the elevated backend comes here."""
        if not self.elevated:
            return
        above = self.table.access_above(rule)
        if rule.access == "none":
            self._hide(rule.path, rule.origin)
        elif rule.access == "read" and above == "none":
            self.draft(rule.path, rule.origin, 2).wanted.append(acl.reopen_read(self.facts.group))

    def _hide(self, path: str, why: str) -> None:
        self.hidden.append(path)
        draft = self.draft(path, why, 0)
        draft.wanted.append(acl.deny_read(self.facts.group))
        draft.guard = True
        if self.look(path) is None:
            self._create(path, why)

    def _lay_out_island(self, island: _Island) -> None:
        root = self.draft(island.rule.path, island.rule.origin, 3)
        root.wanted += [acl.pin(island.sid), acl.allow_write(island.sid)]
        if self.elevated:
            root.wanted.append(acl.allow_write(self.facts.group, "add"))
        # what a command makes here it owns, and later commands are the same account
        root.guard = self.elevated
        for folder, why in island.pins.items():
            draft = self.draft(folder, why, 1)
            draft.wanted.append(acl.pin(island.sid))
            self._guard_owner(draft)
        for rule in island.closed:
            draft = self.draft(rule.path, rule.origin, 1)
            draft.wanted.append(acl.deny_write(island.sid))
            draft.guard = self.elevated
            if self.look(rule.path) is None:
                self._create(rule.path, rule.origin)

    def _guard_owner(self, draft: _Draft) -> None:
        """An account that owns a pinned folder could take the pin out again."""
        present = self.look(draft.path)
        mine = (self.facts.offline, self.facts.online)
        if self.elevated and (present is None or present.owner in mine):
            draft.guard = True

    def _lay_out_strays(self, rule: _Rule) -> None:
        """Objects with entries of their own do not listen to what is inherited."""
        for present in self._strays(rule.path):
            path = paths.canonical(present.path, resolved=True)
            if self.table.governing(path) is not rule or path == rule.path:
                continue
            self._seen[paths.fold(path)] = present
            self._lay_out_stray(path, rule)

    def _lay_out_stray(self, path: str, rule: _Rule) -> None:
        present = self.look(path)
        if present is None:
            return
        if rule.access == "write":
            owners = any(
                ace.sid == acl.OWNER_RIGHTS and ace.allow and ace.bits & ~acl.RX
                for ace in present.dacl or ()
            )
            if present.protected or (owners and self.elevated):
                draft = self.draft(path, rule.origin, 3)
                draft.guard = self.elevated
                draft.wanted.append(acl.allow_write(self.islands[paths.fold(rule.path)].sid))
                if self.elevated:
                    draft.wanted.append(acl.allow_write(self.facts.group, "add"))
            return
        draft = self.draft(path, rule.origin, 1)
        draft.guard = self.elevated
        inside = self.island_around(path)
        if inside is not None:
            draft.wanted.append(acl.deny_write(inside.sid))
        if rule.access == "none":
            draft.wanted.append(acl.deny_read(self.facts.group))
            self.hidden.append(path)
        elif self.elevated and self._below_hidden(rule):
            draft.wanted.append(acl.reopen_read(self.facts.group))

    def _below_hidden(self, rule: _Rule) -> bool:
        return self.table.access_above(rule) == "none"

    def _create(self, path: str, why: str) -> None:
        """Make what is missing, folders above first; each is born with its own entries."""
        todo = [path]
        for folder in paths.ancestors(path):
            present = self.look(folder)
            if present is not None and not present.folder:
                # it is pinned: it cannot be replaced by a folder
                self.table.notes.append(f"{path} ({why}) cannot exist: {folder} is a file")
                return
            if present is not None:
                break
            todo.append(folder)
        for each in reversed(todo):
            if any(made.path == each for made in self.creates):
                continue
            text = self._stand_ins.get(paths.fold(each)) if each == path else None
            self.creates.append(Create(each, text, (), why, kept=not why.startswith(PROTECTED)))

    # What has to be done about it.

    def targets(self) -> list[Target]:
        """All wishes, in the order they are carried out."""
        if self._targets:
            return self._targets
        order = sorted(self.drafts.values(), key=lambda d: (d.rank, paths.depth(d.path), d.path))
        self._targets = [
            Target(
                draft.path,
                tuple(dict.fromkeys(draft.wanted)),
                draft.why,
                self.facts.user if draft.guard else None,
                (acl.deny_read(self.facts.group).ace,) if draft.drop else (),
            )
            for draft in order
        ]
        return self._targets

    def changes(self) -> tuple[Change, ...]:
        """The writes; what is created is born with its entries and needs none."""
        self._born = {paths.fold(each.path): at for at, each in enumerate(self.creates)}
        found: list[Change] = []
        for target in self.targets():
            at = self._born.get(paths.fold(target.path))
            if at is not None:
                self._bear(at, target)
                continue
            present = self.look(target.path)
            if present is None:
                continue
            wanted = acl.change(target, present)
            if wanted is not None:
                found.append(wanted)
        return tuple(found)

    def _bear(self, at: int, target: Target) -> None:
        made = self.creates[at]
        folder, owner = made.text is None, self.facts.user
        bare = Present(made.path, folder, owner, self._inherited(made.path, folder=folder))
        wanted = acl.change(target, bare)
        entries: tuple[Ace, ...] = () if wanted is None else wanted.after
        self.creates[at] = Create(made.path, made.text, entries, made.why, made.kept)

    def _inherited(self, path: str, *, folder: bool) -> tuple[Ace, ...]:
        """What a missing path will get from the nearest folder there is."""
        missing = [path]
        for above in paths.ancestors(path):
            present = self.look(above)
            if present is not None:
                found = present.dacl or ()
                for each in reversed(missing):
                    found = acl.handed_down(
                        found, folder=folder or each != path, owner=self.facts.user
                    )
                return found
            missing.append(above)
        return ()

    def unhide(self, before: Iterable[str], held: Iterable[str]) -> None:
        """Take back denials of reading that nobody asks for any more."""
        keep = {paths.fold(path) for path in (*self.hidden, *held)}
        for path in before:
            if self.elevated and paths.fold(path) not in keep and self.look(path) is not None:
                self.draft(path, "no longer hidden", 4).drop = True

    def read_grants(self, roots: Iterable[str]) -> tuple[Target, ...]:
        """Reading for the accounts: what is writable or hidden has its entries already."""
        found: list[Target] = []
        for root in roots:
            path = paths.canonical(root, resolved=True)
            present = self.look(path)
            if present is None or self.table.access(path) != "read":
                continue
            group = acl.allow_read(self.facts.group)
            if not acl.granted(present.dacl, (self.facts.group, *acl.READERS), acl.RX):
                found.append(Target(path, (group,), "read root"))
        return tuple(found)

    def fingerprint(self, more: Iterable[str]) -> str:
        """Of all wishes, whatever is on disk."""
        wishes = [
            (
                paths.key(target.path),
                target.owner_guard,
                [(each.way, each.ace.allow, each.ace.sid, each.ace.mask, each.ace.flags)
                 for each in target.wanted],
            )
            for target in self.targets()
        ]  # fmt: skip
        text = json.dumps([list(more), wishes], ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()
