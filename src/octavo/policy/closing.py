"""Protected folders are closed, and with git_write the git folders are opened again.

Closing only ever narrows: it counts where a path could be written, so an entry that denies still
denies. An entry of the user's own for the very path reopens it, and so does one below it.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from octavo.policy import globs, secrets
from octavo.policy.links import resolve
from octavo.policy.paths import depth, named, under, upwards
from octavo.policy.protect import (
    Closed,
    Repository,
    closed_in,
    closed_under,
    points_back,
    repository,
    work_tree,
)
from octavo.policy.settle import Settling
from octavo.protocol.permissions import Access, FileRule, RuleRef


def closed(work: Settling) -> dict[str, FileRule]:
    """Rules that keep `.git`, `.codex`, `.agents`, `.octavo` and our own homes read-only."""
    rules: dict[str, FileRule] = {}
    for home in work.places.own_homes:
        place = resolve(home, work.look)
        why = f"{named(home)} is Octavo's own and is kept read-only"
        for path in (*place.links, place.path):
            _close(work, rules, Closed(path, why))
    own = set(rules)
    chosen = set(_workspace(work))
    for root in _writable_folders(work):
        temporary = root in work.temporary
        inside = any(place in rules and place not in own for place in upwards(root))
        if inside and root not in chosen:
            if temporary and root not in work.by_the_user:
                _close(work, rules, Closed(root, f"{named(root)} lies in a protected folder"))
            continue  # reopened by an entry of the user's own, for a part of a protected folder
        for name in closed_under(root, work.look, temporary=temporary):
            _close(work, rules, name)
    return rules


def hidden(work: Settling, mode: str) -> dict[str, FileRule]:
    """Rules that hide credentials. An entry of the user's own for the very path wins, and so does
    a workspace inside such a folder."""
    if mode == "none" or work.home is None:
        return {}
    rules: dict[str, FileRule] = {}
    roots = [*_workspace(work)]
    for path in secrets.in_home(work.home, lambda path: work.look.kind(path) != "missing"):
        place = resolve(path, work.look)
        for one in {path, place.path}:
            inside = any(under(root, one) for root in roots)
            known = work.access(one) is Access.NONE or one in work.by_the_user
            if not inside and not known:
                rules[one] = _secret(one, secrets.WHY)
    if mode == "all":
        for root in roots:
            for name in secrets.ENV_FILES:
                rule = _secret(f"{root.rstrip('/')}/**/{name}", secrets.WHY_ENV)
                work.globs[rule.path] = (globs.compiled(rule.path), replace(rule, glob=True))
    return rules


def _secret(path: str, why: str) -> FileRule:
    ref = RuleRef(text=f'"{named(path)}" holds {why}', source="protected")
    return FileRule(path=path, access=Access.NONE, ref=ref, protected=True)


def opened(work: Settling, shut: dict[str, FileRule]) -> dict[str, FileRule]:
    """Rules that let git write objects, refs, index and logs of the repositories at hand."""
    rules: dict[str, FileRule] = {}
    for found in _repositories(work):
        if not points_back(found, work.look):
            work.warn(
                f"git_write: {named(found.entry)} stays closed, its git folder does not "
                "name this folder as its own"
            )
            continue
        folders = dict.fromkeys((found.common, found.own))
        if any(not _may_open(work, folder, shut) for folder in folders):
            continue
        for folder in folders:
            ref = RuleRef(text=f"git_write opens {named(folder)}", source="protected")
            rules[folder] = FileRule(path=folder, access=Access.WRITE, ref=ref, protected=True)
        for place in closed_in(found, work.look):
            ours = any(under(place.path, folder) for folder in folders)
            if ours or work.access(place.path) is Access.WRITE:
                _leave_closed(work, rules, place)
    return rules


def _writable_folders(work: Settling) -> list[str]:
    """Folders under which protected names are looked for, shallow first."""
    roots = {path for path, rule in work.rules.items() if rule.access is Access.WRITE}
    roots.update(_workspace(work))
    writable = (
        root
        for root in roots
        if work.look.kind(root) == "dir" and work.access(root) is Access.WRITE
    )
    return sorted(writable, key=lambda root: (depth(root), root))


def _workspace(work: Settling) -> Iterator[str]:
    for folder in (work.places.cwd, *work.places.roots):
        yield resolve(folder, work.look).path


def _close(work: Settling, rules: dict[str, FileRule], place: Closed) -> None:
    mine = work.by_the_user.get(place.path)
    reopened = mine is not None and mine.access is Access.WRITE
    if not reopened and work.access(place.path) is Access.WRITE:
        rules.setdefault(place.path, _read_only(place))


def _leave_closed(work: Settling, rules: dict[str, FileRule], place: Closed) -> None:
    mine = work.by_the_user.get(place.path)
    if mine is None or mine.access is Access.READ:
        rules.setdefault(place.path, _read_only(place))


def _read_only(place: Closed) -> FileRule:
    return FileRule(
        path=place.path,
        access=Access.READ,
        ref=RuleRef(text=place.why, source="protected"),
        protected=True,
        stand_in=place.stand_in,
    )


def _repositories(work: Settling) -> Iterator[Repository]:
    """The repositories that the writable folders belong to, each once."""
    seen: set[str] = set()
    for root in _writable_folders(work):
        if root in work.temporary:
            continue
        entry = work_tree(root, work.look)
        if entry is None or entry in seen:
            continue
        seen.add(entry)
        found = repository(entry, work.look)
        if found is not None:
            yield found


def _may_open(work: Settling, folder: str, shut: dict[str, FileRule]) -> bool:
    """Only what was closed just now or may be read anyway, and the user said nothing about."""
    ours = folder in shut or work.access(folder) is Access.READ
    return ours and folder not in work.by_the_user
