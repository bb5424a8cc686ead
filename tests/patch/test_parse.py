"""The grammar: what is taken, what is refused, and with which line number."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.parse import AddFile, Chunk, DeleteFile, Line, UpdateFile, parse
from octavo.patch.refusal import PatchRefused

WHOLE = """*** Begin Patch
*** Environment ID: here
*** Add File: new.txt
+one
+
*** Delete File: old.txt
*** Update File: a.txt
*** Move to: b.txt
@@ def f():
 kept

-gone
+come
@@
+last
*** End of File
*** End Patch
"""


def test_every_form_is_read_with_its_line():
    patch = parse(WHOLE)
    assert patch.environment == "here"
    assert patch.sections == (
        AddFile(path="new.txt", lines=("one", ""), patch_line=3),
        DeleteFile(path="old.txt", patch_line=6),
        UpdateFile(
            path="a.txt",
            move_to="b.txt",
            patch_line=7,
            chunks=(
                Chunk(
                    header="def f():",
                    patch_line=9,
                    lines=(Line(" ", "kept"), Line(" ", ""), Line("-", "gone"), Line("+", "come")),
                ),
                Chunk(patch_line=14, lines=(Line("+", "last"),), at_end=True),
            ),
        ),
    )


def test_a_file_without_lines_is_empty():
    assert parse("*** Begin Patch\n*** Add File: x\n*** End Patch").sections == (
        AddFile(path="x", lines=(), patch_line=2),
    )


def test_a_patch_without_sections_parses():
    assert parse("*** Begin Patch\n*** End Patch").sections == ()


def test_carriage_returns_before_newlines_are_dropped():
    assert parse(WHOLE.replace("\n", "\r\n")) == parse(WHOLE)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_here_document_around_it_is_peeled_off(quote):
    assert parse(f"<<{quote}EOF{quote}\n{WHOLE}EOF\n").sections[0].lines == ("one", "")


def test_another_word_around_it_is_not():
    with pytest.raises(PatchRefused, match="first line"):
        parse(f"<<END\n{WHOLE}END\n")


def test_whitespace_round_markers_and_headers_is_forgiven():
    text = "\n  *** Begin Patch \n\t*** Delete File:  x \n *** End Patch  \n\n"
    assert parse(text).sections == (DeleteFile(path="x", patch_line=3),)


def test_inside_an_update_an_indented_marker_is_a_line_of_the_file():
    text = "*** Begin Patch\n*** Update File: a\n *** End Patch\n+x\n*** End Patch"
    assert parse(text).sections[0].chunks[0].old == ["*** End Patch"]


def test_blank_lines_between_sections_are_forgiven():
    text = "*** Begin Patch\n\n*** Add File: x\n+1\n\n*** Delete File: y\n\n*** End Patch"
    assert [section.path for section in parse(text).sections] == ["x", "y"]


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("*** Frobnicate File: x", 2, "found"),
        ("*** Update File: x", 2, "empty"),
        ("*** Update File: x\n*** Move to: y", 2, "empty"),
        ("*** Update File: x\n@@\n@@\n x", 3, "no line follows"),
        ("*** Update File: x\n@@ a", 3, "no line follows"),
        ("*** Update File: x\n@@\nfoo", 4, "begins with a space"),
        ("*** Update File: x\n-a\n*** End of File\n+b", 5, "expected '@@'"),
        ("*** Update File: x\n*** Move to: y\n*** Move to: z\n x", 4, "second"),
        ("*** Add File: x\nfoo", 3, "a line that begins with"),
        ("*** Add File: ", 2, "no path"),
        ("*** Delete File: a\0b", 2, "NUL"),
        ("*** Environment ID: ", 2, "takes a name"),
        ("*** Delete File: x\n*** End Patch\n*** Delete File: y", 3, "follows"),
        ("*** Add File: x\n+\ud800", 3, "surrogate"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(body, line, words):
    with pytest.raises(PatchRefused, match=words) as caught:
        parse(f"*** Begin Patch\n{body}\n*** End Patch")
    assert caught.value.patch_line == line
    assert f"line {line} of the patch" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "\n", "hello", "*** Begin Patch", "*** Begin Patch\n*** Add File: x\n+1"]
)
def test_what_is_no_patch_is_refused(text):
    with pytest.raises(PatchRefused):
        parse(text)


def test_text_after_the_end_is_refused():
    with pytest.raises(PatchRefused, match=r"line 3 .*follows"):
        parse("*** Begin Patch\n*** End Patch\nthat was it")


TOKENS = st.sampled_from(
    ["*** Begin Patch", "*** End Patch", "*** Add File: a", "*** Update File: a", "@@", "@@ x",
     "*** Move to: b", "*** Delete File: c", "*** End of File", "<<EOF", "EOF", "+x", "-x", " x",
     "", " ", "*** Environment ID: e", "\r", "\ud800", "x\0"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(TOKENS).map("\n".join)))
def test_any_text_is_read_or_refused(text):
    with suppress(PatchRefused):
        parse(text)
