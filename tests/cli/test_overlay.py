"""`octavo keep` and `drop` as people use them."""

import json
import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("overlays are Linux's", allow_module_level=True)

from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.ids import ThreadId
from octavo.store.disk import DiskStore
from octavo.store.overlay import begin, find
from octavo.store.rollout import SessionMeta, stamp
from octavo.testing import ModelServer

pytestmark = pytest.mark.linux
THREAD = ThreadId("0195d1a0-0000-7000-8000-000000000001")
NOW = 1_763_684_998_061


@pytest.fixture
def layered(octavo):
    """A thread of this folder with an overlay that changes one file and adds another."""
    (octavo.cwd / "kept").write_text("before\n")
    store = DiskStore(str(octavo.home), now_ms=lambda: NOW)
    meta = SessionMeta(
        id=THREAD, timestamp=stamp(NOW), cwd=str(octavo.cwd), originator="o", cli_version="1"
    )
    store.create(meta).close()
    try:
        made = begin(str(octavo.home), THREAD, os.path.realpath(octavo.cwd), mounts="")
    except SandboxUnavailable as wrong:
        pytest.skip(str(wrong))
    for name in ("kept", "new"):
        with open(os.path.join(made.upper, name), "w") as file:
            file.write("after\n")
    return octavo.cwd


def test_what_is_kept_can_be_undone(octavo, layered):
    shown = octavo("keep", "--dry-run")
    assert (shown.returncode, shown.stdout) == (0, "~ kept\n+ new\n2 paths would be kept\n")
    done = octavo("keep")
    assert (done.returncode, done.stdout) == (0, "~ kept\n+ new\n2 paths kept\n")
    assert (layered / "kept").read_text() == "after\n"
    assert octavo("undo").returncode == 0
    assert (layered / "kept").read_text() == "before\n"
    assert not (layered / "new").exists()
    again = octavo("keep")
    assert again.returncode != 0
    assert "has no overlay" in again.stderr


def test_a_conflict_is_named_and_force_goes_on(octavo, layered):
    (layered / "kept").write_text("mine\n")
    refused = octavo("keep", "--json")
    assert refused.returncode != 0
    assert json.loads(refused.stdout)["conflicts"] == ["kept"]
    assert "--force" in refused.stderr
    assert (layered / "kept").read_text() == "mine\n"
    assert octavo("keep", "--force", "--no-undo").returncode == 0
    assert (layered / "kept").read_text() == "after\n"


def test_dropping_leaves_the_folder_as_it_is(octavo, layered):
    done = octavo("drop", THREAD)
    assert done.returncode == 0
    assert find(str(octavo.home), THREAD) is None
    assert sorted(os.listdir(layered)) == ["kept"]
    assert (layered / "kept").read_text() == "before\n"


def test_a_run_leaves_the_folder_alone_and_says_how_to_go_on(octavo, workspace):
    (workspace / ".git").mkdir()
    (workspace / "kept").write_text("before\n")
    patch = "*** Begin Patch\n*** Update File: kept\n@@\n-before\n+after\n*** End Patch"
    with ModelServer().calls_custom("apply_patch", patch).says("Done.") as server:
        octavo.config(
            'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\n'
            f'base_url = "{server.url}"\n'
        )
        words = ("exec", "--overlay", "-s", "workspace-write", "go")
        done = octavo(*words, env={"HOME": str(octavo.home)}, cwd=workspace)
    if done.returncode == 5:
        pytest.skip(f"no overlay here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "octavo keep" in done.stderr
    assert (workspace / "kept").read_text() == "before\n"
    kept = octavo("keep", cwd=workspace)
    assert (kept.returncode, kept.stdout) == (0, "~ kept\n1 paths kept\n")
    assert (workspace / "kept").read_text() == "after\n"
