import os

import pytest

from octavo.config.look import DiskLook, read_regular


def test_every_kind_is_told_without_following_links(tmp_path):
    (tmp_path / "file").write_text("x" * 5000)
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("../up")
    os.mkfifo(tmp_path / "pipe")
    look = DiskLook()
    kinds = {
        name: look.kind(str(tmp_path / name)) for name in ("file", "dir", "link", "pipe", "no")
    }
    assert kinds == {
        "file": "file",
        "dir": "dir",
        "link": "symlink",
        "pipe": "other",
        "no": "missing",
    }
    assert look.kind(str(tmp_path / "file" / "x")) == "missing"
    assert look.kind("/" + "x" * 5000) == "other"
    assert look.kind("/a\0b") == "other"


def test_reading_never_blocks_follows_or_raises(tmp_path):
    (tmp_path / "file").write_bytes(b"\xff" + b"x" * 5000)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    look = DiskLook()
    assert look.read_text(str(tmp_path / "file")) == "\udcff" + "x" * 4095
    for name in ("link", "pipe", "no", "."):
        assert look.read_text(str(tmp_path / name)) == ""
    assert look.readlink(str(tmp_path / "link")) == "file"
    assert look.readlink(str(tmp_path / "file")) == ""


def test_names_that_are_no_text_work(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n")
    os.mkdir(path)
    assert DiskLook().kind(path) == "dir"


def test_no_descriptor_is_left_open(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for name in ("pipe", "."):
        with pytest.raises(OSError, match="regular"):
            read_regular(str(tmp_path / name), 10)
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
