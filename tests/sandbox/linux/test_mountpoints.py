"""Entries made on the host: journalled first, shared, removed by the last, never what is not ours."""

import os
import subprocess
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("mount points are Linux's", allow_module_level=True)

from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.linux import mountpoints
from octavo.sandbox.linux.mountpoints import MountPoints


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "state/mountpoints")


def points(journal, *paths, kind="dir"):
    return MountPoints(journal, tuple((str(path), kind) for path in paths))


def left(journal):
    return [name for name in os.listdir(journal) if name != mountpoints.LOCK]


def test_what_is_missing_is_made_and_removed_again(tmp_path, journal):
    made = points(journal, tmp_path / "a", tmp_path / "b")
    made.make()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o555
    made.release()
    assert sorted(os.listdir(tmp_path)) == ["state"]
    assert left(journal) == []


@pytest.mark.parametrize("kind", mountpoints.CONTENT)
def test_a_stand_in_is_an_unwritable_file_of_fixed_content(tmp_path, journal, kind):
    made = points(journal, tmp_path / "file", kind=kind)
    made.make()
    assert (tmp_path / "file").read_bytes() == mountpoints.CONTENT[kind]
    assert (tmp_path / "file").stat().st_mode & 0o222 == 0
    made.release()
    assert not (tmp_path / "file").exists()


def test_the_umask_does_not_make_them_writable_or_unreadable(tmp_path, journal):
    before = os.umask(0)
    try:
        made = points(journal, tmp_path / "a")
        made.make()
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o555
        made.release()
    finally:
        os.umask(before)


def test_nothing_to_make_leaves_no_journal(tmp_path, journal):
    made = points(journal)
    made.make()
    made.release()
    assert not os.path.exists(journal)


def test_the_last_user_removes_it(tmp_path, journal):
    one, two = points(journal, tmp_path / "a"), points(journal, tmp_path / "a")
    one.make()
    two.make()
    one.release()
    assert (tmp_path / "a").is_dir()
    two.release()
    assert not (tmp_path / "a").exists()


def test_releasing_twice_is_harmless(tmp_path, journal):
    made = points(journal, tmp_path / "a")
    made.make()
    made.release()
    (tmp_path / "a").mkdir(mode=0o555)
    made.release()
    assert (tmp_path / "a").is_dir()


@pytest.mark.parametrize("change", [
    lambda path: (path.chmod(0o755), (path / "kept").write_text("work")),
    lambda path: path.chmod(0o755),
    lambda path: (path.rmdir(), path.write_text("a file now")),
    lambda path: (path.rmdir(), path.symlink_to("/etc")),
    lambda path: (path.rename(path.with_name("moved")), path.mkdir(mode=0o555)),
], ids=["filled", "made writable", "a file", "a link", "another folder"])  # fmt: skip
def test_what_somebody_made_their_own_stays(tmp_path, journal, change):
    made = points(journal, tmp_path / "a")
    made.make()
    change(tmp_path / "a")
    made.release()
    assert os.path.lexists(tmp_path / "a")
    assert left(journal) == []


def test_a_file_somebody_wrote_into_stays(tmp_path, journal):
    made = points(journal, tmp_path / "file", kind="file")
    made.make()
    (tmp_path / "file").chmod(0o644)
    (tmp_path / "file").write_text("theirs")
    made.release()
    assert (tmp_path / "file").read_text() == "theirs"


def test_something_that_vanished_is_no_problem(tmp_path, journal):
    made = points(journal, tmp_path / "a")
    made.make()
    (tmp_path / "a").rmdir()
    made.release()
    assert left(journal) == []


def test_a_missing_folder_above_is_an_error_and_is_journalled(tmp_path, journal):
    made = points(journal, tmp_path / "missing/a")
    with pytest.raises(OSError, match="No such file"):
        made.make()
    made.release()
    assert left(journal) == []


KILLED = """
import os, sys
from octavo.sandbox.linux.mountpoints import MountPoints
MountPoints(sys.argv[1], ((sys.argv[2], "dir"),)).make()
os.kill(os.getpid(), 9)
"""


def killed(journal, path):
    done = subprocess.run([sys.executable, "-c", KILLED, journal, str(path)], timeout=20)
    assert done.returncode == -9


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, journal):
    killed(journal, tmp_path / "a")
    assert (tmp_path / "a").is_dir()
    made = points(journal, tmp_path / "b")
    made.make()
    assert not (tmp_path / "a").exists()
    made.release()
    assert left(journal) == []


def test_the_next_one_removes_it_even_when_it_needs_nothing_itself(tmp_path, journal):
    killed(journal, tmp_path / "a")
    points(journal).make()
    assert not (tmp_path / "a").exists()


def test_what_a_living_process_needs_outlives_a_killed_one(tmp_path, journal):
    made = points(journal, tmp_path / "a")
    made.make()
    killed(journal, tmp_path / "a")
    points(journal).make()
    assert (tmp_path / "a").is_dir()
    made.release()
    assert not (tmp_path / "a").exists()


def test_an_intent_without_inodes_removes_only_what_is_still_as_we_make_it(tmp_path, journal):
    os.makedirs(journal)
    for name, mode in (("ours", 0o555), ("theirs", 0o755)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    lines = "".join(f"0 0 dir {tmp_path}/{name}\n" for name in ("ours", "theirs", "never made"))
    with open(f"{journal}/1-0-gone-7", "w") as file:
        file.write(lines)
    points(journal).make()
    assert sorted(os.listdir(tmp_path)) == ["state", "theirs"]


@pytest.mark.parametrize("text", ["", "\n\n", "torn 1 2", "1 2 dir", "\xff",
    pytest.param("x y dir /somewhere\n"),
])  # fmt: skip
def test_a_broken_journal_stops_nobody(tmp_path, journal, text):
    os.makedirs(journal)
    with open(f"{journal}/1-0-gone-7", "w") as file:
        file.write(text)
    made = points(journal, tmp_path / "a")
    made.make()
    made.release()
    assert left(journal) == []


def test_a_name_with_a_newline_is_kept_whole(tmp_path, journal):
    name = tmp_path / "two\nlines\\n"
    killed(journal, name)
    assert name.is_dir()
    points(journal).make()
    assert not name.exists()


def test_a_name_that_is_no_text_is_kept_whole(tmp_path, journal):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    made = points(journal, name)
    made.make()
    assert os.path.isdir(name)
    made.release()
    assert not os.path.exists(name)


@given(st.text(st.characters(blacklist_characters="\0")))
def test_names_come_back_from_the_journal_as_they_were(name):
    line = mountpoints.encode(name)
    assert "\n" not in line
    assert mountpoints.decode(line) == name


def test_the_journal_is_for_its_owner_only(tmp_path, journal):
    made = points(journal, tmp_path / "a")
    made.make()
    assert os.stat(journal).st_mode & 0o777 == 0o700
    assert {os.stat(f"{journal}/{n}").st_mode & 0o077 for n in os.listdir(journal)} == {0}
    made.release()


def test_a_number_is_not_enough_to_be_alive():
    me = mountpoints.identity(os.getpid())
    assert mountpoints.alive(f"{me}-1f")
    pid, start, boot = me.split("-", 2)
    assert not mountpoints.alive(f"{pid}-{int(start) + 1}-{boot}-1f")
    assert not mountpoints.alive(f"{pid}-{start}-00000000-1f")
    assert not mountpoints.alive("nonsense")
