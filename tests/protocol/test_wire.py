from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.history import FunctionCall, Message, Reasoning, Unknown, output_text
from octavo.protocol.wire import FIELDS, KINDS, decode_item, encode_item, item_from

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
parts = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text"]), "text": text})
    | st.fixed_dictionaries(
        {"type": st.just("input_image"), "image_url": text},
        optional={"detail": st.sampled_from(["auto", "low", "high", "original"])},
    )
    | st.fixed_dictionaries({"type": st.just("refusal"), "refusal": text}),
    max_size=3,
)
objects = st.dictionaries(text, json_values, max_size=3)
summary = st.lists(
    st.fixed_dictionaries({"type": st.just("summary_text"), "text": text}), max_size=2
)
thoughts = st.none() | st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["reasoning_text", "text"]), "text": text}),
    max_size=2,
)


def shape(tag: str, needed: dict[str, Any], allowed: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(tag), **needed}, optional={"id": text, **allowed})


known = st.one_of(
    shape(
        "message",
        {"role": st.sampled_from(["user", "assistant", "developer"]), "content": parts},
        {"phase": text},
    ),
    shape("reasoning", {"summary": summary}, {"content": thoughts, "encrypted_content": text}),
    shape("function_call", {"name": text, "arguments": text, "call_id": text}, {"namespace": text}),
    shape("function_call_output", {"call_id": text, "output": text | parts}, {}),
    shape("custom_tool_call", {"name": text, "input": text, "call_id": text}, {"status": text}),
    shape("custom_tool_call_output", {"call_id": text, "output": text | parts}, {}),
    shape("local_shell_call", {"action": objects}, {"call_id": text, "status": text}),
    shape("web_search_call", {}, {"status": text, "action": objects}),
    shape("compaction", {"encrypted_content": text}, {}),
)


@given(known, objects)
def test_what_the_wire_says_comes_back_as_it_was(raw: dict[str, Any], extra: dict[str, Any]):
    raw = {**{k: v for k, v in extra.items() if k not in FIELDS[raw["type"]]}, **raw}
    item = item_from(raw)
    assert not isinstance(item, Unknown)
    assert msgspec.json.decode(encode_item(item)) == raw
    assert decode_item(encode_item(item)) == item


@given(objects, st.sampled_from([*KINDS, "tool_search_call", "brand_new", None]))
def test_no_object_is_refused_and_nothing_of_it_is_lost(raw: dict[str, Any], tag: str | None):
    raw = {**raw, "type": tag}
    item = item_from(raw)
    if isinstance(item, Unknown):
        assert msgspec.json.decode(encode_item(item)) == raw


@pytest.mark.parametrize("data", [b"3", b"null", b'"text"', b"[1]"])
def test_json_that_is_no_object_is_kept_aside(data: bytes):
    assert decode_item(data) == Unknown(raw={"value": msgspec.json.decode(data)})


def test_broken_json_is_an_error():
    with pytest.raises(msgspec.DecodeError):
        decode_item(b'{"type":')


def test_unknown_fields_stay_with_their_item():
    item = item_from(
        {"type": "function_call", "name": "a", "arguments": "", "call_id": "c", "x": 1}
    )
    assert isinstance(item, FunctionCall)
    assert item.extra == {"x": 1}


def test_an_empty_summary_is_written_and_absent_content_is_not():
    assert encode_item(Reasoning(id="rs_1")) == b'{"type":"reasoning","id":"rs_1","summary":[]}'
    assert b'"content":null' in encode_item(Reasoning(content=None))


def test_content_given_as_text_is_read_as_one_part():
    item = item_from({"type": "message", "role": "assistant", "content": "hi"})
    assert isinstance(item, Message)
    assert item.text == "hi"


def test_the_words_of_an_output():
    item = item_from(
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "x"}],
        }
    )
    assert output_text(item.output) == output_text("x") == "x"
