"""What a settled profile says to tools."""

import os

import pytest

from octavo.api.sandbox import PermissionProfile, Sandbox
from octavo.tools.launcher import ProfileAccess


def access(folder, **tables):
    profile = PermissionProfile.from_mapping(tables) if tables else Sandbox.read_only().profile
    return ProfileAccess(profile.settled(str(folder), {"HOME": "/nobody"}))


def test_paths_are_judged_as_named_and_where_they_lead(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    (tmp_path / "out").write_text("")
    os.symlink("../out", folder / "link")
    found = access(folder, filesystem={":root": "read", ":cwd": "write", "./secret": "none"})
    assert found.writes(f"{folder}/a/b")
    assert not found.writes(f"{folder}/link")
    assert not found.writes(f"{folder}/.git/config")
    assert not found.writes(f"{tmp_path}/out")
    assert found.reads(f"{tmp_path}/out")
    assert not found.reads(f"{folder}/secret/key")
    assert not found.reads("a\0b")
    assert (found.hides, found.read_only) == (True, False)


@pytest.mark.parametrize(
    ("network", "open_to_all"), [(False, False), (True, True), ({"allow": ["a.org"]}, False)]
)
def test_a_network_of_some_hosts_is_none_of_all(tmp_path, network, open_to_all):
    found = access(tmp_path, filesystem={":root": "read"}, network=network)
    assert found.network == open_to_all
    assert found.read_only
    assert not found.hides
