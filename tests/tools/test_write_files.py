"""Files written all or not at all, whatever fails on the way."""

import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.tools import write_files as room
from octavo.tools.write_files import Failed, packed, unpacked, write_files


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


@pytest.fixture
def root(tmp_path):
    (tmp_path / "a").write_bytes(b"1\n")
    (tmp_path / "b").write_bytes(b"2\n")
    return tmp_path


def work(root, *rows):
    return [
        (str(root / path), None if mode_of is None else str(root / mode_of), before, after)
        for path, mode_of, before, after in rows
    ]


def test_everything_is_done(root):
    write_files(
        work(
            root,
            ("a", None, b"1\n", b"eins\n"),
            ("b", None, b"2\n", None),
            ("c/d/e", None, None, b"new"),
        )
    )
    assert tree(root) == {"a": b"eins\n", "c": None, "c/d": None, "c/d/e": b"new"}


def test_a_shorter_text_leaves_nothing_of_the_longer(root):
    write_files(work(root, ("a", None, b"1\n", b"")))
    assert (root / "a").read_bytes() == b""


def test_a_moved_file_keeps_its_permission_bits(root):
    (root / "a").chmod(0o755)
    write_files(work(root, ("a", None, b"1\n", None), ("z", "a", None, b"2\n")))
    assert stat.S_IMODE((root / "z").stat().st_mode) == 0o755


def test_a_file_is_written_in_place(root):
    os.link(root / "a", root / "hard")
    os.symlink("a", root / "soft")
    write_files(work(root, ("soft", None, b"1\n", b"x\n")))
    assert (root / "soft").is_symlink()
    assert (root / "hard").read_bytes() == b"x\n"


def test_a_file_may_make_place_for_a_folder(root):
    write_files(work(root, ("a", None, b"1\n", None), ("a/b", None, None, b"x")))
    assert tree(root) == {"a": None, "a/b": b"x", "b": b"2\n"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", None, b"1\n", b"x"), ("b", None, b"other", b"y")], "changed since"),
        ([("a", None, b"1\n", None), ("b", None, b"other", None)], "changed since"),
        ([("n", None, None, b"x"), ("b", None, None, b"y")], "appeared"),
        ([("a", None, b"1\n", None), ("n/m", None, None, b"x"), ("b/x", None, None, b"y")], "b"),
        ([("a", None, b"1\n", b"x"), ("gone", None, b"1", b"y")], "gone: No such file"),
    ],
)
def test_nothing_is_done_when_something_cannot(root, rows, words):
    before = tree(root)
    with pytest.raises(Failed, match=words):
        write_files(work(root, *rows))
    assert tree(root) == before


class Stumbling(room.Writer):
    """Fails at the n-th step of the disk."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error", "disk")

    def put_aside(self, path):
        super().put_aside(path)
        self.step()

    def create(self, path, mode):
        super().create(path, mode)
        self.step()

    def write(self, path, before, after):
        super().write(path, before, after)
        self.step()


@pytest.mark.parametrize("at", range(6))
def test_whatever_step_fails_the_disk_is_as_it_was(root, at):
    before = tree(root)
    rows = [("a", None, b"1\n", b"a longer text\n"), ("b", None, b"2\n", None), ("c/d", None, None, b"x"), ("e", None, None, b"")]  # fmt: skip
    with pytest.raises(Failed, match="disk"):
        Stumbling(at).run(work(root, *rows))
    assert tree(root) == before


@pytest.mark.linux
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_is_no_file(root):
    with pytest.raises(Failed, match="not a file"):
        write_files([("/dev/full", None, b"", b"x")])


ROWS = st.lists(
    st.tuples(
        st.binary(max_size=5).map(os.fsdecode),
        st.none() | st.binary(max_size=5).map(os.fsdecode),
        st.none() | st.binary(max_size=9),
        st.none() | st.binary(max_size=9),
    ),
    max_size=4,
)


@given(ROWS)
def test_work_survives_the_pipe(rows):
    assert unpacked(packed(rows)) == rows


@given(ROWS.filter(bool), st.data())
def test_work_that_was_cut_off_is_refused(rows, data):
    whole = packed(rows)
    cut = data.draw(st.integers(1, len(whole) - 1))
    try:
        found = unpacked(whole[:cut])
    except Failed:
        return
    assert found == rows[: len(found)]  # cut between two files: the end of the pipe says no more


def test_as_a_program_it_reads_its_work_and_says_what_failed(root):
    program = [sys.executable, "-I", "-S", room.__file__]
    rows = work(root, ("a", None, b"1\n", b"x\n"))
    done = subprocess.run(program, input=packed(rows), capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = subprocess.run(program, input=packed(rows), capture_output=True, timeout=20)
    assert done.returncode == 1
    assert b"changed since it was read" in done.stdout
