import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_turn import turn

from octavo.protocol.history import Message
from octavo.store.errors import StoreError, ThreadBusy
from octavo.store.log import RolloutWriter
from octavo.store.rollout import Other, TaskStarted

resource = pytest.importorskip("resource")


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def test_lines_are_numbered_without_gaps(room):
    found = lines_of(room.path(room.thread("a", "b")))
    assert [line["ordinal"] for line in found] == list(range(25))
    assert list(found[0]) == ["timestamp", "ordinal", "type", "payload"]
    assert found[0]["payload"]["history_mode"] == "paginated"


def test_what_is_written_looks_like_this(room, request):
    golden = Path(request.path).parents[1] / "golden" / "store" / "rollout.jsonl"
    written = Path(room.path(room.thread("list the files"))).read_text()
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(written)
    assert written == golden.read_text()


def test_only_the_owner_may_read_a_thread(room):
    path = Path(room.path(room.thread("a")))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_the_older_form_stays_one(room):
    meta = room.meta()
    path = Path(room.home, "sessions/2026/01/01", f"rollout-2026-01-01T00-00-00-{meta.id}.jsonl")
    RolloutWriter.create(str(path), meta, home=room.home, now_ms=room.clock).close()
    _, log = room.store.open(meta.id)

    log.append(*turn(meta.id, "t1", "hello"))
    log.close()
    found = lines_of(path)
    assert not any("ordinal" in line for line in found)
    events = [line["payload"]["type"] for line in found if line["type"] == "event_msg"]
    assert events == [
        "task_started",
        "user_message",
        "agent_message",
        "token_count",
        "task_complete",
    ]
    assert [item.text for item in room.store.read(meta.id).items if isinstance(item, Message)] == [
        "hello", "answer to hello",
    ]  # fmt: skip
    assert [item.id for _, item in room.store.items(meta.id)] == ["item_0", "item_1"]


def test_two_writers_are_refused_and_the_first_is_named(room):
    thread = room.thread("a")
    _, log = room.store.open(thread)
    with pytest.raises(ThreadBusy, match=f"is being written by process {os.getpid()}") as caught:
        room.store.open(thread)
    assert caught.value.pid == os.getpid()
    log.close()
    room.store.open(thread)[1].close()
    assert not os.listdir(Path(room.home, "thread-writer-locks"))


HOLD = """
import sys
from octavo.store.disk import DiskStore
store = DiskStore(sys.argv[1], now_ms=lambda: 1)
store.open(sys.argv[2])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_process_that_was_killed_leaves_no_lock(room):
    thread = room.thread("a")
    argv = [sys.executable, "-c", HOLD, room.home, thread]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(ThreadBusy, match=f"process {other.pid}"):
            room.store.open(thread)
        room.store.read(thread)
        other.kill()
    room.store.open(thread)[1].close()


def test_a_full_disk_costs_only_the_lines_that_did_not_fit(room):
    thread = room.thread("a")
    _, log = room.store.open(thread)
    before = Path(log.path).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(StoreError, match="cannot be written: File too large") as caught:
            log.append(Other("event_msg", {"type": "x", "text": "y" * 5000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).isprintable()
    assert Path(log.path).read_bytes() == before
    log.append(TaskStarted(turn_id="t"))
    log.close()
    assert [line["ordinal"] for line in lines_of(log.path)] == list(range(14))


def test_lines_of_a_program_that_ignores_the_lock_are_kept(room):
    thread = room.thread("a")
    _, log = room.store.open(thread)
    with open(log.path, "ab") as file:
        file.write(b'{"theirs":1}\n')
    with pytest.raises(ThreadBusy, match="changed by another program"):
        log.append(TaskStarted(turn_id="t"))
    log.close()
    assert Path(log.path).read_bytes().endswith(b'{"theirs":1}\n')


@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_one_line(room):
    os.makedirs(room.home, mode=0o500)
    with pytest.raises(StoreError, match="cannot be written: Permission denied"):
        room.store.create(room.meta())


def test_a_file_where_the_home_should_be_is_one_line(tmp_path, room):
    Path(room.home).write_text("")
    with pytest.raises(StoreError, match=r"cannot be written: (Not a directory|File exists)"):
        room.store.create(room.meta())


def test_a_closed_log_refuses_lines(room):
    _, log = room.store.open(room.thread("a"))
    log.close()
    log.close()
    with pytest.raises(StoreError, match="is closed"):
        log.append(TaskStarted(turn_id="t"))
