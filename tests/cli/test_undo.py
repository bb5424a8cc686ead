import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from octavo.protocol.ids import ThreadId
from octavo.store.audit import AuditLog
from octavo.store.checkpoints import After, Before, Checkpoints, RootTree
from octavo.store.disk import DiskStore
from octavo.store.lock import ThreadLock
from octavo.store.rollout import ResponseItem, SessionMeta, stamp

THREAD = ThreadId("0195d1a0-0000-7000-8000-000000000001")
GOLDEN = Path(__file__).parents[1] / "golden" / "undo"
NOW = 1_763_684_998_061


@pytest.fixture
def told(octavo):
    """A thread of this folder with one turn that changed files in every way."""
    root = octavo.cwd
    store = DiskStore(str(octavo.home), now_ms=lambda: NOW)
    meta = SessionMeta(
        id=THREAD, timestamp=stamp(NOW), cwd=str(root), originator="o", cli_version="1"
    )
    store.create(meta).close()
    (root / "changed").write_text("one\ntwo\n")
    (root / "removed").write_text("gone\n")
    (root / "tool").write_text("#!\n")
    (root / "link").symlink_to("changed")
    states = Checkpoints(str(octavo.home), now_ns=time.time_ns)

    def roots():
        with states.shared():
            tree = states.state(str(root)).tree
        return (RootTree(path=os.fsencode(root), tree=tree),)

    states.note(THREAD, Before(turn="t", roots=roots(), at_ms=1))
    (root / "changed").write_text("one\n2\n")
    (root / "removed").unlink()
    (root / "tool").chmod(0o755)
    (root / "link").unlink()
    (root / "link").symlink_to("tool")
    (root / "new").mkdir()
    (root / "new" / "pïc\n").write_bytes(b"\0\1")
    states.note(THREAD, After(turn="t", roots=roots(), at_ms=2))
    return root


def matches(name, text, home):
    """The text is what the golden file says; OCTAVO_REWRITE_GOLDEN=1 writes it anew."""
    text = text.replace(str(home.parent), "<top>")
    path = GOLDEN / name
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("diff", ["diff"]),
        ("stat", ["diff", "--stat"]),
        ("dry", ["undo", "--dry-run"]),
        ("undo", ["undo"]),
        ("json", ["undo", "--json"]),
    ],
)
def test_what_people_and_programs_see(octavo, told, name, words):
    done = octavo(*words)
    assert (done.returncode, done.stderr) == (0, "")
    matches(f"{name}.txt", done.stdout, octavo.home)


def test_undo_and_redo_by_the_command_line(octavo, told):
    assert octavo("undo", THREAD).returncode == 0
    assert (told / "changed").read_text() == "one\ntwo\n"
    assert not (told / "new").exists()
    assert octavo("redo").returncode == 0
    assert (told / "changed").read_text() == "one\n2\n"
    assert (told / "new" / "pïc\n").read_bytes() == b"\0\1"


def test_a_dry_run_changes_nothing(octavo, told):
    octavo("undo", "--dry-run")
    assert (told / "changed").read_text() == "one\n2\n"
    assert octavo("undo").returncode == 0


def test_the_model_hears_of_it_when_the_thread_goes_on(octavo, told):
    octavo("undo")
    thread = DiskStore(str(octavo.home), now_ms=lambda: NOW).read(THREAD)
    assert "undid the file changes of one turn" in thread.items[-1].text
    assert isinstance(ResponseItem(thread.items[-1]), ResponseItem)


def test_what_was_changed_since_is_named_and_kept(octavo, told):
    (told / "changed").write_text("mine\n")
    done = octavo("undo")
    assert done.returncode == 1
    assert f"changed since the turn ended: {told}/changed; nothing was undone" in done.stderr
    assert (told / "changed").read_text() == "mine\n"
    assert (told / "new").exists()
    assert octavo("undo", "--force").returncode == 0
    assert (told / "changed").read_text() == "one\ntwo\n"


def test_undo_while_the_thread_is_open_is_refused(octavo, told):
    lock = ThreadLock(str(octavo.home), THREAD)
    try:
        done = octavo("undo")
    finally:
        lock.release()
    assert done.returncode == 1
    assert f"is being written by process {os.getpid()}" in done.stderr
    assert (told / "changed").read_text() == "one\n2\n"


def test_where_no_thread_was_nothing_is_undone(octavo):
    done = octavo("undo")
    assert done.returncode == 1
    assert "there is no thread in" in done.stderr
    assert octavo("redo", THREAD).returncode == 1
    assert octavo("diff", "nobody").returncode == 1


def test_more_turns_than_there_are_is_one_clear_line(octavo, told):
    done = octavo("undo", "--turns", "3")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].endswith("has only 1 turn that can be undone")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("way", ["--finish", "--roll-back"])
def test_an_undo_that_was_killed_is_brought_to_an_end(octavo, told, way):
    import subprocess

    killed = (
        "import os, sys\n"
        "from octavo.store import apply as hands\n"
        "real, hands.Under.move = hands.Under.move, lambda *a: os.kill(os.getpid(), 9)\n"
        "sys.argv = ['octavo', 'undo']\n"
        "from octavo._boot import main\n"
        "sys.exit(main())\n"
    )
    run = [sys.executable, "-c", killed]
    done = subprocess.run(run, env=octavo.environ(), cwd=told, timeout=60)
    assert done.returncode == -9
    refused = octavo("undo")
    assert refused.returncode == 1
    assert "was cut off in the middle" in refused.stderr
    assert way in refused.stderr
    assert octavo("undo", way).returncode == 0
    wanted = "one\ntwo\n" if way == "--finish" else "one\n2\n"
    assert (told / "changed").read_text() == wanted
    assert (told / "new").exists() == (way == "--roll-back")
    assert octavo("undo", way).returncode == 2
    left = [name for _, _, names in os.walk(told) for name in names if name.startswith(".octavo")]
    assert left == []


def test_undo_is_in_the_audit_record(octavo, told):
    octavo("undo")
    done = octavo("audit", "report", "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["kind"] == "undo"
    assert row["facts"]["turns"] == ["t"]


# ---- the record -----------------------------------------------------------------------------------


@pytest.fixture
def record(octavo, told):
    log = AuditLog(str(octavo.home), THREAD, now_ms=lambda: NOW)
    rule = "sandbox: workspace-write"
    log.add("start", {"argv": ["ls", "x\ny"], "rule": rule}, turn="t")
    facts = {"argv": ["ls", "x\ny"], "status": "failed", "exit_code": 2, "rule": rule}
    log.add("command", facts, turn="t")
    log.add("host", {"host": "example.org:443", "verdict": "denied", "rule": "network off"})
    files = [{"path": "/w/a", "change": "add"}]
    log.add("file_change", {"status": "completed", "files": files, "rule": rule})
    log.add("decision", {"argv": ["rm"], "decision": "deny", "by": "asked", "rule": "on-request"})
    return Path(log.path)


def test_a_record_is_read_by_people(octavo, record):
    done = octavo("audit", "report")
    matches("audit.txt", done.stdout, octavo.home)


def test_a_whole_record_is_called_so(octavo, record):
    done = octavo("audit", "verify")
    assert (done.returncode, done.stdout) == (0, f"whole   {record}: 5 lines\n")
    assert octavo("audit", "verify", THREAD).stdout == done.stdout
    assert octavo("audit", "verify", str(record)).stdout == done.stdout


def test_a_broken_record_ends_with_one_and_names_the_line(octavo, record):
    record.write_text(record.read_text().replace('"exit_code":2', '"exit_code":0'))
    done = octavo("audit", "verify", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["broken_line"] == 2
    assert "edited" in octavo("audit", "verify").stdout


def test_a_record_that_is_gone_is_noticed(octavo, record):
    record.unlink()
    done = octavo("audit", "verify")
    assert done.returncode == 1
    assert "the file is gone" in done.stdout


def test_without_a_record_there_is_one_clear_line(octavo, told):
    shutil.rmtree(octavo.home / "audit", ignore_errors=True)
    done = octavo("audit", "report")
    assert done.returncode == 1
    assert "no thread of this folder has an audit record" in done.stderr
    done = octavo("audit", "verify")
    assert done.returncode == 1
    assert "nothing was checked" in done.stderr
