"""Symlinks, followed through a pair of eyes that is passed in.

Pure: the disk is whatever `look` says it is. `octavo.config.look.DiskLook` is the real one.
"""

from typing import Final, Literal, NamedTuple, Protocol

from octavo.policy.paths import parent

Kind = Literal["missing", "file", "dir", "symlink", "other"]

MOST_LINKS: Final = 40
"""The kernel's own limit for one path."""


class Look(Protocol):
    """What the policy needs to know of a disk. No method raises."""

    def kind(self, path: str) -> Kind:
        """What lies at the path itself, links not followed; "other" when nobody can tell."""
        ...

    def readlink(self, path: str) -> str:
        """Where a symlink points, as written; empty when it cannot be read."""
        ...

    def spelled(self, path: str) -> str:
        """The path with its names as the disk has them, links not followed. Only where upper and
        lower case are one it is another; missing names stay as they are."""
        ...

    def read_text(self, path: str) -> str:
        """The first 4 KiB of a regular file; empty when it cannot be read."""
        ...


class Seen:
    """A look that asks its source once per path, so that one decision sees one disk."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._kinds: dict[str, Kind] = {}
        self._targets: dict[str, str] = {}

    def kind(self, path: str) -> Kind:
        if path not in self._kinds:
            self._kinds[path] = self._look.kind(path)
        return self._kinds[path]

    def readlink(self, path: str) -> str:
        if path not in self._targets:
            self._targets[path] = self._look.readlink(path)
        return self._targets[path]

    def spelled(self, path: str) -> str:
        return self._look.spelled(path)

    def read_text(self, path: str) -> str:
        return self._look.read_text(path)


class Resolved(NamedTuple):
    """Where a path leads."""

    path: str
    """Absolute, normal, without symlinks; names that do not exist are kept as they are."""
    links: tuple[str, ...]
    """The symlinks passed, each at its own resolved place, in order."""
    endless: bool = False
    """A circle, too many links, or a link that cannot be read: `path` is where it got stuck."""


def resolve(path: str, look: Look) -> Resolved:
    """Follow every symlink of an absolute path, the last one too, `..` as the kernel does."""
    here = "/"
    todo = [name for name in reversed(path.split("/")) if name]
    links: list[str] = []
    gone = False  # below a missing name there is nothing to look at
    while todo:
        name = todo.pop()
        if name == ".":
            continue
        if name == "..":
            here, gone = parent(here), False
            continue
        there = here + name if here == "/" else f"{here}/{name}"
        kind = "missing" if gone else look.kind(there)
        if kind != "symlink":
            gone = kind == "missing"
            here = there
            continue
        target = look.readlink(there)
        links.append(there)
        if not target or len(links) > MOST_LINKS:
            return Resolved(there, tuple(links), endless=True)
        if target.startswith("/"):
            here = "/"
        todo.extend(name for name in reversed(target.split("/")) if name)
    return Resolved(here, tuple(links))
