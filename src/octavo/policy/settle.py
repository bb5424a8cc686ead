"""Rules as written become rules as they hold on one machine: roots found, symlinks followed.

1. Special roots and `~` become folders.
2. Writable folders are resolved, first those without symlinks on the way. A symlink inside a
   writable folder may have been planted by an earlier command: it cannot make anything writable.
3. Everything else is resolved. A rule reached through a symlink holds where the link leads, and
   the link itself is kept from being replaced. A planted link can take away, never give.

What is closed and reopened after that is in `octavo.policy.closing`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from octavo.policy import globs
from octavo.policy.expand import SLASH_TMP, VAR_TMP, expanded
from octavo.policy.links import Look, Resolved, resolve
from octavo.policy.paths import (
    deepest,
    depth,
    named,
    normalise,
    parent,
    stronger,
    under,
    upwards,
)
from octavo.policy.places import Places
from octavo.protocol.errors import PolicyError
from octavo.protocol.permissions import Access, FileRule, PermissionRules

TEMPORARY: Final = frozenset({":tmpdir", ":slash_tmp"})
BY_THE_USER: Final = frozenset({"config", "flag", "program"})
WHOLE_DISK: Final = 'give a profile the entry ":root" = "write", or use danger-full-access'
WHOLE_HOME: Final = 'start in a folder of the project, or give a profile the entry "~" = "write"'


class Placed(NamedTuple):
    """A rule with an absolute path, the special root it came from, and where it leads."""

    rule: FileRule
    head: str
    at: Resolved


class Settling:
    """Rules on their way; read the fields when `settle` has returned."""

    def __init__(self, places: Places, look: Look) -> None:
        self.places = places
        self.look = look
        self.rules: dict[str, FileRule] = {}
        self.globs: dict[str, tuple[globs.Glob, FileRule]] = {}
        self.aliases: list[FileRule] = []
        self.by_the_user: dict[str, FileRule] = {}
        """What the user's own entries say about a path, also where it does not exist."""
        self.slash_tmp = self._folder(SLASH_TMP)
        self.tmpdir = self._folder(places.tmpdir or "")
        self.temporary = {self.slash_tmp, self.tmpdir, self._folder(VAR_TMP)} - {None}
        self.home = resolve(places.home, look).path if places.home.startswith("/") else None
        self.warnings: list[str] = []

    def access(self, path: str) -> Access:
        """What the rules so far say about a path."""
        rule = deepest(path, self.rules, self.globs.values())
        return Access.NONE if rule is None else rule.access

    def warn(self, text: str) -> None:
        """Keep one sentence for the door to show."""
        self.warnings.append(text)

    def note(self, placed: Placed) -> None:
        """Remember what the user wrote about a path, under each of its names."""
        if placed.rule.ref.source in BY_THE_USER:
            for path in {placed.rule.path, placed.at.path}:
                known = self.by_the_user.get(path)
                rule = placed.rule
                self.by_the_user[path] = rule if known is None else stronger(known, rule)

    def add(self, placed: Placed) -> None:
        """A rule takes effect where it leads."""
        path = placed.at.path
        rule = replace(placed.rule, path=path)
        known = self.rules.get(path)
        self.rules[path] = rule if known is None else stronger(known, rule)
        if path != placed.rule.path:
            self.aliases.append(placed.rule)

    def _folder(self, path: str) -> str | None:
        if not path.startswith("/"):
            return None
        place = resolve(path, self.look)
        return place.path if self.look.kind(place.path) == "dir" else None


def settle(written: PermissionRules, places: Places, look: Look) -> Settling:
    """Find out where every rule holds. Raises PolicyError for what cannot be meant."""
    for folder in (places.cwd, *places.roots):
        if not folder.startswith("/"):
            raise PolicyError(f"{named(folder)} is not an absolute path")
    work = Settling(places, look)
    placed: list[Placed] = []
    for rule in written.files:
        for plain, head in expanded(rule, places, work.warn):
            if not plain.glob:
                plain = replace(plain, path=look.spelled(plain.path))  # noqa: PLW2901 - spelled right
            if plain.glob:
                _add_glob(work, plain)
            else:
                placed.append(Placed(plain, head, resolve(plain.path, look)))
    missing = _add_writable(work, [p for p in placed if p.rule.access is Access.WRITE])
    _add_others(work, [p for p in placed if p.rule.access is not Access.WRITE])
    for one in missing:
        shown = f"{one.rule.ref}: {named(one.rule.path)}"
        usual = one.head in TEMPORARY and one.rule.ref.source not in BY_THE_USER
        if not usual and (one.rule.root or work.access(one.at.path) is not Access.WRITE):
            work.warn(f"{shown} does not exist and is left out")
    return work


def _add_glob(work: Settling, rule: FileRule) -> None:
    """A pattern counts for its folder as written and for where that leads."""
    pattern = globs.compiled(rule.path)
    work.globs[rule.path] = (pattern, rule)
    real = resolve(pattern.base, work.look).path
    if real != pattern.base:
        names = rule.path.split("/")[depth(pattern.base) + 1 :]
        path = normalise(f"{globs.escape(real)}/{'/'.join(names)}")
        work.globs[path] = (globs.compiled(path), replace(rule, path=path))


def _add_writable(work: Settling, placed: Sequence[Placed]) -> list[Placed]:
    """Add what may be written; answers with what does not exist."""
    missing: list[Placed] = []
    roots: set[str] = set()
    for one in sorted(placed, key=lambda one: bool(one.at.links)):
        shown = f"{one.rule.ref}: {named(one.rule.path)}"
        planted = _planted(one.at, roots)
        if one.at.endless:
            work.warn(f"{shown} is a symlink that leads nowhere and is left out")
        elif planted is not None:
            work.warn(
                f"{shown} is left out: {named(planted)} is a symlink in a writable folder, "
                "where a command may have put it"
            )
        elif not _may_be_writable(work, one):
            continue
        elif work.look.kind(one.at.path) == "missing":
            work.note(one)
            missing.append(one)
        else:
            work.note(one)
            work.add(one)
            roots.add(one.at.path)
    return missing


def _planted(at: Resolved, roots: set[str]) -> str | None:
    """The first symlink on the way that a command could have made."""
    found = (link for link in at.links if any(place in roots for place in upwards(parent(link))))
    return next(found, None)


def _may_be_writable(work: Settling, one: Placed) -> bool:
    """Refuse folders that no one means to hand over as a whole; an entry of a profile may."""
    path = one.at.path
    whole = "the whole disk" if path == "/" else "your home folder" if path == work.home else ""
    if whole and one.head in TEMPORARY:
        work.warn(f"{one.rule.ref} is left out: {named(one.rule.path)} is {whole}")
        return False
    if whole and one.rule.root:
        hint = WHOLE_DISK if path == "/" else WHOLE_HOME
        raise PolicyError(f"{one.rule.ref}: {named(path)} is {whole}", hint=hint)
    if one.rule.root and work.home is not None and under(work.home, path):
        work.warn(f"{one.rule.ref}: {named(path)} is writable and contains your home folder")
    return True


def _add_others(work: Settling, placed: Sequence[Placed]) -> None:
    """Add what may be read, and what may not."""
    roots = {path for path, rule in work.rules.items() if rule.access is Access.WRITE}
    for one in placed:
        work.note(one)
        if not one.at.links and not _needless(work, one):
            work.add(one)
    for one in placed:
        if not one.at.links:
            continue
        if _planted(one.at, roots) is None or one.rule.access <= work.access(one.at.path):
            work.add(one)
        else:
            work.warn(
                f"{one.rule.ref} gives no access to {named(one.at.path)}: a symlink on the "
                "way lies in a writable folder, where a command may have put it"
            )
        for link in one.at.links:
            if work.access(link) is Access.WRITE:
                work.rules[link] = replace(one.rule, path=link, access=Access.READ, protected=True)


def _needless(work: Settling, one: Placed) -> bool:
    """One of the folders of `:minimal` that this system does not have."""
    return one.head == ":minimal" and work.look.kind(one.at.path) == "missing"
