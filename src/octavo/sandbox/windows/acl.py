"""Access entries: which ones we want on a path, which are there, and what has to be written.

Pure. An entry is written only when it is missing: every write to a folder makes Windows go through
the whole tree below it. What results is the complete explicit part of a list, in order, so that
whoever carries it out decides nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

# Rights of files and folders.
READ_DATA: Final = 0x1
WRITE_DATA: Final = 0x2
"""On a folder: make files."""
APPEND_DATA: Final = 0x4
"""On a folder: make folders."""
READ_EA: Final = 0x8
WRITE_EA: Final = 0x10
EXECUTE: Final = 0x20
DELETE_CHILD: Final = 0x40
READ_ATTRIBUTES: Final = 0x80
WRITE_ATTRIBUTES: Final = 0x100
DELETE: Final = 0x10000
READ_CONTROL: Final = 0x20000
WRITE_DAC: Final = 0x40000
WRITE_OWNER: Final = 0x80000
SYNCHRONIZE: Final = 0x100000

R: Final = 0x120089
W: Final = 0x120116
X: Final = 0x1200A0
RX: Final = 0x1200A9
ALL: Final = 0x1F01FF

GENERIC: Final = ((0x80000000, R), (0x40000000, W), (0x20000000, X), (0x10000000, ALL))

ALLOW_WRITE: Final = R | W | X | DELETE
"""Without DELETE_CHILD: that right on a folder would delete a child whatever the child says."""
DENY_WRITE: Final = W | DELETE | DELETE_CHILD | WRITE_DAC | WRITE_OWNER
"""Concrete bits only, so that the entry reads back as written. The last two take back what a
command may have given itself when it made the object."""
PIN: Final = DELETE | DELETE_CHILD | WRITE_DAC | WRITE_OWNER
"""Denied on a folder itself: it stays writable inside and keeps its name."""
HIDE: Final = R | EXECUTE
"""Denied to the sandbox group where nothing may be read; programs there do not start either."""
KEEP_DACL: Final = READ_CONTROL | WRITE_DAC
"""What the signed-in user keeps on a closed path, so that it can be opened again."""
LOCK: Final = R | W | X | DELETE | WRITE_DAC

# How entries are handed down.
OBJECT_INHERIT: Final = 1
CONTAINER_INHERIT: Final = 2
NO_PROPAGATE: Final = 4
INHERIT_ONLY: Final = 8
INHERITED: Final = 0x10
DOWN: Final = OBJECT_INHERIT | CONTAINER_INHERIT

EVERYONE: Final = "S-1-1-0"
CREATOR_OWNER: Final = "S-1-3-0"
OWNER_RIGHTS: Final = "S-1-3-4"
AUTHENTICATED_USERS: Final = "S-1-5-11"
SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
USERS: Final = "S-1-5-32-545"

READERS: Final = (USERS, AUTHENTICATED_USERS, EVERYONE)
"""Who a sandbox account belongs to anyway: what they may read needs no grant."""

# Constants for whoever carries a change out.
OPEN_TO_READ: Final = READ_CONTROL | READ_ATTRIBUTES
OPEN_TO_CHANGE: Final = READ_CONTROL | WRITE_DAC | SYNCHRONIZE | READ_ATTRIBUTES
SHARE_ALL: Final = 7
OPEN_EXISTING: Final = 3
FLAG_BACKUP_SEMANTICS: Final = 0x02000000
FLAG_OPEN_REPARSE_POINT: Final = 0x00200000
DACL_SECURITY_INFORMATION: Final = 4
PROTECTED_DACL_SECURITY_INFORMATION: Final = 0x80000000

NUL_DEVICE: Final = "\\\\.\\NUL"
NUL_ACCESS: Final = READ_CONTROL | WRITE_DAC
NUL_GRANT: Final = R | W | X

Way = Literal["set", "add", "effective"]


@dataclass(frozen=True, slots=True)
class Ace:
    """One entry of an access list."""

    allow: bool
    sid: str
    mask: int
    flags: int = 0

    @property
    def inherited(self) -> bool:
        """Did it come from a folder above?"""
        return bool(self.flags & INHERITED)

    @property
    def bits(self) -> int:
        """The mask in rights of files."""
        return mapped(self.mask)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An entry we want. "set": all other explicit entries of that SID go; "add": they stay;
    "effective": nothing is written when the SID, or one it belongs to, has the rights already."""

    ace: Ace
    way: Way = "set"


@dataclass(frozen=True, slots=True)
class Target:
    """What one path is to have."""

    path: str
    wanted: tuple[Wanted, ...]
    why: str
    """The rule behind it, for the journal and for messages."""
    owner_guard: str | None = None
    """The signed-in user's SID: the owner's own rights are cut to reading (the list, and what is
    in it where an entry for owners allowed that), and this user keeps what the owner had."""
    drop: tuple[Ace, ...] = ()
    """Entries of ours that nobody asks for any more."""


@dataclass(frozen=True, slots=True)
class Present:
    """What a path has."""

    path: str
    folder: bool
    owner: str
    dacl: tuple[Ace, ...] | None
    """None: there is no list, everybody may do everything."""
    protected: bool = False
    """Nothing is inherited from the folder above."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write to one path. `after` is the whole explicit part, in order."""

    path: str
    folder: bool
    before: tuple[Ace, ...]
    after: tuple[Ace, ...]
    why: str
    protected: bool = False
    null_before: bool = False
    """There was no list: undoing means having none again."""

    @property
    def added(self) -> tuple[Ace, ...]:
        """Entries that were not there."""
        return _without(self.after, self.before)

    @property
    def removed(self) -> tuple[Ace, ...]:
        """Entries that were there and are not wanted."""
        return _without(self.before, self.after)

    @property
    def widens_nothing_for(self) -> frozenset[str]:
        """SIDs that only lose rights by it."""
        gained = {ace.sid for ace in self.added if ace.allow}
        return frozenset(ace.sid for ace in self.added if not ace.allow) - gained


def _without(these: Sequence[Ace], those: Iterable[Ace]) -> tuple[Ace, ...]:
    left = list(those)
    found: list[Ace] = []
    for ace in these:
        if ace in left:
            left.remove(ace)
        else:
            found.append(ace)
    return tuple(found)


def mapped(mask: int) -> int:
    """The mask with generic bits replaced by the rights of files they stand for."""
    for generic, rights in GENERIC:
        if mask & generic:
            mask = mask & ~generic | rights
    return mask


def allow_write(sid: str, way: Way = "set") -> Wanted:
    """A root: read, write, run and delete, here and below."""
    return Wanted(Ace(allow=True, sid=sid, mask=ALLOW_WRITE, flags=DOWN), way)


def allow_read(sid: str) -> Wanted:
    """Read and run, here and below; nothing to do where that holds already."""
    return Wanted(Ace(allow=True, sid=sid, mask=RX, flags=DOWN), "effective")


def reopen_read(sid: str) -> Wanted:
    """Read and run below a hidden folder: it must stand on the path itself to come first."""
    return Wanted(Ace(allow=True, sid=sid, mask=RX, flags=DOWN), "add")


def deny_write(sid: str) -> Wanted:
    """A closed path: no change here or below."""
    return Wanted(Ace(allow=False, sid=sid, mask=DENY_WRITE, flags=DOWN))


def pin(sid: str) -> Wanted:
    """The folder keeps its name; what is in it may change."""
    return Wanted(Ace(allow=False, sid=sid, mask=PIN), "add")


def deny_read(sid: str) -> Wanted:
    """A hidden path, for a SID of the normal list: restricting SIDs have no say in reading."""
    return Wanted(Ace(allow=False, sid=sid, mask=HIDE, flags=DOWN), "add")


# Is it there already? -------------------------------------------------------------------------


def granted(dacl: Sequence[Ace] | None, sids: Iterable[str], mask: int) -> bool:
    """Do these SIDs together hold all bits? A denial for anybody counts: we do not know who else
    they are. An explicit DELETE_CHILD makes it a no: that entry has to be replaced."""
    if dacl is None:
        return True
    who, left = frozenset(sids), mapped(mask)
    for ace in dacl:
        if ace.flags & INHERIT_ONLY:
            continue
        if not ace.allow and ace.bits & left:
            return False
        if ace.allow and ace.sid in who:
            if ace.bits & DELETE_CHILD and not ace.inherited and not mapped(mask) & DELETE_CHILD:
                return False
            left &= ~ace.bits
    return not left


def denied_first(dacl: Sequence[Ace] | None, ace: Ace) -> bool:
    """Is exactly this denial among the leading explicit denials?"""
    for each in dacl or ():
        if each.allow or each.inherited:
            return False
        if each.sid == ace.sid and each.flags == ace.flags and each.bits & ace.bits == ace.bits:
            return True
    return False


def for_kind(ace: Ace, *, folder: bool) -> Ace:
    """Files hand nothing down."""
    return ace if folder else Ace(ace.allow, ace.sid, ace.mask)


def change(target: Target, present: Present) -> Change | None:
    """What to write so that the path has what is wanted; None when it has it already."""
    wanted = [
        Wanted(for_kind(each.ace, folder=present.folder), each.way)
        for each in (*target.wanted, *_guard(target, present))
    ]
    before = tuple(ace for ace in present.dacl or () if not ace.inherited)
    if present.dacl is None:
        wanted = _for_no_list(wanted)
    drop = {for_kind(ace, folder=present.folder) for ace in target.drop}
    drop -= {each.ace for each in wanted}
    kept = [ace for ace in before if ace not in drop and not _replaced(ace, wanted)]
    for each in wanted:
        if each.way == "effective" and granted(
            present.dacl, (each.ace.sid, *READERS), each.ace.mask
        ):
            continue
        if each.ace not in kept:
            kept.append(each.ace)
    ours = {each.ace for each in wanted}
    # ours lead, so that nothing that was there before can decide a bit first
    after = tuple(sorted(kept, key=lambda ace: (ace.allow, ace not in ours and not ace.allow)))
    if after == before or (set(after) == set(before) and _in_order(before, ours)):
        return None
    return Change(
        path=present.path,
        folder=present.folder,
        before=before,
        after=after,
        why=target.why,
        protected=present.protected,
        null_before=present.dacl is None,
    )


def _replaced(ace: Ace, wanted: Sequence[Wanted]) -> bool:
    """Is this one of the entries that "set" takes away?"""
    same = [each for each in wanted if each.ace.sid == ace.sid]
    return any(each.way == "set" for each in same) and all(each.ace != ace for each in same)


def _in_order(before: Sequence[Ace], ours: set[Ace]) -> bool:
    """Do our denials come before every allowance?"""
    first_allow = next((at for at, ace in enumerate(before) if ace.allow), len(before))
    return all(ace.allow or ace not in ours for ace in before[first_allow:])


def _for_no_list(wanted: list[Wanted]) -> list[Wanted]:
    """Without a list everybody may do everything: allowances are there, and a first denial must
    not become the whole list, which would lock everybody out."""
    denials = [each for each in wanted if not each.ace.allow]
    if not denials:
        return []
    flags = max(each.ace.flags for each in denials)
    return [*denials, Wanted(Ace(allow=True, sid=EVERYONE, mask=ALL, flags=flags), "add")]


def _guard(target: Target, present: Present) -> list[Wanted]:
    """An owner may rewrite the list of what it owns. An entry for OWNER RIGHTS replaces that."""
    user = target.owner_guard
    if user is None:
        return []
    flags = DOWN if present.folder else 0
    had, reads = KEEP_DACL, READ_CONTROL
    for ace in present.dacl or ():
        # what is handed down may belong to the user below, whoever owns this
        as_owner = ace.sid == OWNER_RIGHTS and (present.owner == user or ace.flags & DOWN)
        kept = ace.sid == user and ace.flags == flags
        if ace.allow and (kept or as_owner):
            had |= ace.bits
        if ace.allow and ace.sid == OWNER_RIGHTS and not ace.flags & INHERIT_ONLY:
            reads |= ace.bits & RX
    return [
        Wanted(Ace(allow=True, sid=OWNER_RIGHTS, mask=reads, flags=flags)),
        Wanted(Ace(allow=True, sid=user, mask=had, flags=flags), "add"),
    ]


def handed_down(dacl: Sequence[Ace], *, folder: bool, owner: str) -> tuple[Ace, ...]:
    """What a child gets of its folder's list, in the same order."""
    found: list[Ace] = []
    for ace in dacl:
        keep = 0 if ace.flags & NO_PROPAGATE else ace.flags & DOWN
        special = ace.sid == CREATOR_OWNER or any(ace.mask & generic for generic, _ in GENERIC)
        sid = owner if ace.sid == CREATOR_OWNER else ace.sid
        if folder and ace.flags & CONTAINER_INHERIT:
            if special:
                found.append(Ace(ace.allow, sid, ace.bits, INHERITED))
                if keep:
                    found.append(Ace(ace.allow, ace.sid, ace.mask, INHERITED | INHERIT_ONLY | keep))
            else:
                found.append(Ace(ace.allow, sid, ace.mask, INHERITED | keep))
        elif folder and ace.flags & OBJECT_INHERIT and keep:
            found.append(Ace(ace.allow, ace.sid, ace.mask, INHERITED | INHERIT_ONLY | keep))
        elif not folder and ace.flags & OBJECT_INHERIT:
            found.append(Ace(ace.allow, sid, ace.bits, INHERITED))
    return tuple(found)


# Folders of our own ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fresh:
    """A protected list that replaces whatever a folder of our own has."""

    path: str
    dacl: tuple[Ace, ...]
    protected: bool = True


def lock(
    path: str, kind: Literal["state", "secrets", "programs"], *, group: str, user: str
) -> Fresh:
    """The list of one of our own folders: logs and marker, credentials, or copied programs."""
    change_rights = R | W | X | DELETE
    keep = LOCK if kind == "programs" else change_rights
    # with DELETE: a file is replaced by another one, and the user replaces what set-up made
    mine = LOCK if kind == "programs" else change_rights
    first = {
        "state": Ace(allow=True, sid=group, mask=change_rights, flags=DOWN),
        "secrets": Ace(allow=False, sid=group, mask=change_rights, flags=DOWN),
        "programs": Ace(allow=True, sid=group, mask=RX, flags=DOWN),
    }[kind]
    others = (
        Ace(allow=True, sid=SYSTEM, mask=keep, flags=DOWN),
        Ace(allow=True, sid=ADMINISTRATORS, mask=change_rights, flags=DOWN),
        Ace(allow=True, sid=user, mask=mine, flags=DOWN),
    )
    return Fresh(path, (first, *others))


# Who may write without being asked ---------------------------------------------------------------

WORLD_WRITE: Final = WRITE_DATA | APPEND_DATA | WRITE_EA | WRITE_ATTRIBUTES
WORLD_DANGER: Final = WORLD_WRITE | DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER


def open_to(dacl: Sequence[Ace] | None, sids: Iterable[str] = (EVERYONE,)) -> int:
    """The rights to change something that any of these SIDs has; 0 for none.

    An entry counts by itself, denials before it do not: the audit rather warns once too often.
    """
    if dacl is None:
        return WORLD_DANGER
    who, found = frozenset(sids), 0
    for ace in dacl:
        if ace.allow and ace.sid in who and not ace.flags & INHERIT_ONLY:
            found |= ace.bits
    return found & WORLD_DANGER
