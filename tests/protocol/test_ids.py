from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.ids import LAST_MS, RANDOM_BYTES, item_id, uuid7

clocks = st.integers(min_value=0, max_value=LAST_MS)
noise = st.binary(min_size=RANDOM_BYTES, max_size=16)


@given(clocks, noise)
def test_an_id_is_a_uuid_of_version_7(now_ms: int, random: bytes):
    made = UUID(uuid7(now_ms, random))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == now_ms


@given(clocks, clocks, noise, noise)
def test_a_later_clock_sorts_later(one: int, other: int, random: bytes, more: bytes):
    if one < other:
        assert uuid7(one, random) < uuid7(other, more)


def test_different_noise_gives_different_ids():
    assert len({uuid7(1, bytes([n] * 10)) for n in range(256)}) == 256


def test_too_little_noise_and_impossible_clocks_are_refused():
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7(1, b"short")
    with pytest.raises(ValueError, match="48 bits"):
        uuid7(-1, bytes(10))


def test_an_item_id_begins_with_its_kind():
    assert item_id("msg", "x") == "msg_x"
