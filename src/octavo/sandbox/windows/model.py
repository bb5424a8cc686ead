"""Windows access checks as a model: who may do what with which object.

Pure. Written from the published rules: entries in order, the first mention of a right decides; a
restricted token is checked twice; "write-restricted" leaves two readings, both are here:

"bit"      rights to read and run need the first check alone, every other right both checks
"request"  a request with any other right needs both checks for all it asks

The plans are tested against both. Volumes here have folders and files, no links.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from octavo.sandbox.windows.acl import (
    ALL,
    DELETE,
    DELETE_CHILD,
    INHERIT_ONLY,
    OWNER_RIGHTS,
    READ_CONTROL,
    RX,
    WRITE_ATTRIBUTES,
    WRITE_DAC,
    WRITE_DATA,
    WRITE_OWNER,
    Ace,
    Change,
    Fresh,
    Present,
    handed_down,
    mapped,
)
from octavo.sandbox.windows.paths import ancestors, contains, fold, parent

Reading = Literal["bit", "request"]
READINGS: Final[tuple[Reading, ...]] = ("bit", "request")

APPEND: Final = 4
MAXIMUM_ALLOWED: Final = 0x02000000


@dataclass(frozen=True, slots=True)
class Token:
    """Who acts."""

    user: str
    groups: Mapping[str, Literal["on", "deny-only", "off"]] = field(default_factory=dict)
    restricting: tuple[str, ...] = ()
    write_restricted: bool = True
    privileges: frozenset[str] = frozenset()
    default_dacl: tuple[Ace, ...] = ()

    @property
    def enabled(self) -> frozenset[str]:
        """SIDs that can be allowed something."""
        return frozenset({self.user} | {sid for sid, how in self.groups.items() if how == "on"})

    @property
    def deniable(self) -> frozenset[str]:
        """SIDs that can be denied something."""
        return self.enabled | {sid for sid, how in self.groups.items() if how == "deny-only"}


def one_pass(
    dacl: Sequence[Ace] | None,
    *,
    owns: bool,
    allow: Callable[[str], bool],
    deny: Callable[[str], bool],
) -> int:
    """The rights one check grants."""
    if dacl is None:
        return ALL
    effective = [ace for ace in dacl if not ace.flags & INHERIT_ONLY]
    granted = denied = 0
    if owns and all(ace.sid != OWNER_RIGHTS for ace in effective):
        granted = READ_CONTROL | WRITE_DAC
    for ace in effective:
        matches = allow if ace.allow else deny
        if owns if ace.sid == OWNER_RIGHTS else matches(ace.sid):
            bits = ace.bits & ~(granted | denied)
            granted, denied = (granted | bits, denied) if ace.allow else (granted, denied | bits)
    return granted


def access(
    token: Token, owner: str, dacl: Sequence[Ace] | None, desired: int, reading: Reading
) -> int:
    """The part of the desired rights that is granted."""
    want = ALL if desired & MAXIMUM_ALLOWED else mapped(desired)
    first = one_pass(
        dacl,
        owns=owner in token.enabled,
        allow=token.enabled.__contains__,
        deny=token.deniable.__contains__,
    )
    if "SeTakeOwnershipPrivilege" in token.privileges:
        first |= WRITE_OWNER
    if not token.restricting:
        return first & want
    listed = frozenset(token.restricting)
    second = one_pass(
        dacl, owns=owner in listed, allow=listed.__contains__, deny=listed.__contains__
    )
    both = first & second
    if not token.write_restricted:
        return both & want
    if reading == "bit":
        return (first & RX | both) & want
    return (both if want & ~RX else first) & want


# Volumes ---------------------------------------------------------------------------------------


class Node:
    """A file or folder of a `Volume`."""

    def __init__(self, owner: str, *, folder: bool) -> None:
        self.owner = owner
        self.folder = folder
        self.explicit: tuple[Ace, ...] = ()
        self.inherited: tuple[Ace, ...] = ()
        self.protected = False
        self.no_list = False

    @property
    def dacl(self) -> tuple[Ace, ...] | None:
        """The list, explicit entries first."""
        return None if self.no_list else self.explicit + self.inherited


class Volume:
    """A tree of files with owners and lists, by canonical path."""

    def __init__(self, root: str, owner: str, dacl: Sequence[Ace]) -> None:
        self.root = root
        self.nodes: dict[str, Node] = {}
        top = self.nodes[fold(root)] = Node(owner, folder=True)
        top.explicit = tuple(dacl)
        self._names: dict[str, str] = {fold(root): root}

    def __contains__(self, path: str) -> bool:
        return fold(path) in self.nodes

    def __getitem__(self, path: str) -> Node:
        return self.nodes[fold(path)]

    def paths(self) -> Iterator[str]:
        """Every path, folders before what is in them."""
        yield from sorted(self._names.values(), key=lambda path: (path.count("\\"), path))

    def below(self, path: str) -> Iterator[str]:
        """Every path under one, that one left out; folders first."""
        for each in self.paths():
            if each != path and contains(path, each):
                yield each

    def children(self, path: str) -> list[str]:
        """What lies directly in a folder."""
        return [each for each in self._names.values() if each != path and parent(each) == path]

    def add(
        self,
        path: str,
        owner: str,
        *,
        folder: bool = True,
        explicit: Sequence[Ace] = (),
        protected: bool = False,
        default: Sequence[Ace] = (),
    ) -> Node:
        """A new object; without any entry of its own or from above it gets `default`."""
        node = self.nodes[fold(path)] = Node(owner, folder=folder)
        self._names[fold(path)] = path
        node.explicit, node.protected = tuple(explicit), protected
        self._inherit(path)
        if not node.explicit and not node.inherited and not protected:
            node.explicit = tuple(default)
        return node

    def _inherit(self, path: str) -> None:
        node = self[path]
        if node.protected or path == self.root:
            node.inherited = ()
            return
        above = self[parent(path)].dacl
        node.inherited = handed_down(above or (), folder=node.folder, owner=node.owner)

    def propagate(self, path: str) -> None:
        """Hand the list of a path down to everything that inherits."""
        for each in self.below(path):
            self._inherit(each)

    def write(self, change: Change | Fresh) -> None:
        """Carry a change out, as the system's own function would."""
        node = self[change.path]
        node.no_list = False
        node.explicit = change.after if isinstance(change, Change) else change.dacl
        node.protected = change.protected
        self._inherit(change.path)
        self.propagate(change.path)

    def present(self, path: str) -> Present:
        """What a planner is told about a path."""
        node = self[path]
        return Present(path, node.folder, node.owner, node.dacl, node.protected)

    def remove(self, path: str) -> None:
        """Take an object and all below it away."""
        for each in [*self.below(path), path]:
            del self.nodes[fold(each)], self._names[fold(each)]

    def move(self, path: str, there: str) -> None:
        """Rename: everything keeps the list it has, also what it inherited."""
        moved = [(each, self[each]) for each in [path, *self.below(path)]]
        self.remove(path)
        for each, node in moved:
            new = there + each[len(path) :]
            self.nodes[fold(new)], self._names[fold(new)] = node, new

    # What somebody can do.

    def may(self, token: Token, path: str, desired: int, reading: Reading) -> bool:
        """Are all desired rights on an existing path granted?"""
        node = self[path]
        want = mapped(desired)
        return access(token, node.owner, node.dacl, want, reading) == want

    def may_create(self, token: Token, path: str, reading: Reading, *, folder: bool) -> bool:
        """Can a missing path be made?"""
        return self.may(token, parent(path), APPEND if folder else WRITE_DATA, reading)

    def may_delete(self, token: Token, path: str, reading: Reading) -> bool:
        """Can the object be taken away, were it empty? Its own right or the folder's will do."""
        if path == self.root:
            return False
        return self.may(token, path, DELETE, reading) or self.may(
            token, parent(path), DELETE_CHILD, reading
        )

    def may_rename(
        self, token: Token, path: str, reading: Reading, there: str | None = None
    ) -> bool:
        """Can it be renamed, in place or into another folder?"""
        if not self.may_delete(token, path, reading):
            return False
        right = APPEND if self[path].folder else WRITE_DATA
        return there is None or self.may(token, there, right, reading)

    def may_link(self, token: Token, path: str, there: str, reading: Reading) -> bool:
        """Can a hard link to a file be made in a folder?"""
        return self.may(token, path, WRITE_ATTRIBUTES, reading) and self.may(
            token, there, WRITE_DATA, reading
        )

    def may_read(self, token: Token, path: str, reading: Reading) -> bool:
        """Can its contents be read?"""
        return self.may(token, path, 1, reading)

    def escapes(self, path: str) -> list[str]:
        """The folders above, nearest first."""
        return list(ancestors(path))
