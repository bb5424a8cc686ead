import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.windows.world import DiskError, Last, decode_last, encode_last

texts = st.text(max_size=9)
lasts = st.builds(
    Last,
    texts,
    texts,
    st.integers(0, 2**50),
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
    st.integers(0, 2**50),
)


@given(lasts)
def test_the_last_plan_is_read_as_it_was_written(last):
    assert decode_last(encode_last(last)) == last


GOOD = encode_last(Last("w", "f", 1, ("s",), ("o",), 2))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        GOOD[:-3],
        GOOD.replace(b'"v": 1', b'"v": 2'),
        GOOD.replace(b'"wish": "w"', b'"wish": 1'),
        GOOD.replace(b'"at_ms": 1', b'"at_ms": "1"'),
        GOOD.replace(b'["s"]', b"[1]"),
        GOOD.replace(b'["o"]', b"null"),
    ],
)
def test_a_damaged_one_counts_as_none(data):
    assert data != GOOD
    assert decode_last(data) is None


def test_an_error_names_call_path_owner_reason_and_number():
    error = DiskError("CreateFile", 5, path="C:\\x", reason="access is denied", owner="S-1-5-18")
    expected = 'CreateFile for "C:\\x", owned by S-1-5-18: access is denied (Windows error 5)'
    assert str(error) == expected
