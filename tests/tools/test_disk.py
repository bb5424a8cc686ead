"""What lies at a path."""

import os

import pytest

from octavo.patch.plan import Other
from octavo.tools.disk import MOST_BYTES, Resolver, read_file


def test_files_folders_and_nothing_are_told_apart(tmp_path):
    (tmp_path / "a").write_bytes(b"x\xff")
    os.symlink("a", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    assert read_file(str(tmp_path / "a")) == b"x\xff"
    assert read_file(str(tmp_path / "link")) == b"x\xff"
    assert read_file(str(tmp_path)) is Other.FOLDER
    assert read_file(str(tmp_path / "no")) is Other.MISSING
    assert read_file(str(tmp_path / "a" / "b")) is Other.MISSING
    assert read_file(str(tmp_path / "pipe")) is Other.SPECIAL


def test_a_huge_file_is_not_read(tmp_path):
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", MOST_BYTES + 1)
    with pytest.raises(OSError, match="larger than"):
        read_file(str(tmp_path / "huge"))


def test_paths_are_relative_to_the_folder():
    resolve = Resolver("/w")
    assert [resolve(path) for path in ("a", "./a/../b", "/x", "")] == ["/w/a", "/w/b", "/x", "/w"]
