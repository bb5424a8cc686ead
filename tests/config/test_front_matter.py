"""The head of a Markdown file: what people write, and what nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.config.front_matter import FrontMatterError, keys_of, split


def keys(text):
    return split(f"---\n{text}\n---\nbody")[0]


def test_plain_values_quotes_and_comments():
    text = (
        "name: pdf-tools  # the name\n"
        'description: "Reads \\"PDF\\" files: all # of them"\n'
        "hint: 'it''s here'\n"
        "# a comment\n"
        "empty:\n"
        "url: https://example.org/a:b\n"
    )
    assert keys(text) == {
        "name": "pdf-tools",
        "description": 'Reads "PDF" files: all # of them',
        "hint": "it's here",
        "url": "https://example.org/a:b",
    }


def test_folded_literal_and_continued_values():
    text = (
        "description: >-\n  Reads files\n  and writes them.\n\n  Twice.\n"
        "note: |\n  one\n    two\nplain: goes on\n  in the next line\nlast: x"
    )
    assert keys(text) == {
        "description": "Reads files and writes them.\nTwice.",
        "note": "one\n  two",
        "plain": "goes on in the next line",
        "last": "x",
    }


def test_tables_in_tables_have_dotted_names_and_lists_are_passed_over():
    text = "metadata:\n  short-description: brief\n  tags:\n    - a\n    - b\nallowed-tools: [a]\nname: x"
    found = keys(text)
    assert found["metadata.short-description"] == "brief"
    assert found["name"] == "x"


def test_a_text_without_a_head_is_all_body():
    assert split("hello\n---\n") == ({}, "hello\n---\n")
    assert split("") == ({}, "")


def test_the_body_begins_after_the_head():
    assert split("---\nname: x\n---\n\n# Title\n---\nmore")[1] == "# Title\n---\nmore"
    assert split("\ufeff---\r\nname: x\r\n---\r\nbody")[0] == {"name": "x"}


@pytest.mark.parametrize("text", ["---\nname: x\n", '---\nname: "x\n---\n', "---\nname: 'x\n---\n"])
def test_what_does_not_end_is_said(text):
    with pytest.raises(FrontMatterError):
        split(text)


@given(st.text())
def test_no_text_is_too_strange(text):
    for whole in (text, f"---\n{text}\n---\nbody"):
        try:
            found, body = split(whole)
        except FrontMatterError:
            continue
        assert isinstance(body, str)
        assert all(isinstance(value, str) for value in found.values())


PLAIN = st.text(st.characters(whitelist_categories=["L", "N"]), min_size=1)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,10}", fullmatch=True), PLAIN))
def test_what_is_written_plainly_is_read_back(values):
    lines = [f"{name}: {value}" for name, value in values.items()]
    assert keys_of(lines) == values
    quoted = [f'{name}: "{value}"' for name, value in values.items()]
    assert keys_of(quoted) == values
