from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.wire_room import CONVERSATION, Feed, body, items, request, said
from octavo.model import messages
from octavo.model.codec import ORIGIN, WireOptions
from octavo.model.events import Done, ReasoningDelta
from octavo.protocol.errors import ModelError
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    Reasoning,
    SummaryText,
    assistant,
)
from octavo.protocol.usage import TokenUsage

THOUGHT = Reasoning(
    id="rs_1",
    summary=(SummaryText(text="hm"),),
    content=None,
    encrypted_content="sig",
    extra={ORIGIN: "messages"},
)
MARK = {"cache_control": {"type": "ephemeral"}}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def stop(reason: str, **usage: int) -> list[dict[str, Any]]:
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage},
        {"type": "message_stop"},
    ]


START = {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 1}}}  # fmt: skip


def test_a_conversation_in_the_words_of_this_wire():
    found = body(messages, request(*CONVERSATION))
    assert found["system"] == [
        {"type": "text", "text": "be good"},
        {"type": "text", "text": "rules", **MARK},
    ]
    image = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert found["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "agents file"}, {"type": "text", "text": "fix it"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Looking."},
            {"type": "tool_use", "id": "call_1", "name": "exec_command", "input": {"cmd": "ls"}},
            {"type": "tool_use", "id": "call_2", "name": "apply_patch", "input": {"input": "*** B\n"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "README"},
            {"type": "tool_result", "tool_use_id": "call_2", "content": [
                {"type": "text", "text": "ok"}, {"type": "image", "source": image}], **MARK}]},
    ]  # fmt: skip
    assert [tool["name"] for tool in found["tools"]] == [
        "exec_command",
        "apply_patch",
        "mcp__echo__echo",
    ]
    assert found["max_tokens"] == 8192


def test_requests_share_everything_before_the_last_block():
    short = messages.encode(request(*CONVERSATION[:3]), WireOptions()).body
    longer = messages.encode(request(*CONVERSATION[:8]), WireOptions()).body
    assert longer.startswith(short[: short.rindex(b',"cache_control"')])


def test_answers_come_before_words_said_meanwhile():
    call = FunctionCall(name="exec_command", arguments="{}", call_id="c")
    asked = request(said("a"), call, said("wait"), FunctionCallOutput(call_id="c", output="x"))
    last = body(messages, asked)["messages"][-1]
    assert [one["type"] for one in last["content"]] == ["tool_result", "text"]


def test_thoughts_go_back_with_their_seal_and_those_of_others_do_not():
    foreign = Reasoning(encrypted_content="x")
    hidden = Reasoning(encrypted_content="data", extra={ORIGIN: "messages:redacted"})
    found = body(messages, request(said("a"), THOUGHT, hidden, foreign, assistant("b")))
    assert found["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "data"},
        {"type": "text", "text": "b", **MARK},
    ]


def test_an_effort_becomes_a_budget_or_an_effort():
    asked = request(said("a"), effort="high", max_output_tokens=64_000)
    assert body(messages, asked)["thinking"] == {"type": "enabled", "budget_tokens": 16_384}
    newer = body(messages, request(said("a"), effort="high", model="claude-opus-4-6"))
    assert newer["thinking"] == {"type": "adaptive"}
    assert newer["output_config"] == {"effort": "high"}
    assert "thinking" not in body(messages, request(said("a")))


def test_thinking_does_not_start_within_a_tool_loop_without_thoughts():
    call = FunctionCall(name="exec_command", arguments="{}", call_id="c")
    out = FunctionCallOutput(call_id="c", output="x")
    assert "thinking" not in body(messages, request(said("a"), call, out, effort="low"))
    assert "thinking" in body(messages, request(said("a"), THOUGHT, call, out, effort="low"))
    over = (said("a"), call, out, assistant("done"), said("b"))
    assert "thinking" in body(messages, request(*over, effort="low"))


def test_arguments_that_are_no_object_are_wrapped():
    call = FunctionCall(name="exec_command", arguments="{broken", call_id="c")
    sent = body(messages, request(said("a"), call))["messages"][1]["content"][0]
    assert sent["input"] == {"unparsable_arguments": "{broken"}


def test_a_whole_answer():
    feed = Feed(messages)
    found = feed(
        START,
        {"type": "ping"},
        *block(0, {"type": "thinking", "thinking": ""},
               {"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "sig"}),
        *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
        *block(2, {"type": "server_tool_use", "id": "s", "name": "web_search"}),
        *block(3, {"type": "tool_use", "id": "t1", "name": "exec_command", "input": {}},
               {"type": "input_json_delta", "partial_json": '{"cmd":'},
               {"type": "input_json_delta", "partial_json": '"ls"}'}),
        *block(4, {"type": "tool_use", "id": "t2", "name": "apply_patch", "input": {}},
               {"type": "input_json_delta", "partial_json": '{"input":"x"}'}),
        *stop("tool_use", output_tokens=9),
    )  # fmt: skip
    thought, message, call, patch = items(found)
    assert ReasoningDelta(item_id=thought.id, text="hm", kind="summary") in found
    assert (thought.summary, thought.encrypted_content) == (THOUGHT.summary, "sig")
    assert message.text == "Hi"
    assert (call.name, call.arguments, call.call_id) == ("exec_command", '{"cmd":"ls"}', "t1")
    assert isinstance(patch, CustomToolCall)
    assert patch.input == "x"
    usage = TokenUsage(input=12, cached_input=4, cache_write_input=5, output=9, total=21)
    assert found[-1] == Done(response_id="m1", usage=usage)
    again = body(messages, request(said("a"), *items(found)))["messages"][1]["content"]
    assert again[0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}


def test_a_tool_without_arguments_gets_an_empty_object():
    start = {"type": "tool_use", "id": "t1", "name": "a", "input": {}}
    (call,) = items(Feed(messages)(*block(0, start)))
    assert call.arguments == "{}"


def test_a_pause_asks_for_more():
    assert Feed(messages)(*stop("pause_turn"))[-1].end_turn is False


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("max_tokens", "incomplete"),
        ("refusal", "refused"),
        ("model_context_window_exceeded", "context_window"),
    ],
)
def test_reasons_to_stop_that_are_failures(reason: str, kind: str):
    feed = Feed(messages)
    assert len(items(feed(*block(0, {"type": "text", "text": "a"})))) == 1
    with pytest.raises(ModelError) as caught:
        feed(*stop(reason))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("overloaded_error", "server"),
        ("rate_limit_error", "rate_limited"),
        ("authentication_error", "auth"),
        ("api_error", "disconnected"),
    ],
)
def test_errors_in_the_stream_are_raised(error: str, kind: str):
    with pytest.raises(ModelError) as caught:
        Feed(messages)({"type": "error", "error": {"type": error, "message": "boom"}})
    assert caught.value.kind == kind


def test_a_stream_without_a_reason_ended_early():
    with pytest.raises(ModelError, match="stream closed"):
        Feed(messages).decoder.end()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["type", "index", "delta", "content_block", "text", "partial_json",
                         "usage", "message", "id", "name", "input", "input_tokens"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
kinds = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
     "message_delta", "ping"]
)  # fmt: skip


@given(st.lists(st.tuples(kinds, json_values, st.sampled_from([*messages.KINDS, "x"])), max_size=6))
def test_no_event_breaks_the_decoder(events: list[tuple[str, object, str]]):
    feed = Feed(messages)
    for kind, value, block_kind in events:
        more = value if isinstance(value, dict) else {"delta": value}
        feed({"content_block": {"type": block_kind}, **more, "type": kind})
    feed(*stop("end_turn"))
