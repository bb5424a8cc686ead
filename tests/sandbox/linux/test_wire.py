"""Messages between our own processes: values of any size, with descriptors, and a clean end."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the helpers are Linux's", allow_module_level=True)

from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.sandbox.linux import wire

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@pytest.fixture
def ends():
    one, two = wire.pair()
    one.settimeout(5)
    two.settimeout(5)
    yield one, two
    one.close()
    two.close()


def open_descriptors():
    return set(os.listdir("/proc/self/fd"))


@given(value=PLAIN)
@settings(max_examples=60)
def test_a_value_arrives_as_it_was_sent(value):
    one, two = wire.pair()
    try:
        wire.send(one, ("value", value))
        assert wire.receive(two) == (("value", value), [])
    finally:
        one.close()
        two.close()


@pytest.mark.parametrize("size", [wire.INLINE_MAX - 100, wire.INLINE_MAX, 1_000_000, 30_000_000])
def test_size_does_not_matter(ends, size):
    before = open_descriptors()
    wire.send(ends[0], ("run", "x" * size))
    assert wire.receive(ends[1]) == (("run", "x" * size), [])
    assert open_descriptors() == before


@pytest.mark.parametrize("size", [10, 200_000])
def test_descriptors_travel_beside_a_value_and_are_closed_on_exec(ends, size):
    read, write = os.pipe()
    wire.send(ends[0], ("x" * size,), (read, write))
    value, fds = wire.receive(ends[1])
    assert value == ("x" * size,)
    assert len(fds) == 2
    os.write(fds[1], b"through")
    assert os.read(read, 10) == b"through"
    assert [os.get_inheritable(fd) for fd in fds] == [False, False]
    for fd in (*fds, read, write):
        os.close(fd)


def test_a_closed_other_side_is_the_end_and_no_error(ends):
    ends[0].close()
    assert wire.receive(ends[1]) == (None, [])


def test_messages_keep_their_borders(ends):
    for number in range(5):
        wire.send(ends[0], ("n", number))
    assert [wire.receive(ends[1])[0] for _ in range(5)] == [("n", n) for n in range(5)]


def test_what_is_not_text_survives(ends):
    name = os.fsdecode(b"\xff\xfe/name\n")
    wire.send(ends[0], (name,))
    assert wire.receive(ends[1])[0] == (name,)
