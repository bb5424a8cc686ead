import json

from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.content import InputText
from octavo.protocol.history import Message
from octavo.store.rollout import (
    Compacted,
    Other,
    ResponseItem,
    TaskComplete,
    compacted_of,
    encode_line,
    envelope_of,
    item_of,
    kind_of,
    payload_as,
    stamp,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_times_are_written_as_published():
    assert stamp(1_763_684_998_061) == "2025-11-21T00:29:58.061Z"
    assert stamp(0) == "1970-01-01T00:00:00.000Z"


@given(st.text(), st.none() | st.integers(0, 2**40))
def test_an_item_survives_the_file(text, ordinal):
    item = Message(role="user", content=(InputText(text=text),), extra={"new": [text]})
    line = encode_line(ResponseItem(item), at_ms=5, ordinal=ordinal)
    assert line.count(b"\n") == 1
    assert item_of(line) == item
    kind = kind_of(line)
    assert (kind.type, kind.event, kind.ordinal) == ("response_item", "message", ordinal)


@given(st.text(), JSON)
def test_the_first_bytes_say_the_same_as_the_whole_line(name, payload):
    line = encode_line(Other(name, payload), at_ms=5, ordinal=3)
    whole = json.loads(line)
    assert kind_of(line).type == whole["type"] == name
    assert kind_of(line).ordinal == 3
    assert envelope_of(line).type == name


@given(st.binary())
def test_no_bytes_are_too_strange(data):
    kind_of(data)
    item_of(data)
    compacted_of(data)
    payload_as(data, TaskComplete)


@given(JSON)
def test_no_json_is_too_strange(value):
    for kind in ("response_item", "event_msg", "compacted", "session_meta"):
        line = encode_line(Other(kind, value), at_ms=1, ordinal=None)
        kind_of(line)
        item_of(line)
        compacted_of(line)
        payload_as(line, TaskComplete)


def test_a_compaction_survives_the_file():
    items = (Message(role="user", content=(InputText(text="x"),)),)
    record = Compacted(message="m", replacement_history=items)
    assert compacted_of(encode_line(record, at_ms=1, ordinal=1)) == record
    assert compacted_of(encode_line(Compacted(message="m"), at_ms=1, ordinal=1)) == Compacted(
        message="m"
    )
