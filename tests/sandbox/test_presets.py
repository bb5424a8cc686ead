"""The modes of the short way say what the full settings say."""

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform == "win32":
    pytest.skip("paths as POSIX has them", allow_module_level=True)

from octavo.api.sandbox import settle
from octavo.policy.profile import preset
from octavo.policy.protect import NAMES
from octavo.protocol.permissions import Access
from octavo.sandbox import presets


def access_by(rules, path):
    """The deepest rule that names the path or a folder above it."""
    table = {rule[0]: rule[1] for rule in rules}
    while path not in table:
        if path == "/":
            return "none"
        path = os.path.dirname(path)
    return table[path]


@pytest.fixture
def places(tmp_path):
    """A workspace, a further root, a temporary folder, a home."""
    made = {}
    for name in ("work", "more", "temporary", "home"):
        (tmp_path / name).mkdir()
        made[name] = str(tmp_path / name)
    return made


def full(places, mode, **options):
    environ = {"TMPDIR": places["temporary"], "HOME": places["home"]}
    return settle(preset(mode, **options), places["work"], environ)


def questions(places):
    names = (
        "",
        "/file",
        "/.git",
        "/.git/hooks/x",
        "/.codex",
        "/.agents/x",
        "/.octavo",
        "/sub/.git",
    )
    folders = (*places.values(), "/tmp", "/etc", "/")
    return [folder.rstrip("/") + name or "/" for folder in folders for name in names]


def test_the_protected_names_are_the_same():
    assert presets.PROTECTED == NAMES


def test_read_only_is_the_same_rule(places):
    profile = full(places, "read-only")
    rules = presets.read_only()
    for path in questions(places):
        assert access_by(rules, path) == profile.access(path).value == "read"


@pytest.mark.parametrize("roots", [(), ("more",)])
def test_workspace_write_gives_every_path_the_same_access(places, roots):
    roots = tuple(places[name] for name in roots)
    home = places["home"]
    own = (f"{home}/.octavo", f"{home}/.codex")
    rules = presets.workspace_write(
        places["work"], tmpdir=places["temporary"], roots=roots, own=own
    )
    profile = full(places, "workspace-write", writable_roots=roots)
    for path in questions(places):
        if path.startswith(("/tmp/.", f"{places['temporary']}/.")):
            continue  # missing protected names in temporary folders: left out when planned
        assert access_by(rules, path) == profile.access(path).value, path


@pytest.mark.parametrize("slash_tmp", [False, True])
@pytest.mark.parametrize("tmpdir", [None, "/var/scratch"])
def test_temporary_folders_can_be_left_out(slash_tmp, tmpdir):
    rules = presets.workspace_write("/work", tmpdir=tmpdir, slash_tmp=slash_tmp)
    assert access_by(rules, "/tmp/x") == ("write" if slash_tmp else "read")
    assert access_by(rules, "/var/scratch/x") == ("write" if tmpdir else "read")


def test_our_own_folder_inside_a_writable_one_stays_closed():
    rules = presets.workspace_write("/work", own=("/work/home", "/elsewhere"))
    assert access_by(rules, "/work/home/config.toml") == Access.READ.value
    assert access_by(rules, "/work/file") == Access.WRITE.value


@given(st.sampled_from(["/work", "/", "/a/b", "/tmp"]), st.sampled_from(presets.PROTECTED))
def test_no_writable_folder_leaves_a_protected_name_open(folder, name):
    rules = presets.workspace_write(folder)
    assert access_by(rules, f"{folder.rstrip('/')}/{name}/x") == "read"
