"""Splitting a file and putting it together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.lines import Lines


@given(st.one_of(st.binary(), st.text("a\r\n").map(str.encode)), st.booleans())
def test_together_again_it_is_the_same(data, lone_cr):
    assert Lines.of(data, lone_cr=lone_cr).encode() == data


@given(st.text("a\r\n").map(str.encode))
def test_only_the_last_line_may_lack_an_end(data):
    lines = Lines.of(data)
    assert all(lines.ends[:-1])
    assert not any("\r" in text or "\n" in text for text in lines.texts)


@pytest.mark.parametrize(
    ("data", "texts", "ends"),
    [
        (b"", (), ()),
        (b"a", ("a",), ("",)),
        (b"a\n", ("a",), ("\n",)),
        (b"\n\n", ("", ""), ("\n", "\n")),
        (b"a\r\nb\rc\n", ("a", "b", "c"), ("\r\n", "\r", "\n")),
        (b"a\r", ("a",), ("\r",)),
        (b"a\x0cb\xe2\x80\xa8c\n", ("a\x0cb\u2028c",), ("\n",)),
    ],
)
def test_lines_end_in_lf_crlf_or_cr_and_in_nothing_else(data, texts, ends):
    lines = Lines.of(data)
    assert (lines.texts, lines.ends) == (texts, ends)


def test_new_lines_end_as_the_first_one_does():
    assert Lines.of(b"a\r\nb\n").end == "\r\n"
    assert Lines.of(b"a").end == "\n"


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    lines = Lines.of(b"\xef\xbb\xbfa\n")
    assert (lines.bom, lines.texts) == ("\ufeff", ("a",))
