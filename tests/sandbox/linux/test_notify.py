"""What a refused call was about: paths as the call itself would follow them."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("reads other processes as Linux allows it", allow_module_level=True)

import ctypes

from octavo.sandbox.linux import notify, seccomp

pytestmark = pytest.mark.linux

NOFOLLOW, CREAT, EXCL = 0o400000, 0o100, 0o200


def test_every_watched_call_has_its_paths_or_descriptor():
    known = {*notify.PATHS, *notify.DESCRIPTORS, *notify.ADDRESSES}
    watched = {*seccomp.WATCHED, *seccomp.WATCHED_READS}
    assert watched - known == set()
    assert set(notify.PATHS) - watched == set()


@pytest.mark.parametrize(("name", "flags", "expected"), [
    ("openat", 0, True), ("openat", NOFOLLOW, False), ("openat", CREAT, True),
    ("openat", CREAT | EXCL, False), ("unlink", 0, False), ("renameat2", 0, False),
    ("chmod", 0, True), ("lchown", 0, False), ("fchownat", 0, True), ("fchownat", 0x100, False),
    ("utimensat", 0x100, False), ("mkdir", 0, False), ("execve", 0, True), ("truncate", 0, True),
    ("setxattr", 0, True), ("lsetxattr", 0, False), ("chdir", 0, True), ("readlink", 0, False),
])  # fmt: skip
def test_the_last_part_of_a_path_is_followed_as_the_kernel_does(name, flags, expected):
    assert notify.follows(name, flags) is expected


@pytest.mark.parametrize("text", ["/a", "x" * 4000, "", "ü", os.fsdecode(b"/\xff\xfe\n")])
def test_a_path_is_read_from_the_memory_of_the_process(text):
    buffer = ctypes.create_string_buffer(os.fsencode(text))
    assert notify.read_path(os.getpid(), ctypes.addressof(buffer)) == text


def test_a_path_at_the_end_of_a_page_is_read_to_its_end():
    import mmap

    size = mmap.PAGESIZE
    pages = mmap.mmap(-1, size)
    text = b"/at/the/very/end\0"
    pages[size - len(text) :] = text
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size - len(text)
    assert notify.read_path(os.getpid(), address) == "/at/the/very/end"


def test_a_path_that_never_ends_is_an_error():
    buffer = ctypes.create_string_buffer(b"x" * 9000)
    with pytest.raises(OSError, match="too long"):
        notify.read_path(os.getpid(), ctypes.addressof(buffer))


def test_no_path_at_all_is_empty():
    assert notify.read_path(os.getpid(), 0) == ""


def test_a_pointer_to_nowhere_is_an_error():
    with pytest.raises(OSError, match=r"."):
        notify.read_path(os.getpid(), 8)


@pytest.mark.parametrize(("written", "follow", "expected"), [
    ("link", True, "real"), ("link", False, "link"), ("dir/../link", True, "real"),
    ("missing", True, "missing"), ("missing/below", True, "missing/below"), ("dirlink/x", False, "dir/x"),
    ("dir/", False, "dir"), ("dir/.", False, "dir"), ("loop", False, "loop"),
])  # fmt: skip
def test_a_path_leads_where_the_call_would_land(tmp_path, written, follow, expected):
    (tmp_path / "real").touch()
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dirlink").symlink_to("dir")
    (tmp_path / "loop").symlink_to("loop")
    assert notify.resolve(f"{tmp_path}/{written}", follow=follow) == f"{tmp_path}/{expected}"


@pytest.mark.parametrize(
    "path", ["/dev/stderr", "/dev/fd/1", "/proc/self/fd/1", "/dev/null", "/proc/self/status"]
)
def test_our_own_descriptors_are_never_taken_for_the_commands(path):
    assert notify.resolve(path, follow=True) == path


def test_a_descriptor_of_the_command_leads_to_its_file(tmp_path):
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        me = os.getpid()
        assert notify.own_descriptor(me, f"/proc/self/fd/{fd}") == str(tmp_path / "file")
        assert notify.own_descriptor(me, f"/dev/fd/{fd}") == str(tmp_path / "file")
        assert notify.own_descriptor(me, "/dev/fd/x") == "/dev/fd/x"
        (tmp_path / "file").unlink()
        assert notify.own_descriptor(me, f"/dev/fd/{fd}") == f"/dev/fd/{fd}"
    finally:
        os.close(fd)


def test_the_facts_of_a_place(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    facts = {}
    for name in ("dir", "file", "missing", "missing/x"):
        place = notify.Place(name, str(tmp_path / name))
        facts[name] = (
            place.kind,
            place.exists,
            place.empty,
            place.folder_exists,
            place.folder_writable,
        )
    assert facts == {
        "dir": ("dir", True, True, True, True), "file": ("file", True, False, True, True),
        "missing": ("missing", False, False, True, True), "missing/x": ("missing", False, False, False, False),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "args", "expected"), [
    ("openat", (0, 0, 0o101, 0, 0, 0), 0o101), ("creat", (0,) * 6, 0o1101), ("unlinkat", (0, 0, 0x200, 0, 0, 0), 0x200),
    ("renameat2", (0, 0, 0, 0, 2, 0), 2), ("mkdir", (0, 0o777, 0, 0, 0, 0), 0),
])  # fmt: skip
def test_the_flags_of_a_call(name, args, expected):
    assert notify.flags_of(name, os.getpid(), args) == expected
