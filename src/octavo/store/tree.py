"""What lies under a folder at one moment: every path with its kind, mode and content. Pure.

A tree never says anything about the inside of `.git`. Paths are relative, with `/`, as the
system gives them (bytes that are no text as surrogates).
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

Kind = Literal["file", "link", "folder", "large", "unread", "git", "left", "special"]
OPAQUE: Final = frozenset({"large", "unread", "git", "left", "special"})
"""Nothing of these is kept, so they are never made, changed or removed."""
REASONS: Final[Mapping[str, str]] = {
    "large": "too large to keep",
    "unread": "could not be read",
    "git": "belongs to a repository",
    "left": "left out: many files that a tool can make again",
    "special": "neither a file, a folder nor a link",
}
"""Why something of that kind stays as it is."""
FORMAT: Final = 1
LEVEL: Final = 1


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One thing in a tree."""

    kind: Kind
    mode: int = 0
    """Permission bits of a file or a folder."""
    content: bytes = b""
    """Of a file its digest, of a link where it points."""
    size: int = 0
    stamp: int = 0
    """When a file that is not kept was last changed: all there is to tell two states apart."""

    @property
    def opaque(self) -> bool:
        """It stays as it is."""
        return self.kind in OPAQUE


Tree = dict[str, Entry]
Change = tuple[str, Entry | None, Entry | None]
"""Path, before, after."""


class _Kept(Struct, frozen=True, array_like=True):
    format: int
    entries: list[tuple[bytes, Entry]]


_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(_Kept)


def encoded(tree: Tree) -> bytes:
    """The tree as it is kept: the same bytes for the same tree."""
    rows = [(path.encode("utf-8", "surrogateescape"), tree[path]) for path in sorted(tree)]
    return zlib.compress(_ENCODER.encode(_Kept(FORMAT, rows)), LEVEL)


def decoded(data: bytes) -> Tree:
    """The opposite. Raises ValueError for anything else, trees of a newer form among it."""
    try:
        kept = _DECODER.decode(zlib.decompress(data))
    except (DecodeError, zlib.error) as wrong:
        raise ValueError(f"not a file state: {wrong}") from wrong
    if kept.format != FORMAT:
        raise ValueError(f"a file state of form {kept.format}; this program reads {FORMAT}")
    tree = {path.decode("utf-8", "surrogateescape"): entry for path, entry in kept.entries}
    for path in tree:
        if unsafe(path):
            raise ValueError(f"a file state with a path that leads elsewhere: {path!r}")
    return tree


def unsafe(path: str) -> bool:
    """Whether a path could lead out of its folder, or into a repository's own one."""
    steps = path.split("/")
    return any(step in ("", ".", "..") or "\0" in step for step in steps) or any(
        is_git(step) for step in steps[:-1]
    )


def is_git(name: str) -> bool:
    """Whether a name means a repository's own folder, also where case does not count."""
    return name.rstrip(" .").casefold() == ".git"


def parents(path: str) -> Iterator[str]:
    """The folders around a path, nearest first."""
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def depth(path: str) -> int:
    """How many folders are around it."""
    return path.count("/")


def changed(before: Tree, after: Tree, left: dict[str, str] | None = None) -> list[Change]:
    """What differs and can be put back, in the order of the paths.

    What differs and cannot is put into `left`, with the reason.
    """
    found: list[Change] = []
    closed = {
        path: entry.kind for tree in (before, after) for path, entry in tree.items() if entry.opaque
    }
    for path in _differing(before, after):
        around = next((one for one in (path, *parents(path)) if one in closed), None)
        if around is None:
            found.append((path, before.get(path), after.get(path)))
        elif left is not None:
            left.setdefault(around, REASONS[closed[around]])
    return found


def _differing(before: Tree, after: Tree) -> Iterable[str]:
    paths = {path for path, entry in before.items() if after.get(path) != entry}
    paths.update(path for path in after if path not in before)
    return sorted(paths)
