"""What a command may touch on one machine: a profile whose every path is absolute and decided.

`preset`, `from_tables` and `from_mapping` make rules as they were written; `effective` settles
them for one command; the result answers for any path and hands its rules to the sandbox.
Pure: the disk is asked through `look`.
"""

from collections.abc import Iterator
from functools import cached_property

from msgspec import Struct

from octavo.policy import globs
from octavo.policy.closing import closed, hidden, opened
from octavo.policy.links import Look, Seen, resolve
from octavo.policy.paths import deepest, depth, inward, join, outward, parent, printable, table
from octavo.policy.places import Places
from octavo.policy.presets import BUILT_IN, MODES, preset, with_roots, writable_root
from octavo.policy.reader import Origin, OriginOf
from octavo.policy.settle import settle
from octavo.policy.tables import from_mapping, from_tables
from octavo.protocol.permissions import (
    Access,
    FileRule,
    Mode,
    NetworkRules,
    PermissionRules,
    RuleRef,
)

__all__ = [
    "BUILT_IN",
    "MODES",
    "EffectiveProfile",
    "Explanation",
    "Legacy",
    "Look",
    "Origin",
    "OriginOf",
    "Places",
    "effective",
    "from_mapping",
    "from_tables",
    "glob_tuples",
    "hides",
    "legacy",
    "preset",
    "rule_tuples",
    "stand_ins",
    "with_roots",
    "writable_root",
]

NOTHING_MATCHES = RuleRef(text="no rule names it or a folder above it", source="default")

MEANING = {
    Access.NONE: "may not be read or written",
    Access.READ: "may be read, not written",
    Access.WRITE: "may be read and written",
}


class Explanation(Struct, frozen=True, kw_only=True):
    """What a command may do with a path, and why."""

    path: str
    """The path asked about, made absolute."""
    resolved: str
    """Where it leads when its symlinks are followed."""
    access: Access
    rule: RuleRef
    """The entry that decided."""

    @property
    def sentence(self) -> str:
        """One line for a person."""
        shown = printable(outward(self.path))
        if self.resolved != self.path:
            shown += f" → {printable(outward(self.resolved))}"
        return f"{shown}: {MEANING[self.access]}: {self.rule}"

    def __str__(self) -> str:
        return self.sentence


class EffectiveProfile(Struct, frozen=True, kw_only=True, dict=True):
    """The rules for one command on one machine. Made by `effective`."""

    name: str
    mode: Mode | None
    """The mode this is; None for a profile of one's own."""
    rules: tuple[FileRule, ...]
    """Absolute, one per path, shallow first."""
    deny_globs: tuple[FileRule, ...]
    """Absolute patterns; what they name may not be read or written."""
    network: NetworkRules
    unrestricted: bool
    """No sandbox at all."""
    places: Places
    aliases: tuple[FileRule, ...] = ()
    """Rules under the path they were written with, where that passes a symlink."""
    slash_tmp: str | None = None
    """Where /tmp really is; None when there is none."""
    tmpdir: str | None = None
    """Where $TMPDIR really is; None when it is unset or unusable."""
    glob_scan_max_depth: int | None = None
    warnings: tuple[str, ...] = ()

    def access(self, path: str) -> Access:
        """What a command may do with a path whose symlinks are resolved.

        A relative path lies in the command's folder. Raises ValueError for a NUL character.
        """
        return self._access(self._absolute(path))

    def access_links(self, path: str, look: Look) -> Access:
        """The same for a path as written: as named and where it leads, the weaker of the two."""
        return self.explain(path, look).access

    def explain(self, path: str, look: Look | None = None) -> Explanation:
        """Which rule decides a path. With `look`, symlinks are followed and both ends count."""
        path = inward(path) if look is None else look.spelled(inward(path))
        named = self._absolute(path)
        if look is None:
            return self._explanation(named, named, self._decide(named))
        place = resolve(path if path.startswith("/") else f"{self.places.cwd}/{path}", look)
        there = self._decide(place.path)
        if place.endless:
            loop = RuleRef(text="its symlinks lead in a circle", source="default")
            return Explanation(path=named, resolved=place.path, access=Access.NONE, rule=loop)
        if place.path == named:
            return self._explanation(named, named, there)
        here = deepest(named, self._named_table, self._globs)
        weaker = here if _access_of(here) < _access_of(there) else there
        return self._explanation(named, place.path, weaker)

    @cached_property
    def _table(self) -> dict[str, FileRule]:
        return table(self.rules)

    @cached_property
    def _named_table(self) -> dict[str, FileRule]:
        return table((*self.rules, *self.aliases))

    @cached_property
    def _globs(self) -> tuple[tuple[globs.Glob, FileRule], ...]:
        return tuple((globs.compiled(rule.path), rule) for rule in self.deny_globs)

    def _absolute(self, path: str) -> str:
        return join(self.places.cwd, inward(path))

    def _decide(self, path: str) -> FileRule | None:
        return deepest(path, self._table, self._globs)

    def _access(self, path: str) -> Access:
        return _access_of(self._decide(path))

    @staticmethod
    def _explanation(path: str, resolved: str, rule: FileRule | None) -> Explanation:
        ref = NOTHING_MATCHES if rule is None else rule.ref
        return Explanation(path=path, resolved=resolved, access=_access_of(rule), rule=ref)


class Legacy(Struct, frozen=True, kw_only=True):
    """A profile in the older form: a mode and a list of folders."""

    mode: Mode
    network_access: bool
    writable_roots: tuple[str, ...] = ()
    """Besides the command's folder and the temporary ones."""
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False


def effective(rules: PermissionRules, places: Places, *, look: Look) -> EffectiveProfile:
    """Settle rules for one command: special roots expanded, symlinks followed, `.git` and its
    kin closed under every writable folder.

    What had to be left out is in `warnings`. Raises PolicyError when a rule cannot mean what it
    says: `/` or the home folder as workspace, a relative folder.
    """
    if rules.unrestricted:
        ref = rules.files[0].ref
        everything = FileRule(path="/", access=Access.WRITE, ref=ref)
        return EffectiveProfile(
            name=rules.name,
            mode=_mode(rules),
            rules=(everything,),
            deny_globs=(),
            network=rules.network,
            unrestricted=True,
            places=places,
            warnings=rules.warnings,
        )
    work = settle(rules, places, Seen(look))
    shut = closed(work) if rules.protect else {}
    again = opened(work, shut) if rules.git_write else {}
    final = {**work.rules, **shut, **again, **hidden(work, rules.secrets)}
    return EffectiveProfile(
        name=rules.name,
        mode=_mode(rules),
        rules=tuple(sorted(final.values(), key=lambda rule: (depth(rule.path), rule.path))),
        deny_globs=tuple(rule for _, rule in work.globs.values()),
        network=rules.network,
        unrestricted=False,
        places=places,
        aliases=tuple(work.aliases),
        slash_tmp=work.slash_tmp,
        tmpdir=work.tmpdir,
        glob_scan_max_depth=rules.glob_scan_max_depth,
        warnings=tuple(dict.fromkeys((*rules.warnings, *work.warnings))),
    )


def legacy(profile: EffectiveProfile) -> Legacy | None:
    """The profile in its older form, or None when that cannot say the same.

    Who understands only the older form must refuse the profile then. `git_write` and protected
    folders have no older form and are left out: what remains allows less.
    """
    network = profile.network
    if network.enabled and network.by_host:
        return None
    if profile.unrestricted:
        return Legacy(mode="danger-full-access", network_access=network.enabled)
    if hides(profile):
        return None
    if profile.access("/") is not Access.READ or any(_carved(profile)):
        return None
    roots = [r.path for r in profile.rules if r.access is Access.WRITE and not r.protected]
    if not roots:
        return Legacy(mode="read-only", network_access=network.enabled)
    if profile.access(profile.places.cwd) is not Access.WRITE:
        return None
    known = {profile.places.cwd, profile.slash_tmp, profile.tmpdir}
    return Legacy(
        mode="workspace-write",
        network_access=network.enabled,
        writable_roots=tuple(root for root in roots if root not in known),
        exclude_tmpdir_env_var=_closed(profile, profile.tmpdir),
        exclude_slash_tmp=_closed(profile, profile.slash_tmp),
    )


def hides(profile: EffectiveProfile) -> bool:
    """Does the user deny reading something? Our own denials of credentials do not count: an
    approval given for one command may set them aside."""
    own = (*profile.rules, *profile.deny_globs)
    return any(rule.access is Access.NONE and not rule.protected for rule in own)


def rule_tuples(profile: EffectiveProfile) -> list[tuple[str, str, str]]:
    """The rules as the sandbox planner takes them: (absolute path, "write" | "read" | "none",
    where the rule comes from), shallow first."""
    return [(rule.path, rule.access.value, str(rule.ref)) for rule in profile.rules]


def glob_tuples(profile: EffectiveProfile) -> list[tuple[str, str]]:
    """The patterns to deny: (absolute pattern, where it comes from)."""
    return [(rule.path, str(rule.ref)) for rule in profile.deny_globs]


def stand_ins(profile: EffectiveProfile) -> dict[str, str]:
    """Missing paths that a file with this text has to stand for while a command runs; for all
    other missing read-only paths an empty folder will do."""
    return {rule.path: rule.stand_in for rule in profile.rules if rule.stand_in is not None}


def _mode(rules: PermissionRules) -> Mode | None:
    mode = BUILT_IN.get(rules.name)
    return None if mode == "danger-full-access" and not rules.unrestricted else mode


def _access_of(rule: FileRule | None) -> Access:
    return Access.NONE if rule is None else rule.access


def _closed(profile: EffectiveProfile, path: str | None) -> bool:
    return path is not None and profile.access(path) is not Access.WRITE


def _carved(profile: EffectiveProfile) -> Iterator[FileRule]:
    """Rules of the user's own that make something below a writable folder read-only."""
    for rule in profile.rules:
        own = rule.access is Access.READ and not rule.protected and rule.path != "/"
        if own and profile.access(parent(rule.path)) is Access.WRITE:
            yield rule
