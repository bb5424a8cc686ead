import os
import stat
import time
from pathlib import Path

import pytest

from octavo.store.checkpoints import Checkpoints, without
from octavo.store.errors import StoreError
from octavo.store.objects import Objects
from octavo.store.snapshot import FRESH_NS, Limits, Stopped, Taker, read_cache, write_cache


def taken(root, home, cache=None, **more):
    limits = more.pop("limits", Limits())
    return Taker(
        str(root),
        Objects(str(home / "objects")),
        limits=limits,
        cache=cache or {},
        now_ns=time.time_ns,
        **more,
    ).take()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def kinds(snapshot):
    return {path: entry.kind for path, entry in snapshot.tree.items()}


def test_everything_is_there_with_its_kind(root, tmp_path):
    (root / "f").write_text("f")
    (root / "l").symlink_to("/etc/passwd")
    (root / "empty").mkdir()
    (root / "untracked" / "deep").mkdir(parents=True)
    (root / "untracked" / "deep" / "f").write_text("x")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("x")
    (root / "inner").mkdir()
    (root / "inner" / ".git").write_text("gitdir: ../elsewhere")
    (root / "inner" / "f").write_text("x")
    os.mkfifo(root / "pipe")
    assert kinds(taken(root, tmp_path)) == {
        "f": "file",
        "l": "link",
        "empty": "folder",
        "untracked": "folder",
        "untracked/deep": "folder",
        "untracked/deep/f": "file",
        ".git": "git",
        "inner": "folder",
        "inner/.git": "git",
        "inner/f": "file",
        "pipe": "special",
    }


def test_a_second_look_at_an_unchanged_tree_reads_no_contents(root, tmp_path):
    for name in "abc":
        (root / name).write_text(name)
    first = taken(root, tmp_path)
    assert first.read_bytes == 3
    place = str(tmp_path / "cache")
    write_cache(place, str(root), first.states, time.time_ns() + 2 * FRESH_NS)
    second = taken(root, tmp_path, read_cache(place, str(root)))
    assert second.read_bytes == 0
    assert second.tree == first.tree


def test_a_file_changed_just_now_is_read_again_next_time(root, tmp_path):
    (root / "a").write_text("a")
    place = str(tmp_path / "cache")
    write_cache(place, str(root), taken(root, tmp_path).states, time.time_ns())
    assert read_cache(place, str(root)) == {}


def test_a_changed_file_is_noticed_although_size_and_time_are_the_same(root, tmp_path):
    (root / "a").write_text("old")
    first = taken(root, tmp_path)
    state = (root / "a").stat()
    (root / "a").write_text("new")
    os.utime(root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    second = taken(root, tmp_path, first.states)  # the time of the change of state tells
    assert second.tree["a"] != first.tree["a"]


def test_a_content_that_was_dropped_is_read_again(root, tmp_path):
    (root / "a").write_text("a")
    first = taken(root, tmp_path)
    Objects(str(tmp_path / "objects")).keep_only(())
    assert taken(root, tmp_path, first.states).read_bytes == 1


def test_what_the_last_look_saw_belongs_to_its_folder_and_may_be_lost(root, tmp_path):
    (root / "a").write_text("a")
    place = str(tmp_path / "cache")
    write_cache(place, str(root), taken(root, tmp_path).states, time.time_ns() + 2 * FRESH_NS)
    assert read_cache(place, "/elsewhere") == {}
    Path(place).write_bytes(b"\xff garbage")
    assert read_cache(place, str(root)) == {}


@pytest.mark.parametrize("mark", ["name", "tag", "venv", "ignored"])
def test_large_folders_that_a_tool_made_are_left_out_and_small_ones_kept(root, tmp_path, mark):
    folder = root / ("node_modules" if mark == "name" else "things")
    folder.mkdir()
    if mark == "tag":
        (folder / "CACHEDIR.TAG").write_text("x")
    if mark == "venv":
        (folder / "pyvenv.cfg").write_text("x")
    if mark == "ignored":
        (root / ".gitignore").write_text("# made\n/things/\n")
    for number in range(8):
        (folder / str(number)).write_text("x")
    assert kinds(taken(root, tmp_path))[folder.name] == "folder"
    few = kinds(taken(root, tmp_path, limits=Limits(many=5)))
    assert few[folder.name] == "left"
    assert not [path for path in few if path.startswith(folder.name + "/")]


def test_our_own_home_inside_the_workspace_is_left_out(root):
    home = root / "home"
    store = Checkpoints(str(home), now_ns=time.time_ns)
    (root / "f").write_text("x")
    with store.shared():
        assert kinds(store.state(str(root)).snapshot) == {"f": "file", "home": "left"}


def test_a_workspace_that_does_not_fit_is_refused_before_anything_is_read(root, tmp_path):
    (root / "a").write_bytes(b"0" * 600)
    (root / "b").write_bytes(b"0" * 600)
    with pytest.raises(StoreError, match="more than checkpoints may be") as refused:
        taken(root, tmp_path, limits=Limits(max_bytes=1000))
    assert "undo.max_bytes" in refused.value.hint
    assert not (tmp_path / "objects").exists()


def test_a_whole_disk_is_refused(root, tmp_path):
    for number in range(30):
        (root / str(number)).write_text("x")
    with pytest.raises(StoreError, match="more than 10 files"):
        taken(root, tmp_path, limits=Limits(max_entries=10))


def test_nobody_waits_for_what_was_given_up(root, tmp_path):
    for number in range(100):
        (root / str(number)).write_text("x")
    with pytest.raises(Stopped):
        taken(root, tmp_path, stopped=lambda: True)


def test_a_disk_without_space_is_one_line(root, tmp_path):
    (root / "a").write_text("x")
    (tmp_path / "objects").write_text("a file where the folder has to be")
    with pytest.raises(StoreError) as refused:
        taken(root, tmp_path)
    assert "\n" not in str(refused.value)


def test_folders_too_deep_to_reach_are_named(root, tmp_path):
    place = os.open(root, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    found = kinds(taken(root, tmp_path))
    assert list(found.values()).count("left") == 1
    os.system(f"rm -rf {root}/d")


def test_what_the_sandbox_puts_there_for_a_while_is_no_part_of_a_state(root, tmp_path):
    (root / ".codex").mkdir(mode=0o555)
    (root / ".git").mkdir(mode=0o555)
    (root / "mine").mkdir(mode=0o555)
    (root / "used").mkdir(mode=0o755)
    snapshot = taken(root, tmp_path)
    without(snapshot, str(root), [str(root / name) for name in (".codex", ".git", "used", "no")])
    assert sorted(snapshot.tree) == ["mine", "used"]


def test_contents_are_private(root, tmp_path):
    (root / "a").write_text("secret")
    taken(root, tmp_path)
    for path in (tmp_path / "objects").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
