import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.wire_room import CONVERSATION, Feed, body, items, request, said
from octavo.model import responses
from octavo.model.codec import ORIGIN, WireOptions
from octavo.model.events import (
    CallDelta,
    Created,
    Done,
    ItemStarted,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
)
from octavo.model.request import HostedTool, OutputSchema
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.history import FunctionCall, Reasoning, assistant
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import encode_item, item_from

DONE = {"type": "response.completed", "response": {"id": "r"}}


def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter():
    for size in range(1, len(CONVERSATION)):
        short = responses.encode(request(*CONVERSATION[:size], turn_id="a"), WireOptions()).body
        longer = responses.encode(request(*CONVERSATION[: size + 1], turn_id="b"), WireOptions())
        end = short.rindex(b'],"client_metadata"')
        assert longer.body[:end] == short[:end]


def test_the_body_has_what_the_wire_wants():
    asked = request(
        said("hi"),
        effort="high",
        summary="auto",
        verbosity="low",
        thread_id="t",
        turn_id="u",
        window_id="t:0",
        output_schema=OutputSchema(schema={"type": "object"}),
    )
    found = body(responses, asked)
    tools = found.pop("tools")
    assert [(tool["type"], tool["name"]) for tool in tools] == [
        ("function", "exec_command"),
        ("custom", "apply_patch"),
        ("namespace", "mcp__echo"),
    ]
    assert tools[0]["strict"] is False
    assert found.pop("input")[0] == {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": "be good"}],
    }
    assert found == {
        "model": "m",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {
            "verbosity": "low",
            "format": {
                "type": "json_schema",
                "strict": True,
                "name": "codex_output_schema",
                "schema": {"type": "object"},
            },
        },
        "prompt_cache_key": "t",
        "store": False,
        "stream": True,
        "client_metadata": {"thread_id": "t", "turn_id": "u", "x-codex-window-id": "t:0"},
    }


def test_headers_name_the_thread():
    headers = responses.encode(request(thread_id="t"), WireOptions()).headers
    assert headers == {"session-id": "t", "thread-id": "t", "x-client-request-id": "t"}


def test_instructions_go_as_a_field_where_the_provider_wants_that():
    found = body(responses, request(said("hi")), WireOptions(instructions_as="field"))
    assert found["instructions"] == "be good"
    assert len(found["input"]) == 1


def test_items_travel_as_they_are_and_unknown_ones_stay_at_home():
    found = body(responses, request(*CONVERSATION))["input"][1:]
    assert found == [msgspec.json.decode(encode_item(item)) for item in CONVERSATION[:-1]]


def test_thoughts_of_other_wires_and_records_of_other_programs_are_not_sent():
    foreign = Reasoning(encrypted_content="s", extra={ORIGIN: "messages"})
    recorded = item_from(
        {
            "type": "function_call",
            "name": "a",
            "arguments": "",
            "call_id": "c",
            "status": "completed",
            "new": 1,
        }
    )
    _, found = body(responses, request(foreign, recorded))["input"]
    assert found["new"] == 1
    assert "status" not in found


def test_hosted_tools_go_as_given():
    tool = HostedTool(raw={"type": "web_search", "external_web_access": False})
    assert body(responses, request(tools=(tool,)))["tools"] == [tool.raw]


def test_a_whole_answer():
    feed = Feed(responses)
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    call = {"type": "function_call", "id": "fc_1", "name": "a", "call_id": "c", "arguments": ""}
    found = feed(
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.in_progress"},
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {"type": "response.output_text.delta", "output_index": 0, "item_id": "msg_1", "delta": "Hi"},
        {"type": "response.output_item.done", "output_index": 0,
         "item": {**message, "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}},
        {"type": "response.output_item.added", "output_index": 1, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": "fc_1", "delta": "{}"},
        {"type": "response.output_item.done", "output_index": 1, "item": {**call, "arguments": "{}"}},
        {"type": "response.completed", "response": {"id": "r1", "end_turn": False, "usage": {
            "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15}}},
    )  # fmt: skip
    assert found[0] == Created(response_id="r1")
    assert found[1] == ItemStarted(item_id="msg_1", kind="message")
    assert found[2] == TextDelta(item_id="msg_1", text="Hi")
    assert found[4] == ItemStarted(item_id="fc_1", kind="call", name="a", call_id="c")
    assert found[5] == CallDelta(item_id="fc_1", call_id="c", text="{}")
    assert items(found) == [
        assistant("Hi", id="msg_1"),
        FunctionCall(id="fc_1", name="a", call_id="c", arguments="{}"),
    ]
    usage = TokenUsage(
        input=10, cached_input=4, cache_write_input=1, output=5, reasoning_output=2, total=15
    )
    assert found[-1] == Done(response_id="r1", usage=usage, end_turn=False)
    assert feed.decoder.end() == []


def test_reasoning_arrives_in_both_kinds():
    found = Feed(responses)(
        {"type": "response.reasoning_summary_part.added", "item_id": "rs", "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "item_id": "rs", "delta": "a"},
        {"type": "response.reasoning_text.delta", "item_id": "rs", "delta": "b"},
    )
    assert found == [
        ReasoningPart(item_id="rs", index=1),
        ReasoningDelta(item_id="rs", text="a", kind="summary"),
        ReasoningDelta(item_id="rs", text="b", kind="raw"),
    ]


def test_a_server_that_leaves_ids_out_gets_them_made():
    feed = Feed(responses)
    call = {"type": "function_call", "name": "a", "arguments": {"x": 1}}
    found = feed(
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{"},
        {"type": "response.output_item.done", "output_index": 0, "item": call},
        {"type": "response.output_item.done", "output_index": 1, "item": call},
    )
    first, second = items(found)
    assert found[0].item_id == found[1].item_id == first.id
    assert first.id != second.id
    assert first.call_id != second.call_id
    assert first.arguments == '{"x":1}'


def test_items_that_come_only_at_the_end_count_as_well():
    message = {"type": "message", "role": "assistant", "content": "Hi"}
    found = Feed(responses)({"type": "response.completed", "response": {"output": [message]}})
    assert [item.text for item in items(found)] == ["Hi"]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, "rate_limited"),
        ({"type": "response.failed", "response": {"error": None}}, "disconnected"),
        ({"type": "error", "code": "server_is_overloaded"}, "overloaded"),
        ({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}, "incomplete"),
    ],
)  # fmt: skip
def test_failures_are_raised(event: object, kind: str):
    with pytest.raises(ModelError) as caught:
        Feed(responses)(event)
    assert caught.value.kind == kind


def test_an_incomplete_answer_says_why():
    event = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}  # fmt: skip
    with pytest.raises(
        ModelError, match=r"^Incomplete response returned, reason: max_output_tokens$"
    ):
        Feed(responses)(event)


def test_a_stream_that_ends_early_is_a_failure():
    with pytest.raises(ModelError, match=r"stream closed before response\.completed") as caught:
        Feed(responses).decoder.end()
    assert caught.value.kind is ModelErrorKind.DISCONNECTED


def test_garbage_is_passed_over_and_objects_stuck_together_are_parted():
    feed = Feed(responses)
    assert feed("{not json", "[1,2]", "7", "", '{"type":3}') == []
    stuck = '{"type":"response.output_text.delta","item_id":"m","delta":"a"}'
    assert feed(f"{stuck}\n{stuck}") == [TextDelta(item_id="m", text="a")] * 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["id", "item", "type", "delta", "output_index", "response", "usage",
                         "output", "call_id", "arguments", "summary_index", "item_id"]),
        inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
kinds = st.sampled_from(
    [*responses.DELTAS, "response.created", "response.output_item.added",
     "response.output_item.done", "response.completed", *responses.KINDS]
)  # fmt: skip


@given(st.lists(st.tuples(kinds, json_values), max_size=6))
def test_no_event_breaks_the_decoder(events: list[tuple[str, object]]):
    feed = Feed(responses)
    for kind, value in events:
        event = {**(value if isinstance(value, dict) else {"item": value}), "type": kind}
        feed(event)
