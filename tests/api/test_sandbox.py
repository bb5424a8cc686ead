"""Policies as a program writes them: asked before anything runs, refused with a reason."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("paths as POSIX has them", allow_module_level=True)

import octavo
from octavo import Access, PermissionProfile, PolicyError, Sandbox, UsageError


@pytest.fixture
def profile(workspace):
    (workspace / "secrets").mkdir()
    mapping = {"filesystem": {":root": "read", ":cwd": "write", "./secrets": "none"}}
    return PermissionProfile.from_mapping(mapping, cwd=workspace)


@pytest.mark.parametrize(("path", "access"), [
    ("file", Access.WRITE), ("./a/b", Access.WRITE), ("secrets", Access.NONE),
    ("secrets/deep/x", Access.NONE), ("/etc/passwd", Access.READ), ("..", Access.READ),
    (".git", Access.READ), (".codex/config.toml", Access.READ), ("secrets/../file", Access.WRITE),
])  # fmt: skip
def test_a_profile_answers_for_any_path(profile, path, access):
    assert profile.access(path) is access


def test_a_symlink_counts_at_both_ends(profile, workspace):
    (workspace / "door").symlink_to("secrets")
    (workspace / "out").symlink_to("/etc/passwd")
    assert profile.access("door/key") is Access.NONE
    assert profile.access("out") is Access.READ


def test_an_explanation_is_one_sentence_with_its_rule(profile, workspace):
    found = profile.explain("secrets/key")
    assert found.path == str(workspace / "secrets/key")
    assert "secrets" in found.rule.text
    assert str(found).startswith(f"{workspace}/secrets/key: may not be read or written: ")
    assert "\n" not in str(found)


def test_relative_paths_lie_in_the_folder_of_this_process(monkeypatch, workspace):
    monkeypatch.chdir(workspace)
    (workspace / "x").mkdir()
    profile = PermissionProfile.from_mapping({"filesystem": {":root": "read", "./x": "write"}})
    assert profile.access(workspace / "x/y") is Access.WRITE


@pytest.mark.parametrize(("mapping", "word"), [
    ({"filesystem": {":root": "everything"}}, "everything"),
    ({"filesystem": {":rot": "read"}}, ":rot"),
    ({"filesystem": ["/"]}, "filesystem"),
    ({"files": {}}, "files"),
    ({"network": "yes"}, "network"),
    ({"network": {"allow": "host"}}, "allow"),
    ({"filesystem": {"relative/path": "read"}}, "relative"),
    ({"filesystem": {"": "read"}}, ""),
    ({"extends": ":nothing"}, ":nothing"),
])  # fmt: skip
def test_a_wrong_mapping_is_a_wrong_use_that_names_the_word(mapping, word):
    with pytest.raises(UsageError) as caught:
        PermissionProfile.from_mapping(mapping)
    assert word in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_whole_disk_is_no_writable_folder():
    with pytest.raises(PolicyError):
        Sandbox.workspace_write(writable_roots=["/"])


def test_the_home_folder_is_no_workspace(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PolicyError):
        Sandbox.workspace_write().profile.settled(str(tmp_path))


def test_modes_are_what_their_names_say(workspace):
    settled = {
        "read-only": Sandbox.read_only().profile.settled(str(workspace)),
        "workspace": Sandbox.workspace_write().profile.settled(str(workspace)),
        "full": Sandbox.danger_full_access().profile.settled(str(workspace)),
    }
    inside = str(workspace / "file")
    assert {name: one.access(inside).value for name, one in settled.items()} == {
        "read-only": "read", "workspace": "write", "full": "write",
    }  # fmt: skip
    assert [name for name, one in settled.items() if one.unrestricted] == ["full"]
    assert not settled["workspace"].network.enabled
    assert Sandbox.workspace_write(network=True).profile.settled(str(workspace)).network.enabled


def test_git_write_opens_the_index_and_keeps_hooks_closed(workspace):
    for folder in ("objects", "refs", "hooks"):
        (workspace / ".git" / folder).mkdir(parents=True)
    (workspace / ".git/HEAD").write_text("ref: refs/heads/main\n")
    settled = Sandbox.workspace_write(git_write=True).profile.settled(str(workspace))
    assert settled.access(str(workspace / ".git/index")) is Access.WRITE
    assert settled.access(str(workspace / ".git/hooks/x")) is Access.READ
    assert settled.access(str(workspace / ".git/config")) is Access.READ


def test_our_own_home_stays_closed_wherever_it_lies(workspace, monkeypatch):
    (workspace / "own").mkdir()
    monkeypatch.setenv("OCTAVO_HOME", str(workspace / "own"))
    profile = Sandbox.workspace_write().profile
    assert (
        profile.settled(str(workspace), os.environ).access(str(workspace / "own/x")) is Access.READ
    )


def test_every_public_name_loads_and_is_listed():
    for name in octavo.__all__:
        assert getattr(octavo, name) is not None
    assert dir(octavo) == octavo.__all__
    with pytest.raises(AttributeError, match="no_such_name"):
        octavo.no_such_name  # noqa: B018
