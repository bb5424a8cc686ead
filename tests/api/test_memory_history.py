"""The history of memories: kept by git that obeys nobody, and nothing missing without git."""

import os
import shutil
import subprocess
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no history on Windows yet", allow_module_level=True)

from octavo.api.memory_history import MemoryHistory, commit_stream
from octavo.engine.memories import DIFF_BYTES

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def history(tmp_path, **more):
    (tmp_path / "state").mkdir(exist_ok=True)
    return MemoryHistory(str(tmp_path / "state/history.git"), {**os.environ, **more})


def shown(tmp_path, name):
    words = ("git", "--git-dir", tmp_path / "state/history.git", "show", name)
    return subprocess.run(words, capture_output=True, check=True, timeout=30).stdout


@needs_git
async def test_what_changed_since_the_last_merging_is_shown(tmp_path):
    kept = history(tmp_path)
    assert await kept.changes({"a.md": b"1\n"}, now_s=1) is None
    await kept.merged({"a.md": b"2\n"}, now_s=2)
    diff = await history(tmp_path).changes({"a.md": b"3\n", "s/ b.md": b"new\n"}, now_s=3)
    assert b"-2\n+3\n" in diff
    assert b"+new\n" in diff
    assert b"1" not in diff.replace(b"@@ -1 +1 @@", b"").split(b"index")[0]
    assert shown(tmp_path, "merged:a.md") == b"2\n"
    assert shown(tmp_path, "now:s/ b.md") == b"new\n"
    assert await kept.changes({"a.md": b"2\n"}, now_s=4) == b""


@needs_git
async def test_a_diff_has_at_most_four_mebibytes(tmp_path):
    kept = history(tmp_path)
    await kept.merged({}, now_s=1)
    big = {f"{n}.md": (b"%d" % n * 60 + b"\n") * 16_000 for n in range(6)}
    assert len(await kept.changes(big, now_s=2)) == DIFF_BYTES


@needs_git
async def test_settings_of_the_user_and_attributes_of_the_folder_are_not_obeyed(tmp_path):
    trap = tmp_path / "trapped"
    (tmp_path / ".gitconfig").write_text(
        f"[diff]\n\texternal = touch {trap}\n[core]\n\tpager = touch {trap}\n"
        f'[diff "x"]\n\ttextconv = touch {trap}\n[init]\n\ttemplateDir = {tmp_path}\n'
    )
    kept = history(tmp_path, HOME=str(tmp_path), GIT_EXTERNAL_DIFF=f"touch {trap}")
    await kept.merged({".gitattributes": b"* diff=x filter=x\n", "a.md": b"1\n"}, now_s=1)
    assert b"+2" in await kept.changes({"a.md": b"2\n"}, now_s=2)
    assert not trap.exists()


async def test_without_git_there_is_no_diff_and_no_error(tmp_path):
    kept = history(tmp_path, PATH=str(tmp_path))
    assert await kept.changes({"a.md": b"1"}, now_s=1) is None
    await kept.merged({"a.md": b"1"}, now_s=1)
    assert list((tmp_path / "state").iterdir()) == []


@needs_git
async def test_a_repository_that_is_broken_is_no_error(tmp_path):
    kept = history(tmp_path)
    await kept.merged({"a.md": b"1"}, now_s=1)
    (tmp_path / "state/history.git/HEAD").write_text("what?")
    shutil.rmtree(tmp_path / "state/history.git/refs")
    (tmp_path / "state/history.git/refs").write_text("no folder")
    assert await kept.changes({"a.md": b"1"}, now_s=1) is None


def test_the_stream_of_a_commit_names_every_file_once_and_no_other():
    stream = commit_stream({"b": b"2\n", "a": b"1"}, "words", now_s=5, grown=True)
    assert stream == (
        b"commit refs/heads/now\ncommitter Octavo <> 5 +0000\ndata 5\nwords\n"
        b"from refs/heads/now^0\ndeleteall\n"
        b"M 100644 inline a\ndata 1\n1\nM 100644 inline b\ndata 2\n2\n\n"
    )
