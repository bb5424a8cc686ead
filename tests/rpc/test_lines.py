"""Bytes in any pieces become the same lines."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.rpc.lines import Splitter, TooLong

LINE = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))


def split(data, cuts, longest=1 << 20):
    splitter = Splitter(longest)
    found = []
    at = 0
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        found += splitter.feed(data[at:cut])
        at = cut
    last = splitter.end()
    return found + ([last] if last is not None else [])


@given(st.lists(LINE), st.lists(st.integers(0, 400)), st.sampled_from([b"\n", b"\r\n"]))
def test_where_the_pieces_end_makes_no_difference(lines, cuts, ending):
    data = ending.join([*lines, b""])
    assert split(data, cuts) == [line for line in lines if line]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_nothing_is_lost_and_nothing_invented(data, cuts):
    found = split(data, cuts)
    assert found == split(data, [])
    assert b"".join(found) == b"".join(line.rstrip(b"\r") for line in data.split(b"\n"))


@given(st.lists(st.integers(0, 60)), st.integers(1, 30))
def test_a_line_that_is_too_long_is_one_mark_and_the_next_is_whole(cuts, longest):
    found = split(b"x" * 50 + b"\nok\n", cuts, longest)
    if longest >= 50:
        assert found == [b"x" * 50, b"ok"]
    elif longest >= 2:
        assert isinstance(found[0], TooLong)
        assert found[1:] == [b"ok"]
