import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.content import OutputText
from octavo.protocol.history import Message, Unknown
from octavo.store.errors import StoreError
from octavo.store.rollout import Compacted, ResponseItem, TaskStarted
from octavo.store.thread import load_thread

HEAD = {"id": "0195d1a0-0000-7000-8000-000000000001", "timestamp": "2026-11-21T00:30:12.061Z",
        "cwd": "/w", "originator": "o", "cli_version": "0.136.0"}  # fmt: skip


def write(path, *lines, end="\n"):
    path.write_text("\n".join(json.dumps(line) for line in lines) + end)
    return str(path)


def line(kind, payload, **more):
    return {"timestamp": "2026-11-21T00:30:12.061Z", **more, "type": kind, "payload": payload}


def said(role, text):
    part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
    return line("response_item", {"type": "message", "role": role, "content": [part]})


def test_a_thread_comes_back_as_it_was_written(room):
    found = room.store.read(room.thread("first", "second"))
    assert [turn.status for turn in found.turns] == ["completed", "completed"]
    assert found.turns[1].last_message == "answer to second"
    assert [item.text for item in found.items if isinstance(item, Message)] == [
        "first", "answer to first", "second", "answer to second",
    ]  # fmt: skip
    assert len(found.items) == 8
    assert found.turn_context.approval_policy == "never"
    assert found.usage.total == 110
    assert found.broken_lines == 0


def test_a_file_of_the_older_form_is_read(tmp_path):
    path = write(
        tmp_path / "x.jsonl",
        line("session_meta", HEAD),
        said("user", "hi"),
        line("event_msg", {"type": "user_message", "message": "hi"}),
        said("assistant", "ho"),
    )
    found = load_thread(path)
    assert [item.text for item in found.items] == ["hi", "ho"]
    assert not found.meta.paginated


@pytest.mark.parametrize(
    "strange",
    [
        {"timestamp": "x", "type": "from_the_future", "payload": {"a": 1}},
        {"timestamp": "x", "payload": {}},
        {"payload": {"type": "event_msg"}, "type": "world_state"},
        [1],
        None,
        line("event_msg", {"type": "token_count", "info": "much"}),
        line("turn_context", [1]),
        line("compacted", 3),
        line("event_msg", {"type": "task_complete"}),
    ],
)
def test_lines_nobody_knows_are_passed_over(tmp_path, strange):
    path = write(
        tmp_path / "x", line("session_meta", HEAD), said("user", "a"), strange, said("user", "b")
    )
    assert [item.text for item in load_thread(path).items] == ["a", "b"]


def test_an_item_of_an_unknown_kind_is_kept(tmp_path):
    path = write(
        tmp_path / "x", line("session_meta", HEAD), line("response_item", {"type": "dream"})
    )
    assert load_thread(path).items == (Unknown(raw={"type": "dream"}),)


def test_keys_in_another_order_mean_the_same(tmp_path):
    turned = {"payload": said("user", "a")["payload"], "type": "response_item", "ordinal": 7}
    assert len(load_thread(write(tmp_path / "x", line("session_meta", HEAD), turned)).items) == 1


def test_notes_of_other_programs_do_not_reach_the_model(tmp_path):
    noted = said("user", "a")
    noted["payload"]["internal_chat_message_metadata_passthrough"] = {"turn_id": "t"}
    (item,) = load_thread(write(tmp_path / "x", line("session_meta", HEAD), noted)).items
    assert not item.extra


@pytest.mark.parametrize("missing", ["id", "timestamp", "cwd", "originator", "cli_version"])
def test_without_its_metadata_a_file_is_refused_in_one_line(tmp_path, missing):
    head = {key: value for key, value in HEAD.items() if key != missing}
    with pytest.raises(StoreError, match="does not start with session metadata") as caught:
        load_thread(write(tmp_path / "x", line("session_meta", head)))
    assert str(caught.value).isprintable()


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        load_thread(str(tmp_path / "gone"))


def test_history_begins_at_the_last_compaction(room):
    thread = room.thread("old")
    summary = Message(role="assistant", content=(OutputText(text="summary"),))
    loaded, log = room.store.open(thread)
    log.append(Compacted(message="summary", replacement_history=(summary,)))
    log.append(ResponseItem(summary), TaskStarted(turn_id="t9"))
    log.close()
    found = room.store.read(thread)
    assert found.items == (summary, summary)
    assert found.compactions == 1
    assert [turn.status for turn in found.turns] == ["completed", "open"]
    assert loaded.compactions == 0


def test_killed_at_any_byte_a_thread_loads_and_goes_on(room):
    thread = room.thread("first", "second")
    path = Path(room.path(thread))
    data = path.read_bytes()
    whole = room.store.read(thread)
    starts = [at for at, byte in enumerate(data) if data[at - 1 : at] == b"\n" or at == 0]
    for size in range(starts[-3], len(data) + 1):
        path.write_bytes(data[:size])
        found = room.store.read(thread)
        assert found.items == whole.items
        assert found.usage == whole.usage
        _, log = room.store.open(thread)
        log.append(TaskStarted(turn_id="next"))
        log.close()
        kept = path.read_bytes().splitlines()
        ordinals = [json.loads(one)["ordinal"] for one in kept]
        assert ordinals == list(range(len(kept)))
        assert room.store.read(thread).broken_lines == 0


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_fail(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(json.dumps(line("session_meta", HEAD)).encode() + b"\n" + data)
    assert load_thread(str(path)).id == HEAD["id"]


def test_a_thread_that_another_process_ended_in_the_middle_counts_its_broken_line(room):
    thread = room.thread("first")
    path = room.path(thread)
    with open(path, "ab") as file:
        file.write(
            b'{"timestamp":"x","ordinal":99,"type":"event_msg","payload":{"type":"token_count"'
        )
    found = room.store.read(thread)
    assert found.broken_lines == 1
    assert found.usage.total == 110
    assert os.path.getsize(path)
