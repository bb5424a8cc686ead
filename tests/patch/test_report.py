"""What people and programs read of a plan."""

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.patch.report import file_diff, hunks, item_diff, notes, success, unified_diff
from patch.disk import Disk, patch, planned

DISK = Disk({"/w/a": b"1\n2\n3\n4\n5\n", "/w/b": b"x\n", "/w/c": b"y\ny\n"})
TEXT = patch(
    "*** Delete File: b\n*** Update File: a\n-3\n+drei\n*** Add File: n\n+new\n"
    "*** Update File: c\n*** Move to: d/e\n-y\n+z"
)


def test_success_lists_added_changed_and_deleted_in_that_order():
    assert success(planned(TEXT, DISK)) == (
        "Success. Updated the following files:\nA n\nM a\nM d/e\nD b\n"
    )


def test_notes_are_lines_of_their_own():
    assert notes(planned(TEXT, DISK)).startswith("Note: c: the block at line 1 also stands at")


def test_the_view_of_a_change_has_one_line_of_context():
    changes = {change.shown: item_diff(change) for change in planned(TEXT, DISK).changes}
    assert changes["a"] == "@@ -2,3 +2,3 @@\n 2\n-3\n+drei\n 4\n"
    assert changes["b"] == "x\n"
    assert changes["n"] == "new\n"


def test_the_whole_diff_is_one_git_takes(tmp_path):
    for path, data in DISK.items():
        (tmp_path / path.removeprefix("/w/")).write_bytes(data)
    plan = planned(TEXT, DISK)
    git(tmp_path, unified_diff(plan, root="/w"))
    for file in plan.files:
        here = tmp_path / file.path.removeprefix("/w/")
        assert (here.read_bytes() if here.exists() else None) == file.after


def git(folder, diff):
    done = subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"],
        cwd=folder,
        input=diff.encode(),
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 0, (done.stderr, diff)


ROWS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12)
FILES = st.tuples(ROWS, st.booleans()).map(
    lambda one: ("\n".join(one[0]) + "\n" * one[1]).encode() if one[0] else b""
)


@settings(max_examples=40)
@given(FILES, FILES, st.integers(0, 3))
def test_git_comes_from_one_to_the_other_with_any_diff(tmp_path_factory, old, new, context):
    if old == new:
        return
    if not context and not old.endswith(b"\n"):
        context = 1  # without context git loses a line end here, also with a diff of its own
    folder = tmp_path_factory.mktemp("git")
    (folder / "f").write_bytes(old)
    git(folder, "".join(file_diff("f", old, new, context=context)))
    assert (folder / "f").read_bytes() == new


def test_equal_files_have_no_hunks():
    assert list(hunks(b"a\n", b"a\n")) == []


def test_two_files_without_anything_in_common_are_shown_quickly():
    old = b"".join(b"%d\n" % n for n in range(30_000))
    new = b"".join(b"x%d\n" % n for n in range(30_000))
    assert next(hunks(old, new)).startswith("@@ -1,30000 +1,30000 @@")
