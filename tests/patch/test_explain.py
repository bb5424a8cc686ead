"""A refusal names the place, the nearest candidate, and what differs."""

import pytest

from octavo.patch.explain import nearest
from octavo.patch.refusal import PatchRefused
from patch.disk import updated

SOURCE = b"def area(r):\n    return 3.14 * r\n\ndef volume(r):\n    return 4.19 * r ** 3\n"


def refusal(before, body):
    with pytest.raises(PatchRefused) as caught:
        updated(before, body)
    return caught.value


def test_the_nearest_place_is_shown_with_what_differs():
    problem = refusal(SOURCE, "@@\n def volume(r):\n-    return 4.2 * r ** 3\n+    return 0")
    assert problem.file_line == 4
    assert problem.patch_line == 3
    assert str(problem) == (
        "Failed to find expected lines in /w/a.txt:\n"
        "def volume(r):\n"
        "    return 4.2 * r ** 3\n"
        "(line 3 of the patch) The nearest place is line 4; 1 of 2 lines are equal:\n"
        "  line 5: the file has '    return 4.19 * r ** 3', the patch expects '    return 4.2 * r ** 3'"
    )


def test_a_line_that_only_resembles_is_found():
    assert "nearest place is line 2" in str(refusal(SOURCE, "-    return 3.141 * r\n+x"))


def test_lines_like_nothing_in_the_file_are_told_so():
    assert "Nothing in the 5 lines" in str(refusal(SOURCE, "-zzzzzzzzzzzzzzzzzzzz\n+x"))


def test_a_change_that_was_made_before_is_recognised():
    body = "@@\n def area(r):\n-    return 3 * r\n+    return 3.14 * r"
    problem = refusal(SOURCE, body)
    assert "already applied: the new lines stand at line 1" in str(problem)
    assert problem.file_line == 1


def test_a_removal_that_was_made_before_is_recognised():
    assert "already applied" in str(refusal(b"a\nc\n", " a\n-b\n c"))


def test_a_missing_line_is_not_taken_for_a_removal_made_before():
    assert "already applied" not in str(refusal(b"a\nb\n", " a\n-x"))


def test_lines_above_the_cursor_are_pointed_at():
    problem = refusal(b"a\nb\n", "-b\n+B\n@@\n-a\n+A")
    assert "They stand at line 1, before line 3" in str(problem)
    assert "order of the file" in problem.hint


def test_lines_not_at_the_end_are_pointed_at():
    assert "stand at line 1" in str(refusal(b"a\nb\n", "-a\n+A\n*** End of File"))


def test_a_missing_header_is_named_with_the_nearest_line():
    problem = refusal(SOURCE, "@@ def volumes(r):\n-x\n+y")
    assert "Failed to find the line 'def volumes(r):'" in str(problem)
    assert "Nearest is line 4" in str(problem)


def test_line_numbers_as_a_header_get_a_hint():
    assert "Line numbers" in refusal(SOURCE, "@@ -1,2 +1,2 @@\n-x\n+y").hint


def test_a_file_that_is_no_text_is_told_so():
    assert "UTF-8" in str(refusal("a\n".encode("utf-16"), "-a\n+b"))


def test_an_empty_file_is_told_so():
    assert "empty" in str(refusal(b"", "-a\n+b"))


def test_a_large_file_of_equal_lines_is_searched_quickly():
    lines = ["x"] * 200_000
    assert nearest(lines, ["x"] * 50 + ["y"]) is not None
