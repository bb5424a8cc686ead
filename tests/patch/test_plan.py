"""A whole patch: all sections in memory, all or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.plan import Other, parents
from octavo.patch.refusal import PatchRefused
from patch.disk import Disk, patch, planned


def states(plan):
    return {file.path: (file.before, file.after) for file in plan.files}


def test_adding_deleting_changing_and_moving():
    disk = Disk({"/w/a": b"1\n", "/w/b": b"2\n", "/w/c": b"3\n"})
    text = patch(
        "*** Add File: n/new\n+x\n*** Delete File: a\n*** Update File: b\n-2\n+two\n"
        "*** Update File: c\n*** Move to: d\n-3\n+three"
    )
    plan = planned(text, disk)
    assert states(plan) == {
        "/w/n/new": (None, b"x\n"),
        "/w/a": (b"1\n", None),
        "/w/b": (b"2\n", b"two\n"),
        "/w/c": (b"3\n", None),
        "/w/d": (None, b"three\n"),
    }
    assert plan.moves == (("/w/c", "/w/d"),)
    assert [file.path for file in plan.deletes] == ["/w/a", "/w/c"]
    assert [file.path for file in plan.writes] == ["/w/n/new", "/w/b", "/w/d"]
    assert next(file for file in plan.files if file.path == "/w/d").mode_of == "/w/c"


def test_a_move_over_a_file_replaces_it():
    plan = planned(
        patch("*** Update File: a\n*** Move to: b\n-1\n+2"), Disk({"/w/a": b"1\n", "/w/b": b"x\n"})
    )
    assert states(plan)["/w/b"] == (b"x\n", b"2\n")


def test_a_move_to_its_own_name_is_a_change():
    plan = planned(patch("*** Update File: a\n*** Move to: /w/a\n-1\n+2"), Disk({"/w/a": b"1\n"}))
    assert states(plan) == {"/w/a": (b"1\n", b"2\n")}


def test_later_sections_see_what_earlier_ones_did():
    disk = Disk({"/w/a": b"1\n"})
    text = patch(
        "*** Update File: a\n-1\n+2\n*** Update File: a\n-2\n+3\n*** Delete File: a\n*** Add File: a\n+4"
    )
    assert states(planned(text, disk)) == {"/w/a": (b"1\n", b"4\n")}


@pytest.mark.parametrize(
    "body",
    [
        "*** Update File: a\n-1\n+2\n*** Update File: ./a\n-2\n+3",
        "*** Update File: a\n*** Move to: b\n-1\n+2\n*** Add File: b\n+1",
        "*** Delete File: a\n*** Add File: a\n+1",
    ],
)
def test_where_asked_for_two_sections_for_one_file_are_refused(body):
    disk = Disk({"/w/a": b"1\n"})
    text = patch(body.replace("./", ""))
    planned(text, disk)
    with pytest.raises(PatchRefused, match="two sections for one file"):
        planned(text, disk, once=True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("*** Delete File: no", "no file /w/no"),
        ("*** Update File: no\n x", "no file /w/no"),
        ("*** Delete File: dir", "is a folder"),
        ("*** Add File: dir\n+x", "is a folder"),
        ("*** Update File: a\n*** Move to: dir\n 1", "is a folder"),
        ("*** Add File: a/b\n+x", "not a folder"),
        ("*** Add File: n\n+x\n*** Add File: n/m\n+x", "not a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(body, words):
    with pytest.raises(PatchRefused, match=words):
        planned(patch(body), Disk({"/w/a": b"1\n", "/w/dir/x": b""}))


def test_a_file_may_make_place_for_a_folder():
    plan = planned(patch("*** Delete File: a\n*** Add File: a/b\n+x"), Disk({"/w/a": b"1\n"}))
    assert states(plan) == {"/w/a": (b"1\n", None), "/w/a/b": (None, b"x\n")}


def test_an_empty_patch_is_refused():
    with pytest.raises(PatchRefused, match="empty"):
        planned("*** Begin Patch\n*** End Patch")


def test_all_failing_sections_are_told_at_once():
    with pytest.raises(PatchRefused) as caught:
        planned(patch("*** Delete File: x\n*** Add File: ok\n+1\n*** Delete File: y"))
    assert "/w/x" in str(caught.value)
    assert "/w/y" in str(caught.value)
    assert caught.value.patch_line == 2


def test_a_file_that_cannot_be_read_is_refused():
    def read(path):
        if path == "/w/a":
            raise PermissionError(13, "Permission denied")
        return Other.MISSING

    with pytest.raises(PatchRefused, match="cannot read /w/a: Permission denied"):
        planned(patch("*** Update File: a\n x"), read)


def test_parents_are_named_nearest_first():
    assert parents("/w/a/b") == ["/w/a", "/w"]
    assert parents("C:\\w\\a") == ["C:\\w"]


NAMES = st.sampled_from(["a", "b", "d/c", "d"])
SECTIONS = st.one_of(
    NAMES.map(lambda n: f"*** Add File: {n}\n+1"),
    NAMES.map(lambda n: f"*** Delete File: {n}"),
    NAMES.map(lambda n: f"*** Update File: {n}\n-1\n+2"),
    st.tuples(NAMES, NAMES).map(lambda n: f"*** Update File: {n[0]}\n*** Move to: {n[1]}\n-1\n+1"),
)


@given(st.lists(SECTIONS, max_size=5), st.sets(st.sampled_from(["/w/a", "/w/b", "/w/d/c"])))
def test_any_patch_is_planned_or_refused_and_the_plan_knows_the_disk(bodies, there):
    disk = Disk(dict.fromkeys(there, b"1\n"))
    try:
        plan = planned(patch("\n".join(bodies)), disk)
    except PatchRefused:
        return
    after = {**disk}
    for file in plan.files:
        assert file.before == disk.get(file.path)
        if file.after is None:
            after.pop(file.path, None)
        else:
            after[file.path] = file.after
    for path in after:
        assert not any(other.startswith(path + "/") for other in after)
