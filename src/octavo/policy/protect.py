"""What stays closed inside a writable folder: the files that are obeyed later, outside.

A command that may write `.git/hooks`, `.git/config` or our own settings could leave something
there that runs without a sandbox afterwards. `.git` may also be a file that points to the real
git folder of a worktree or submodule, which may point on to the common one.

Nothing here trusts what such a file says: a pointer can close a folder, but it opens one (with
git_write) only when that folder points back.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from octavo.policy.links import Look, resolve
from octavo.policy.paths import inward, join, named, parent, upwards

NAMES: Final = (".git", ".codex", ".agents", ".octavo")

GIT_CLOSED: Final = (
    "hooks", "config", "config.worktree", "info", "commondir", "worktrees", "modules",
)  # fmt: skip
"""With git_write: what stays read-only in a repository. All of it can name programs to run or
other folders to find such names in."""

GIT_POINTERS: Final = ("gitdir", "commondir", "config.worktree")
"""With git_write: what stays read-only in a linked worktree's own git folder."""

STAND_INS: Final = {"config": "", "config.worktree": "", "commondir": ".\n"}
"""Files that git must find as files when they are missing. A commondir that is empty, or a
folder, stops git (tried with 2.39); one that says `.` names the folder it lies in."""


class Closed(NamedTuple):
    """A path to keep read-only, and why."""

    path: str
    why: str
    stand_in: str | None = None


class Repository(NamedTuple):
    """A work tree's git folders, symlinks resolved."""

    entry: str
    """The `.git` of the work tree."""
    own: str
    """HEAD and index lie here."""
    common: str
    """Objects, refs, hooks and settings lie here; the same as `own` but for linked worktrees."""


def closed_under(root: str, look: Look, *, temporary: bool) -> Iterator[Closed]:
    """What to keep read-only under the writable folder `root`.

    Also names that do not exist yet, or else a command could make them: not in temporary
    folders, where a stray `.git` breaks builds that search upwards, and no `.git` inside a
    repository, where an empty one would hide it.
    """
    for name in NAMES:
        path = join(root, name)
        why = f'"{name}" under {named(root)} is kept read-only'
        if look.kind(path) == "missing":
            if not temporary and not (name == ".git" and work_tree_above(root, look)):
                yield Closed(path, why)
            continue
        yield Closed(path, why)
        target = resolve(path, look)
        for place in (*target.links, target.path):
            yield Closed(place, why)
        if name == ".git" and (found := repository(path, look)) is not None:
            why = f'the git folder that "{name}" under {named(root)} names is kept read-only'
            yield Closed(found.own, why)
            yield Closed(found.common, why)


def work_tree_above(root: str, look: Look) -> str | None:
    """The `.git` of the nearest folder above `root` that has one."""
    return work_tree(parent(root), look) if root != "/" else None


def work_tree(folder: str, look: Look) -> str | None:
    """The `.git` of `folder` or of the nearest folder above that has one."""
    entries = (join(place, ".git") for place in upwards(folder))
    return next((entry for entry in entries if look.kind(entry) != "missing"), None)


def repository(entry: str, look: Look) -> Repository | None:
    """The git folders a `.git` leads to; None when it leads nowhere."""
    place = resolve(entry, look)
    if place.endless:
        return None
    own = place.path
    if look.kind(own) == "file":
        pointer = look.read_text(own)
        if not pointer.startswith("gitdir:"):
            return None
        target = _pointed(parent(own), pointer.removeprefix("gitdir:"), look)
        if target is None:
            return None
        own = target
    if look.kind(own) != "dir":
        return None
    common = _pointed(own, look.read_text(join(own, "commondir")), look)
    return Repository(entry, own, common or own)


def points_back(found: Repository, look: Look) -> bool:
    """Whether the git folders agree that they belong to this work tree.

    A command that plants a `.git` cannot make somebody else's repository say so.
    """
    if look.kind(found.entry) == "dir":
        return found.own == found.common == found.entry
    if look.kind(found.entry) != "file" or look.kind(join(found.own, "HEAD")) != "file":
        return False
    if found.own == found.common:  # a submodule
        back = _pointed(found.own, _core_worktree(look.read_text(join(found.own, "config"))), look)
        return back is not None and back == parent(found.entry)
    if parent(found.own) != join(found.common, "worktrees"):
        return False
    return _pointed(found.own, look.read_text(join(found.own, "gitdir")), look) == found.entry


def closed_in(found: Repository, look: Look) -> Iterator[Closed]:
    """With git_write: what stays read-only inside the opened git folders."""
    places = [(found.common, name) for name in GIT_CLOSED]
    if found.own != found.common:
        places += [(found.own, name) for name in GIT_POINTERS]
    for folder, name in places:
        path = join(folder, name)
        why = f'git_write leaves "{name}" in {named(folder)} read-only'
        stand_in = STAND_INS.get(name) if look.kind(path) == "missing" else None
        yield Closed(path, why, stand_in)
        target = resolve(path, look)
        for place in (*target.links, target.path):
            if place != path:
                yield Closed(place, why)


def _pointed(base: str, text: str, look: Look) -> str | None:
    """Where a pointer file leads; it may be relative to `base`."""
    target = text.lstrip(" \t").rstrip("\r\n")
    if not target or "\0" in target:
        return None
    target = inward(target)
    place = resolve(target if target.startswith("/") else f"{base}/{target}", look)
    return None if place.endless else place.path


def _core_worktree(config: str) -> str:
    """The value of core.worktree in a git settings file, or nothing."""
    section = value = ""
    for line in config.splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.partition("]")[0].lstrip("[").strip().lower()
            continue
        key, _, rest = text.partition("=")
        if section == "core" and key.strip().lower() == "worktree":
            value = rest.strip().strip('"')
    return value
