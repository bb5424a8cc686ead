"""Which entry decides a path.

Pure arithmetic on POSIX paths as strings, the same on every platform: no disk, no current
folder. Callers resolve symlinks first (see `octavo.policy.links`).
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from octavo.protocol.permissions import Access, FileRule

WINDOWS: Final = sys.platform == "win32"
SURROGATE_BASE: Final = 0xDC00
"""os.fsdecode turns an undecodable byte 0x80..0xff into this plus the byte."""

ON_A_TIE: Final = {Access.READ: 0, Access.WRITE: 1, Access.NONE: 2}
"""Two entries for one path: deny beats write beats read."""


class Pattern(Protocol):
    """What `deepest` needs of a compiled glob (see `octavo.policy.globs`)."""

    def matches(self, path: str) -> bool:
        """Whether the pattern names exactly this path."""
        ...

    def touches(self, path: str) -> bool:
        """Whether the pattern names this path or a folder above it."""
        ...


def inward(path: str) -> str:
    """A path as it is written on this system, in the form this room reckons with."""
    if not WINDOWS:
        return path
    from octavo.policy import drives  # noqa: PLC0415 - only there

    return drives.inward(path)


def outward(path: str) -> str:
    """The same path for this system and for people."""
    if not WINDOWS:
        return path
    from octavo.policy import drives  # noqa: PLC0415 - only there

    return drives.outward(path)


def normalise(path: str) -> str:
    """The path without `.`, `..`, doubled and trailing slashes. Relative paths stay relative.

    `..` is taken back by name: resolve symlinks first where that matters.
    Raises ValueError for a NUL character, which no path can hold.
    """
    if "\0" in path:
        raise ValueError("a path cannot contain a NUL character")
    absolute = path.startswith("/")
    kept: list[str] = []
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part != "..":
            kept.append(part)
        elif kept and kept[-1] != "..":
            kept.pop()
        elif not absolute:
            kept.append(part)
    joined = "/".join(kept)
    return "/" + joined if absolute else joined or "."


def join(base: str, path: str) -> str:
    """`path` seen from the folder `base`; an absolute `path` stays what it is. Normalised."""
    return normalise(path if path.startswith("/") else f"{base}/{path}")


def components(path: str) -> tuple[str, ...]:
    """The names of an absolute, normal path; none for `/`."""
    return tuple(path[1:].split("/")) if path != "/" else ()


def depth(path: str) -> int:
    """How many names an absolute, normal path has."""
    return path.count("/") if path != "/" else 0


def parent(path: str) -> str:
    """The folder an absolute, normal path lies in; `/` lies in itself."""
    return path[: path.rindex("/")] or "/"


def upwards(path: str) -> Iterator[str]:
    """The path, its folder, and so on up to `/`."""
    yield path
    while path != "/":
        path = parent(path)
        yield path


def under(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it. Both absolute and normal."""
    return path == root or path.startswith(root if root == "/" else root + "/")


def stronger(one: FileRule, other: FileRule) -> FileRule:
    """Which of two rules for the same path counts; the first when they agree."""
    return other if ON_A_TIE[other.access] > ON_A_TIE[one.access] else one


def table(rules: Iterable[FileRule]) -> dict[str, FileRule]:
    """Rules by path, ties settled."""
    found: dict[str, FileRule] = {}
    for rule in rules:
        known = found.get(rule.path)
        found[rule.path] = rule if known is None else stronger(known, rule)
    return found


def deepest(
    path: str,
    rules: Mapping[str, FileRule],
    globs: Iterable[tuple[Pattern, FileRule]] = (),
) -> FileRule | None:
    """The rule that decides an absolute, normal path: the one with most path components.

    A glob counts with the path it names, and wins there, since it always denies. None when
    nothing matches, which means no access.
    """
    near = [(pattern, rule) for pattern, rule in globs if pattern.touches(path)]
    for place in upwards(path):
        for pattern, rule in near:
            if pattern.matches(place):
                return rule
        if place in rules:
            return rules[place]
    return None


def printable(text: str) -> str:
    """The text on one line: control characters and undecodable bytes as escapes."""
    return "".join(map(_escaped, text))


def named(path: str) -> str:
    """A path for people to read."""
    return printable(outward(path))


def _escaped(char: str) -> str:
    if char == "\\":
        return char if WINDOWS else "\\\\"  # there it stands in every path
    if char.isprintable():
        return char
    code = ord(char) - SURROGATE_BASE
    if 0x80 <= code <= 0xFF:
        return f"\\x{code:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
