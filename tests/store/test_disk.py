import sqlite3
from pathlib import Path

import pytest
from store_room import Room
from store_turn import turn

from octavo.protocol.history import Message
from octavo.store.base import EphemeralLog, Store, ThreadLog
from octavo.store.errors import StoreError, ThreadBusy, ThreadInUse, ThreadNotFound
from octavo.store.log import RolloutWriter
from octavo.store.rollout import TaskStarted


def words(loaded):
    return [item.text for item in loaded.items if isinstance(item, Message)]


def test_a_fork_points_at_its_base_and_goes_its_own_way(room):
    base = room.thread("one")
    meta = room.meta()
    with room.store.fork(base, meta) as log:
        log.append(*turn(meta.id, "t9", "two"))
    fork = room.store.read(meta.id)
    assert words(fork) == ["one", "answer to one", "two", "answer to two"]
    assert words(room.store.read(base)) == ["one", "answer to one"]
    assert fork.meta.forked_from_id == base
    assert fork.meta.history_base.end_ordinal_exclusive == 13
    assert fork.meta.history_base.end_byte_offset == Path(room.path(base)).stat().st_size
    assert b'"ordinal":13,"type":"session_meta"' in Path(fork.path).read_bytes()
    assert len(list(room.store.items(meta.id))) == 6


def test_a_fork_does_not_see_what_its_base_says_later(room):
    base = room.thread("one")
    meta = room.meta()
    room.store.fork(base, meta).close()

    _, log = room.store.open(base)
    log.append(*turn(base, "t5", "later"))
    log.close()
    assert words(room.store.read(meta.id)) == ["one", "answer to one"]


def test_a_fork_may_begin_in_the_middle_even_of_its_bases_base(room):
    base = room.thread("one", "two")
    first, second = room.meta(), room.meta()
    room.store.fork(base, first).close()
    room.store.fork(first.id, second, end=13).close()
    assert words(room.store.read(second.id)) == ["one", "answer to one"]


def test_a_fork_of_the_older_form_copies(room):

    meta, fork = room.meta(), room.meta()
    path = Path(room.home, "sessions/2026/01/01", f"rollout-2026-01-01T00-00-00-{meta.id}.jsonl")
    with RolloutWriter.create(str(path), meta, home=room.home, now_ms=room.clock) as log:
        log.append(*turn(meta.id, "t1", "old"))
    room.store.fork(meta.id, fork).close()
    room.store.delete(meta.id)
    assert words(room.store.read(fork.id)) == ["old", "answer to old"]
    assert [type(item).__name__ for _, item in room.store.items(fork.id)] == [
        "UserMessage", "AgentMessage",
    ]  # fmt: skip


def test_a_thread_that_others_continue_is_not_deleted(room):
    base = room.thread("one")
    meta = room.meta()
    room.store.fork(base, meta).close()
    with pytest.raises(ThreadInUse, match="cannot be deleted") as caught:
        room.store.delete(base)
    assert caught.value.by == (meta.id,)
    room.store.delete(meta.id)
    room.store.delete(base)
    assert room.store.list() == ()


def test_a_chain_without_end_is_refused(room):
    one, two = room.thread("one"), room.meta()
    room.store.fork(one, two).close()
    path = Path(room.path(one))
    text = path.read_text()
    base = f'"history_base":{{"thread_id":"{two.id}","end_ordinal_exclusive":1}},"cwd"'
    path.write_text(text.replace('"cwd"', base, 1))
    with pytest.raises(StoreError, match="has no end"):
        room.store.read(two.id)


def test_a_missing_base_is_named(room):
    one, two = room.thread("one"), room.meta()
    room.store.fork(one, two).close()
    Path(room.path(one)).unlink()
    with pytest.raises(StoreError, match=f"based on thread {one}, which is not there"):
        room.store.read(two.id)


def test_an_archived_thread_is_put_aside_and_comes_back(room):
    thread = room.thread("one")
    before = room.path(thread)
    room.store.archive(thread)
    room.store.archive(thread)
    assert room.store.list() == ()
    assert [info.id for info in room.store.list(archived=True)] == [thread]
    assert Path(room.path(thread)).parent.name == "archived_sessions"
    room.store.unarchive(thread)
    assert room.path(thread) == before
    room.store.archive(thread)
    room.store.open(thread)[1].close()
    assert room.path(thread) == before


def test_a_thread_that_is_written_stays_where_it_is(room):
    thread = room.thread("one")
    _, log = room.store.open(thread)
    for act in (room.store.archive, room.store.delete):
        with pytest.raises(ThreadBusy):
            act(thread)
    log.close()


@pytest.mark.parametrize(
    "name", ["", "nope", "../../etc/passwd", "0195d1a0-0000-7000-8000-0000000000ff"]
)
def test_a_thread_that_is_not_there_is_said_so(room, name):
    with pytest.raises(ThreadNotFound):
        room.store.read(name)
    with pytest.raises(ThreadNotFound):
        room.store.resolve(name)


def test_threads_are_listed_and_found(room):
    one = room.thread("Fix the flaky test\nplease", cwd="/a")
    two = room.thread("write a poem about \N{GREEK SMALL LETTER LAMDA}", cwd="/b")
    assert {info.id for info in room.store.list()} == {one, two}
    (found,) = room.store.list(cwd="/a")
    assert (found.preview, found.source) == ("Fix the flaky test please", "exec")
    assert [info.id for info in room.store.list(search="flak")] == [one]
    assert [info.id for info in room.store.list(search="poem \N{GREEK SMALL LETTER LAMDA}")] == [
        two
    ]
    assert room.store.list(search="flaky poem") == ()
    assert room.store.list(search='"') == ()
    assert len(room.store.list(limit=1)) == 1


def test_a_name_finds_its_thread(room):
    one = room.thread("a")
    room.store.rename(one, "the first")
    assert room.store.resolve("the first") == one == room.store.resolve(one)
    assert room.store.list(search="first")[0].name == "the first"
    room.store.rename(one, "")
    assert room.store.list()[0].name is None


def test_the_index_reads_only_what_came_since(room):
    thread = room.thread("one")
    room.store.list()
    _, log = room.store.open(thread)

    log.append(*turn(thread, "t5", "zebra"))
    log.close()
    (found,) = room.store.list(search="zebra one")
    assert found.preview == "one"
    with sqlite3.connect(Path(room.home, "threads.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM said").fetchone() == (4,)
    database.close()


@pytest.mark.parametrize("harm", [b"", b"not a database at all" * 100, None])
def test_an_index_that_is_broken_or_lost_is_made_anew(room, harm):
    thread = room.thread("one")
    room.store.list()
    index = Path(room.home, "threads.sqlite")
    for file in Path(room.home).glob("threads.sqlite*"):
        file.unlink()
    if harm is not None:
        index.write_bytes(harm)
    assert [info.id for info in room.store.list(search="one")] == [thread]


def test_an_index_that_somebody_holds_delays_nobody(room):
    room.store.list()
    thread = room.thread("one")
    database = sqlite3.connect(Path(room.home, "threads.sqlite"))
    database.execute("BEGIN EXCLUSIVE")
    assert [info.id for info in room.store.list(search="one")] == [thread]
    database.rollback()
    database.close()


def test_the_store_fits_the_seam(room):
    store: Store = room.store
    log: ThreadLog = EphemeralLog()
    log.append(TaskStarted(turn_id="t"))
    log.close()
    assert log.path is None
    assert store.list() == ()


def test_folders_with_names_that_are_no_text_are_kept_and_found(tmp_path):
    room = Room(tmp_path / "h\udcff")
    thread = room.thread("one", cwd="/w\udcff")
    assert room.store.read(thread).meta.cwd == "/w\\udcff"
    for _ in range(2):
        assert [info.id for info in room.store.list(cwd="/w\udcff", search="one")] == [thread]
