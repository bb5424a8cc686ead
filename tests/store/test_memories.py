"""Records and leases of memories: whole or not at all, one process at a time, nothing followed."""

import multiprocessing
import os
import sys

import pytest

from octavo.store.errors import StoreError
from octavo.store.memories import (
    LEASE_MS,
    MERGING,
    MOST_BYTES,
    RAW,
    SUMMARIES,
    Memory,
    MemoryStore,
)

A = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001"
B = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002"


class Clock:
    def __init__(self):
        self.ms = 1_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    found = MemoryStore(str(tmp_path), now_ms=clock)
    found.prepare()
    return found


def leftovers(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.name.startswith(".new-")]


# ---- records ----------------------------------------------------------------------------------


def test_a_record_is_read_as_it_was_kept(store, tmp_path):
    memory = Memory(thread=A, slug="s", raw_memory="x\n", cwd="/w", source_ms=1, made_ms=2)
    store.keep(memory)
    assert store.get(A) == memory
    assert store.all() == (memory,)
    assert leftovers(tmp_path) == []


def test_reading_a_thread_anew_keeps_its_uses_and_its_mark(store, clock):
    store.keep(Memory(thread=A, slug="s", raw_memory="old"))
    store.used(["s", "other"])
    store.used(["s"])
    store.pollute(A)
    store.keep(Memory(thread=A, slug="s", raw_memory="new"))
    found = store.get(A)
    assert (found.raw_memory, found.uses, found.used_ms, found.polluted) == (
        "new", 2, clock.ms, True,
    )  # fmt: skip


def test_a_thread_can_be_marked_before_it_is_read(store):
    store.pollute(A)
    assert store.get(A) == Memory(thread=A, polluted=True)
    assert store.get(A).empty


@pytest.mark.parametrize("text", ["", "{", "[]", '{"thread": 1}', "\xff\xfe", '{"slug": "x"}'])
def test_a_damaged_record_is_one_warning_and_the_others_are_there(store, tmp_path, text):
    store.keep(Memory(thread=B, raw_memory="x"))
    (tmp_path / "state/memories/threads" / f"{A}.json").write_bytes(text.encode("latin-1"))
    for _ in range(3):
        assert [found.thread for found in store.all()] == [B]
    (warning,) = store.warnings
    assert f"{A}.json" in warning
    store.keep(Memory(thread=A, raw_memory="again"))
    assert store.get(A).raw_memory == "again"


def test_a_record_under_another_name_is_not_believed(store, tmp_path):
    store.keep(Memory(thread=A, raw_memory="x"))
    folder = tmp_path / "state/memories/threads"
    (folder / f"{A}.json").rename(folder / f"{B}.json")
    assert store.all() == ()


@pytest.mark.parametrize("name", ["", "..", "../../x", "x/y", "\0"])
def test_only_ids_of_threads_become_file_names(store, name):
    with pytest.raises(StoreError, match="is not the id of a thread"):
        store.keep(Memory(thread=name))
    with pytest.raises(StoreError, match="is not the id of a thread"):
        store.lease(name)


# ---- leases -----------------------------------------------------------------------------------


def test_a_job_is_leased_once_and_again_after_an_hour(store, clock, tmp_path):
    other = MemoryStore(str(tmp_path), now_ms=clock)
    assert store.lease(A)
    assert not other.lease(A)
    assert other.lease(MERGING)
    clock.ms += LEASE_MS - 1
    assert not other.lease(A)
    clock.ms += 1
    assert other.lease(A)


def test_what_failed_waits_an_hour_and_what_is_done_does_not(store, clock):
    assert store.lease(A)
    clock.ms += LEASE_MS // 2
    store.failed(A)
    clock.ms += LEASE_MS // 2
    assert not store.lease(A)
    store.release(A)
    store.release(A)
    assert store.lease(A)


def test_a_lease_of_a_clock_that_was_ahead_is_not_kept_for_ever(store, clock):
    clock.ms += 10 * LEASE_MS
    assert store.lease(A)
    clock.ms -= 10 * LEASE_MS
    assert store.lease(A)


def test_a_damaged_lease_is_a_lease_nobody_has(store, tmp_path):
    (tmp_path / "state/memories/leases" / f"{A}.json").write_text("half")
    assert store.lease(A)
    assert not store.lease(A)


def take(home, gate, answers):
    store = MemoryStore(home, now_ms=lambda: 5)
    gate.wait()
    answers.put([store.lease(thread) for thread in (A, B)])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
def test_of_many_processes_at_most_one_gets_each_job(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Event(), context.Queue()
    crowd = [
        context.Process(target=take, args=(str(tmp_path), gate, answers), daemon=True)
        for _ in range(4)
    ]
    for one in crowd:
        one.start()
    gate.set()
    got = [answers.get(timeout=60) for _ in crowd]
    for one in crowd:
        one.join(timeout=60)
    assert all(sum(column) <= 1 for column in zip(*got, strict=True))
    later = [MemoryStore(str(tmp_path), now_ms=lambda: 6).lease(thread) for thread in (A, B)]
    assert all(
        sum(column) + late == 1 for column, late in zip(zip(*got, strict=True), later, strict=True)
    )


# ---- the folder that commands write -------------------------------------------------------------


def test_the_inputs_are_exactly_what_is_to_be_merged(store, tmp_path):
    store.write_inputs("raw 1", {"a": "A", "b": "B"})
    store.write_inputs("raw 2", {"b": "B2"})
    folder = tmp_path / "memories"
    assert (folder / RAW).read_text() == "raw 2"
    assert [path.name for path in (folder / SUMMARIES).iterdir()] == ["b.md"]
    assert (folder / SUMMARIES / "b.md").read_text() == "B2"
    assert (folder / "skills").is_dir()
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_nothing_outside_is_read_written_or_removed_through_a_link(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep.md").write_text("mine")
    folder = tmp_path / "memories"
    (folder / SUMMARIES).symlink_to(outside)
    (folder / RAW).symlink_to(outside / "keep.md")
    (folder / "memory_summary.md").symlink_to(outside / "keep.md")
    store.write_inputs("raw", {"keep": "changed", "new": "x"})
    assert store.read("memory_summary.md") is None
    assert [path.name for path in outside.iterdir()] == ["keep.md"]
    assert (outside / "keep.md").read_text() == "mine"
    assert "mine" not in repr(store.files())


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders there")
def test_files_that_are_none_or_too_large_are_warnings(store, tmp_path):
    folder = tmp_path / "memories"
    (folder / "big.md").write_bytes(b"x" * (MOST_BYTES + 1))
    os.mkfifo(folder / "pipe.md")
    (folder / "folder.md").mkdir()
    for name in ("big.md", "pipe.md", "folder.md"):
        assert store.read(name) is None
    assert len(store.warnings) == 3
    assert store.read("missing.md") is None
    assert store.files() == {}


def test_the_history_gets_plain_files_with_ordinary_names(store, tmp_path):
    folder = tmp_path / "memories"
    (folder / "skills/x").mkdir(parents=True)
    (folder / "skills/x/SKILL.md").write_text("s")
    (folder / "MEMORY.md").write_text("m")
    (folder / ".hidden").write_text("h")
    (folder / "changes.diff").write_text("d")
    assert store.files() == {"MEMORY.md": b"m", "skills/x/SKILL.md": b"s"}
    assert store.strange() == (".hidden",)


def test_the_diff_comes_and_goes(store, tmp_path):
    store.write_diff(b"+x")
    assert (tmp_path / "memories/changes.diff").read_bytes() == b"+x"
    store.write_diff(None)
    store.write_diff(None)
    assert not (tmp_path / "memories/changes.diff").exists()


def test_what_was_merged_is_remembered(store):
    assert store.merged() == ""
    store.set_merged("abc")
    assert store.merged() == "abc"


def test_a_home_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "memories").write_text("a file")
    store = MemoryStore(str(tmp_path), now_ms=lambda: 0)
    with pytest.raises(StoreError) as caught:
        store.prepare()
    assert "\n" not in str(caught.value)
