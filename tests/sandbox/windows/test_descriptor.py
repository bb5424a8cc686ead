import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import InternalError
from octavo.sandbox.windows import acl, descriptor
from octavo.sandbox.windows.acl import Ace

FOLDER = bytes.fromhex(
    "0100048014000000000000000000000030000000010500000000000515000000000000000000000000000000"
    "e8030000020054000300000000031400ff011f0001010000000000051200000000032400ff011f0001050000"
    "0000000515000000000000000000000000000000e803000000031400a9001200010100000000000100000000"
)
"""As a system gave it for a folder."""

numbers = st.integers(0, 2**32 - 1)
sids = st.builds(
    lambda authority, parts: "-".join(map(str, ("S-1", authority, *parts))),
    st.integers(0, 2**48 - 1),
    st.lists(numbers, min_size=1, max_size=15),
)
aces = st.builds(Ace, st.booleans(), sids, numbers, st.integers(0, 255))


def test_a_descriptor_of_a_folder_is_read():
    found = descriptor.parse(FOLDER)
    me = "S-1-5-21-0-0-0-1000"
    assert found.owner == me
    assert found.dacl == (
        Ace(True, acl.SYSTEM, acl.ALL, acl.DOWN),
        Ace(True, me, acl.ALL, acl.DOWN),
        Ace(True, acl.EVERYONE, acl.RX, acl.DOWN),
    )
    assert not found.protected
    assert found.foreign == 0


@given(st.lists(aces, max_size=8), st.booleans())
def test_what_is_written_is_read_back_in_order_with_every_bit(entries, protected):
    data = descriptor.descriptor_bytes(entries, protected=protected)
    found = descriptor.parse(data + b"\0" * 7)
    assert found == descriptor.Descriptor("", tuple(entries), protected, 0)


@given(sids)
def test_a_sid_is_the_same_in_bytes_and_in_text(sid):
    assert descriptor.sid_text(descriptor.sid_bytes(sid)) == sid


def test_no_list_and_an_empty_list_are_told_apart():
    none = struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)
    null = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 0)
    assert descriptor.parse(none).dacl is None
    assert descriptor.parse(null).dacl is None
    assert descriptor.parse(descriptor.descriptor_bytes([])).dacl == ()


@pytest.mark.parametrize(("flags", "foreign"), [(3, 1), (0x13, 0)])
def test_conditional_entries_are_counted_when_they_are_the_objects_own(flags, foreign):
    data = bytearray(descriptor.descriptor_bytes([Ace(True, acl.EVERYONE, 2, flags)]))
    data[28] = descriptor.ALLOWED_CONDITIONAL
    found = descriptor.parse(bytes(data))
    assert found.dacl == ()
    assert found.foreign == foreign
    assert found.conditional == (Ace(True, acl.EVERYONE, 2, flags),)


@pytest.mark.parametrize("size", [0, 10, 19, 25, 60, len(FOLDER) - 1])
def test_bytes_cut_short_are_no_descriptor(size):
    with pytest.raises(InternalError, match="cut short"):
        descriptor.parse(FOLDER[:size])


@given(st.binary(max_size=200))
def test_no_bytes_lead_to_anything_but_a_descriptor_or_an_error(data):
    try:
        found = descriptor.parse(data)
    except InternalError:
        return
    assert isinstance(found, descriptor.Descriptor)


def test_a_list_that_is_too_long_is_refused():
    with pytest.raises(InternalError, match="longer than Windows allows"):
        descriptor.acl_bytes([Ace(True, acl.EVERYONE, 1)] * 4000)
