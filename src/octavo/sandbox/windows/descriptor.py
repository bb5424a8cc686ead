"""Security descriptors as the system hands them out: bytes to entries, and entries to bytes.

Pure: [MS-DTYP] 2.4.2 to 2.4.6. Order, flags and all 32 bits of a mask survive; entries of kinds we
cannot say (conditional ones, objects of a directory) are counted, so that nobody drops them unseen.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from octavo.protocol.errors import InternalError
from octavo.sandbox.windows.acl import INHERITED, Ace

ALLOWED: Final = 0
DENIED: Final = 1
ALLOWED_CONDITIONAL: Final = 9
DENIED_CONDITIONAL: Final = 10
DACL_PRESENT: Final = 0x0004
DACL_PROTECTED: Final = 0x1000
SELF_RELATIVE: Final = 0x8000
ACL_REVISION: Final = 2
HEADER: Final = struct.Struct("<BBHIIII")
ACL_HEADER: Final = struct.Struct("<BBHHH")
ACE_HEADER: Final = struct.Struct("<BBH")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Owner and list of an object."""

    owner: str
    dacl: tuple[Ace, ...] | None
    protected: bool
    foreign: int
    """Explicit entries of kinds that are not among `dacl`: whoever writes would lose them."""
    conditional: tuple[Ace, ...] = ()
    """What conditional entries would allow if their condition held."""


def parse(data: bytes) -> Descriptor:
    """The descriptor in bytes the system gave. Raises InternalError for what is none."""
    try:
        return _parse(data)
    except (struct.error, IndexError) as error:
        raise InternalError(f"a security descriptor of {len(data)} bytes is cut short") from error


def _parse(data: bytes) -> Descriptor:
    _, _, control, owner_at, _, _, dacl_at = HEADER.unpack_from(data)
    owner = sid_text(data, owner_at) if owner_at else ""
    protected = bool(control & DACL_PROTECTED)
    if not control & DACL_PRESENT or not dacl_at:
        return Descriptor(owner, None, protected, 0)
    plain: list[Ace] = []
    conditional: list[Ace] = []
    foreign = 0
    for kind, flags, body in _entries(data, dacl_at):
        if kind in (ALLOWED, DENIED):
            plain.append(_ace(body, flags, allow=kind == ALLOWED))
            continue
        foreign += not flags & INHERITED
        if kind == ALLOWED_CONDITIONAL:
            conditional.append(_ace(body, flags, allow=True))
    return Descriptor(owner, tuple(plain), protected, foreign, tuple(conditional))


def _entries(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    _, _, _, count, _ = ACL_HEADER.unpack_from(data, at)
    at += ACL_HEADER.size
    for _ in range(count):
        kind, flags, size = ACE_HEADER.unpack_from(data, at)
        body = data[at + ACE_HEADER.size : at + size]
        if size < ACE_HEADER.size or len(body) != size - ACE_HEADER.size:
            raise IndexError(at)
        yield kind, flags, body
        at += size


def _ace(body: bytes, flags: int, *, allow: bool) -> Ace:
    return Ace(allow, sid_text(body, 4), struct.unpack_from("<I", body)[0], flags)


def sid_text(data: bytes, at: int = 0) -> str:
    """The SID that begins there."""
    revision, count = data[at], data[at + 1]
    authority = int.from_bytes(data[at + 2 : at + 8], "big")
    parts = struct.unpack_from(f"<{count}I", data, at + 8)
    return "-".join(("S", str(revision), str(authority), *map(str, parts)))


def sid_bytes(text: str) -> bytes:
    """A SID as the system takes it."""
    _, revision, authority, *parts = text.split("-")
    numbers = [int(part) for part in parts]
    head = bytes((int(revision), len(numbers))) + int(authority).to_bytes(6, "big")
    return head + struct.pack(f"<{len(numbers)}I", *numbers)


def acl_bytes(entries: Sequence[Ace]) -> bytes:
    """The list, its entries in the given order. Raises InternalError when it is too long."""
    made = [_ace_bytes(ace) for ace in entries]
    size = ACL_HEADER.size + sum(map(len, made))
    if size > 0xFFFF:
        raise InternalError(f"an access list of {len(made)} entries is longer than Windows allows")
    return ACL_HEADER.pack(ACL_REVISION, 0, size, len(made), 0) + b"".join(made)


def _ace_bytes(ace: Ace) -> bytes:
    body = struct.pack("<I", ace.mask) + sid_bytes(ace.sid)
    kind = ALLOWED if ace.allow else DENIED
    return ACE_HEADER.pack(kind, ace.flags, ACE_HEADER.size + len(body)) + body


def descriptor_bytes(entries: Sequence[Ace], *, protected: bool = False, control: int = 0) -> bytes:
    """A self-relative descriptor with this list and nothing else. `control`: further flags."""
    control |= SELF_RELATIVE | DACL_PRESENT | (DACL_PROTECTED if protected else 0)
    return HEADER.pack(1, 0, control, 0, 0, 0, HEADER.size) + acl_bytes(entries)
