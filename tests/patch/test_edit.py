"""Chunks applied to a file in memory."""

from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.edit import edited
from octavo.patch.lines import Lines
from octavo.patch.parse import Chunk, Line, UpdateFile
from octavo.patch.refusal import PatchRefused
from patch.disk import updated


def notes(before, body):
    from patch.disk import Disk, patch, planned

    return planned(patch(f"*** Update File: a.txt\n{body}"), Disk({"/w/a.txt": before})).notes


def test_lines_that_stay_keep_their_own_text_and_ends():
    assert updated(b"a  \r\nb\nc\r", " a\n-b\n+B\n c") == b"a  \r\nB\r\nc\r"


def test_a_line_written_as_removed_and_added_again_keeps_its_end():
    assert updated(b"a\r\nb\nc\n", "-a\n-b\n+a\n+b\n+x") == b"a\r\nb\nx\r\nc\n"


def test_the_result_always_ends_in_a_line_end():
    assert updated(b"a\r\nb", "-a\n+A") == b"A\r\nb\r\n"


def test_everything_may_go():
    assert updated(b"a\n", "-a") == b""


def test_a_byte_order_mark_and_bytes_that_are_not_utf8_stay():
    assert updated(b"\xef\xbb\xbfa\n\xff\n", "-a\n+b") == b"\xef\xbb\xbfb\n\xff\n"


def test_additions_under_a_header_land_below_it():
    before = b"def f():\n    pass\ndef g():\n    pass\n"
    after = updated(before, "@@ def g():\n+    # new")
    assert after == b"def f():\n    pass\ndef g():\n    # new\n    pass\n"


def test_additions_without_a_header_land_at_the_end():
    assert updated(b"a\n", "@@\n+b") == b"a\nb\n"
    assert updated(b"", "+b") == b"b\n"
    assert updated(b"a\nh\nb\n", "@@ h\n+c\n*** End of File") == b"a\nh\nb\nc\n"


def test_chunks_are_found_one_after_the_other_on_the_original():
    assert updated(b"x\nx\nx\n", "-x\n+1\n@@\n-x\n+x\n@@\n-x\n+3") == b"1\nx\n3\n"


def test_a_header_moves_the_cursor():
    before = b"class A\n  x = 1\nclass B\n  x = 1\n"
    assert updated(before, "@@ class B\n-  x = 1\n+  x = 2").endswith(b"class B\n  x = 2\n")


def test_equal_blocks_are_reported_with_their_lines():
    found = notes(b"x\ny\nx\nx\n", "-x\n+z")
    assert found == (
        "a.txt: the block at line 1 also stands at lines 3, 4; the first place was taken",
    )


def test_a_loose_match_is_reported():
    assert "line 1 was matched" in notes(b"  x\n", "-x\n+z")[0]
    assert notes(b"x \n", "-x\n+z") == ()


def test_the_end_mark_takes_the_last_place():
    assert updated(b"x\nx\n", "-x\n+z\n*** End of File") == b"x\nz\n"
    with pytest.raises(PatchRefused, match="End of File"):
        updated(b"x\ny\n", "-x\n+z\n*** End of File")


def test_an_empty_line_at_the_end_of_a_block_may_be_missing():
    assert updated(b"a\nb\n", "-a\n+A\n b\n\n@@\n+c") == b"A\nb\nc\n"
    assert updated(b"a\n", " a\n \n+b") == b"a\n\nb\n"
    assert updated(b"a\n", "+b\n\n@@\n+c") == b"a\nb\nc\n"


def test_a_carriage_return_inside_a_line_can_be_matched():
    assert updated(b"10%\r20%\nb\n", "-10%\r20%\n+done") == b"done\nb\n"


LINE = st.text(st.sampled_from("ab \t\u2014"), max_size=3)
TEXT = st.lists(LINE, max_size=8)


@given(TEXT, TEXT, st.sampled_from(["\n", "\r\n"]))
def test_a_patch_made_from_two_texts_leads_from_one_to_the_other(old, new, end):
    lines = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [Line(" ", text) for text in old[i1:i2]]
        else:
            lines += [Line("-", text) for text in old[i1:i2]]
            lines += [Line("+", text) for text in new[j1:j2]]
    if not lines:
        return
    section = UpdateFile(path="f", patch_line=1, chunks=(Chunk(lines=tuple(lines), patch_line=2),))
    before = "".join(text + end for text in old).encode()
    expected_end = end if old else "\n"
    wanted = "".join(text + expected_end for text in new).encode()
    assert edited(before, section, "f").data == wanted


@given(st.binary(max_size=60), st.lists(st.tuples(st.sampled_from(" -+"), LINE), min_size=1))
def test_any_chunk_on_any_file_is_applied_or_refused(data, lines):
    chunk = Chunk(lines=tuple(Line(*one) for one in lines), patch_line=2)
    section = UpdateFile(path="f", patch_line=1, chunks=(chunk,))
    try:
        after = edited(data, section, "f").data
    except PatchRefused:
        return
    assert Lines.of(after).encode() == after
    assert after == b"" or after.endswith((b"\n", b"\r"))
