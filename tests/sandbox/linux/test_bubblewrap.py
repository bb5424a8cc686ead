"""A plan in bubblewrap's words: the same operations in the same order."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("bubblewrap is Linux's", allow_module_level=True)

from octavo.sandbox.linux import bubblewrap
from octavo.sandbox.spec import Host, Plan, Policy

pytestmark = pytest.mark.linux

HOST = Host(uid=1000, gid=1000, machine="x86_64", abi=7)


def words(*steps, network="off"):
    plan = Plan("bubblewrap", (("identity", 1, 1), *steps), (), Policy((), network=network), HOST)
    return bubblewrap.arguments(plan, 9)


def pairs(found):
    return [found[i : i + 3] for i, word in enumerate(found) if word in ("--bind", "--ro-bind")]


def test_it_dies_with_us_and_our_python_is_pid_1():
    found = words(("seal", True))
    assert {"--die-with-parent", "--as-pid-1", "--unshare-pid", "--unshare-ipc"} <= set(found)


@pytest.mark.parametrize(("network", "alone"), [("off", True), ("none", True), ("on", False)])
def test_the_network_is_left_behind_unless_it_is_on(network, alone):
    assert ("--unshare-net" in words(("seal", True), network=network)) is alone


def test_rules_keep_their_order():
    found = pairs(words(("seal", True), ("pin", "/w/a"), ("write", "/w"), ("read", "/w/a/b")))
    assert found[:4] == [
        ["--ro-bind", "/", "/"], ["--ro-bind", "/w/a", "/w/a"], ["--bind", "/w", "/w"],
        ["--ro-bind", "/w/a/b", "/w/a/b"],
    ]  # fmt: skip


@pytest.mark.parametrize("sealed", [True, False])
def test_the_whole_tree_is_as_writable_as_the_plan_says(sealed):
    assert pairs(words(("seal", sealed)))[0][0] == ("--ro-bind" if sealed else "--bind")


def test_a_hidden_folder_is_empty_and_closed_at_the_end():
    found = words(("seal", True), ("mask", "/secret", "dir", ()))
    at = found.index("--perms")
    assert found[at : at + 4] == ["--perms", "0000", "--tmpfs", "/secret"]
    assert found.index("--remount-ro", at) > at


def test_a_hidden_file_is_unreadable_and_empty():
    found = words(("seal", True), ("mask", "/secret", "file", ()))
    at = found.index("--perms")
    assert found[at : at + 5] == ["--perms", "0000", "--ro-bind-data", "9", "/secret"]


def test_a_place_inside_a_hidden_folder_can_be_reached():
    found = words(
        ("seal", True), ("mask", "/home", "dir", ("/me/work:dir",)), ("write", "/home/me/work")
    )
    assert found[found.index("--dir") + 1] == "/home/me"


def test_what_bubblewrap_cannot_do_is_an_error_not_a_hole():
    with pytest.raises(OSError, match="cannot fix a symlink"):
        words(("seal", True), ("link", "/w/link"))


def test_memory_files_hold_what_they_were_given():
    fd = bubblewrap.memory_file(b"x" * 100_000, "test")
    try:
        assert os.read(fd, 200_000) == b"x" * 100_000
    finally:
        os.close(fd)


def test_only_an_absolute_place_is_searched(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not bubblewrap.find().startswith(str(tmp_path))
