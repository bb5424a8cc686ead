"""A plan holds while the paths it looked at are what they were."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("inodes and folder times as POSIX has them", allow_module_level=True)

from octavo.sandbox.stale import Footprint, stamp


@pytest.fixture(params=["settled", "just made"])
def tree(tmp_path, request):
    """With old folder times the quick answer is used, with new ones every entry is looked at."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("file")
    if request.param == "settled":
        os.utime(folder, (1, 1))
        os.utime(tmp_path, (1, 1))
    return folder


def paths(tree):
    return [str(tree / name) for name in ("file", "link", "missing")] + [str(tree)]


def test_an_unchanged_disk_is_not_stale(tree):
    footprint = Footprint(paths(tree))
    assert not footprint.stale()
    assert not footprint.stale()


@pytest.mark.parametrize("change", [
    lambda tree: (tree / "missing").write_text("now there"),
    lambda tree: (tree / "file").unlink(),
    lambda tree: ((tree / "other").write_text("x"), (tree / "other").rename(tree / "file")),
    lambda tree: ((tree / "file").unlink(), (tree / "file").mkdir()),
    lambda tree: (tree.rename(tree.with_name("moved")), tree.mkdir()),
], ids=["made", "removed", "replaced", "another kind", "folder moved"])  # fmt: skip
def test_a_path_that_is_something_else_now_is_stale(tree, change):
    footprint = Footprint(paths(tree))
    change(tree)
    assert footprint.stale()


# A file system gives the number of a removed file to the next one, so a number says too little:
# a view built before would protect something that is no longer there.
@pytest.mark.parametrize("change", [
    lambda tree: ((tree / "link").unlink(), (tree / "link").symlink_to("elsewhere")),
    lambda tree: ((tree / "file").unlink(), (tree / "file").write_text("another")),
    lambda tree: ((tree / "empty").rmdir(), (tree / "empty").mkdir()),
], ids=["link", "file", "folder"])  # fmt: skip
def test_what_was_removed_and_made_again_is_another_thing(tree, change):
    (tree / "empty").mkdir()
    footprint = Footprint([*paths(tree), str(tree / "empty")])
    change(tree)
    assert footprint.stale()


@pytest.mark.parametrize("change", [
    lambda tree: (tree / "neighbour").write_text("not ours"),
    lambda tree: (tree / "file").write_text("other content"),
    lambda tree: (tree / "file").chmod(0o600),
], ids=["a neighbour", "content", "mode"])  # fmt: skip
def test_what_a_plan_does_not_depend_on_may_change(tree, change):
    footprint = Footprint(paths(tree))
    change(tree)
    assert not footprint.stale()


def test_a_change_after_a_harmless_one_is_still_seen(tree):
    footprint = Footprint(paths(tree))
    (tree / "neighbour").write_text("x")
    assert not footprint.stale()
    (tree / "file").unlink()
    assert footprint.stale()


def test_a_folder_that_is_missing_from_the_start_may_appear(tmp_path):
    footprint = Footprint([str(tmp_path / "a/b")])
    assert not footprint.stale()
    (tmp_path / "a").mkdir()
    assert not footprint.stale()
    (tmp_path / "a/b").mkdir()
    assert footprint.stale()


def test_nothing_to_depend_on_is_never_stale():
    assert not Footprint([]).stale()


def test_a_symlink_is_stamped_itself(tree):
    assert stamp(str(tree / "link")) != stamp(str(tree / "file"))
    assert stamp(str(tree / "missing")) is None
