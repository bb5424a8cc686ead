import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from model.wire_room import CONVERSATION, Feed, body, items, request, said
from octavo.model import chat
from octavo.model.codec import ORIGIN, WireOptions
from octavo.model.events import CallDelta, Created, Done, ReasoningDelta, TextDelta
from octavo.model.thinking import PAIRS
from octavo.protocol.content import InputImage
from octavo.protocol.errors import ModelError
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    FunctionCallOutput,
    Message,
    Reasoning,
    ReasoningText,
    assistant,
)
from octavo.protocol.usage import TokenUsage


def chunk(delta: dict[str, Any], reason: str | None = None, **more: object) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "r", "choices": [choice], **more}


def call(arguments: object = None, **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return chunk({"tool_calls": [{**more, "function": function}]})


END = chunk({}, "stop")


def calls(*events: object, **options: bool) -> list[tuple[str, str, str]]:
    found = items(Feed(chat, **options)(*events, END, "[DONE]"))
    return [(i.name, i.arguments, i.call_id) for i in found if isinstance(i, FunctionCall)]


def test_a_conversation_in_the_words_of_this_wire():
    found = body(chat, request(*CONVERSATION))
    assert found["messages"] == [
        {"role": "system", "content": "be good\n\nrules"},
        {"role": "user", "content": "agents file\n\nfix it"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "call.1", "type": "function",
                 "function": {"name": "exec_command", "arguments": '{"cmd":"ls"}'}},
                {"id": "call_2", "type": "function",
                 "function": {"name": "apply_patch", "arguments": '{"input":"*** B\\n"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call.1", "content": "README"},
        {"role": "tool", "tool_call_id": "call_2", "content": "ok"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    ]  # fmt: skip
    names = [tool["function"]["name"] for tool in found["tools"]]
    assert names == ["exec_command", "apply_patch", "mcp__echo__echo"]
    assert "start: patch" in json.dumps(found["tools"][1])
    assert found["stream_options"] == {"include_usage": True}


def test_requests_share_their_beginning():
    grown = (*CONVERSATION[:7], FunctionCallOutput(call_id="call.1", output="x"))
    short = chat.encode(request(*CONVERSATION[:7]), WireOptions()).body
    longer = chat.encode(request(*grown), WireOptions()).body
    assert longer.startswith(short.removesuffix(b"]}"))


def test_no_tools_no_tool_fields():
    assert (
        not {"tools", "tool_choice", "parallel_tool_calls"} & body(chat, request(tools=())).keys()
    )


def test_neighbours_with_pictures_become_one_message():
    picture = Message(role="user", content=(InputImage(image_url="u", detail="original"),))
    found = body(chat, request(said("a"), picture, said("b"), instructions=""))["messages"]
    assert found == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "u"}},
                {"type": "text", "text": "b"},
            ],
        }
    ]


def test_thoughts_go_back_under_their_name_or_not_at_all():
    thought = Reasoning(content=(ReasoningText(text="hm"),), extra={ORIGIN: "chat:reasoning"})
    asked = request(said("a"), thought, assistant("b"), instructions="")
    assert body(chat, asked)["messages"][1] == {
        "role": "assistant",
        "content": "b",
        "reasoning": "hm",
    }
    silent = body(chat, asked, WireOptions(echo_reasoning=False))
    assert silent["messages"][1] == {"role": "assistant", "content": "b"}


def test_a_plain_answer():
    feed = Feed(chat)
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    found = feed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hi"}),
        chunk({"content": " there"}),
        END,
        {"id": "r", "choices": [], "usage": usage},
        "[DONE]",
    )
    assert found[0] == Created(response_id="r")
    assert "".join(e.text for e in found if isinstance(e, TextDelta)) == "Hi there"
    assert items(found) == [assistant("Hi there", id="msg_1")]
    counted = TokenUsage(input=7, cached_input=3, output=2, total=9)
    assert found[-1] == Done(response_id="r", usage=counted)


@pytest.mark.parametrize("place", ["chunk", "x_groq", "choice"])
def test_usage_is_found_wherever_it_is(place: str):
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    last = chunk({}, "stop")
    {"chunk": last, "x_groq": last.setdefault("x_groq", {}), "choice": last["choices"][0]}[place][
        "usage"
    ] = usage
    found = Feed(chat)(chunk({"content": "a"}, usage=None), last, "[DONE]")
    assert found[-1].usage == TokenUsage(input=7, output=2, total=9)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_in_a_field(field: str):
    found = Feed(chat)(chunk({field: "hm"}), chunk({"content": "a"}), END, "[DONE]")
    assert ReasoningDelta(item_id="rs_1", text="hm", kind="raw") in found
    thought, message = items(found)
    assert thought.content == (ReasoningText(text="hm"),)
    assert thought.extra == {ORIGIN: f"chat:{field}"}
    assert message.text == "a"


@pytest.mark.parametrize("text", ["<think>hm</think>a", "\n<think>hm</think>\n\na", "hm</think>a"])
def test_thoughts_between_tags(text: str):
    for size in (1, 3, 100):
        pieces = [chunk({"content": text[n : n + size]}) for n in range(0, len(text), size)]
        thought, message = items(Feed(chat)(*pieces, END, "[DONE]"))
        assert (thought.content[0].text, message.text) == ("hm", "a")


def test_calls_by_the_book():
    assert calls(
        call("", index=0, id="c1", name="a"),
        call('{"x"', index=0),
        call(":1}", index=0),
        call("{}", index=1, id="c2", name="b"),
    ) == [("a", '{"x":1}', "c1"), ("b", "{}", "c2")]


def test_a_call_is_done_when_the_next_begins():
    feed = Feed(chat)
    feed(call("{}", index=0, id="c1", name="a"))
    assert [item.name for item in items(feed(call("", index=1, id="c2", name="b")))] == ["a"]


def test_calls_without_index_or_id():
    first, second = calls(call("{}", name="a"), call('{"y":', name="b"), call("2}"))
    assert first[:2] == ("a", "{}")
    assert second[:2] == ("b", '{"y":2}')
    assert first[2] != second[2]


def test_every_call_with_index_0():
    found = calls(call("{}", index=0, id="c1", name="a"), call("{}", index=0, id="c2", name="b"))
    assert [one[2] for one in found] == ["c1", "c2"]


def test_names_and_ids_that_are_repeated():
    found = calls(call('{"x"', index=0, id="c1", name="a"), call(":1}", index=0, id="c1", name="a"))
    assert found == [("a", '{"x":1}', "c1")]


def test_two_calls_whose_pieces_alternate():
    found = calls(
        call("{", index=0, id="c1", name="a"),
        call("{", index=1, id="c2", name="b"),
        call("}", index=0),
        call("}", index=1),
    )
    assert found == [("a", "{}", "c1"), ("b", "{}", "c2")]


def test_arguments_as_an_object_or_missing():
    assert calls(call({"x": 1}, name="a", id="c"))[0][1] == '{"x":1}'
    assert calls(call(name="a", id="c"))[0][1] == "{}"


def test_a_free_text_call_travels_as_a_function():
    found = Feed(chat)(call('{"input":"*** B\\n"}', id="c", name="apply_patch"), END, "[DONE]")
    assert items(found) == [
        CustomToolCall(id="ctc_1", name="apply_patch", input="*** B\n", call_id="c")
    ]
    assert any(isinstance(event, CallDelta) for event in found)


def test_namespaces_are_flattened_and_restored():
    (item,) = items(Feed(chat)(call("{}", id="c", name="mcp__echo__echo"), END, "[DONE]"))
    assert (item.namespace, item.name) == ("mcp__echo", "echo")


def test_a_call_written_as_text():
    text = (
        'I will.\n<tool_call>\n{"name": "exec_command", "arguments": {"cmd": "ls"}}\n</tool_call>'
    )
    pieces = [chunk({"content": text[n : n + 4]}) for n in range(0, len(text), 4)]
    found = Feed(chat)(*pieces, END, "[DONE]")
    message, made = items(found)
    assert message.text == "I will."
    assert (made.name, made.arguments) == ("exec_command", '{"cmd":"ls"}')
    assert "<" not in "".join(e.text for e in found if isinstance(e, TextDelta))
    plain = items(Feed(chat, text_calls=False)(*pieces, END, "[DONE]"))
    assert [item.text for item in plain] == [text]


def test_no_final_mark_is_needed_after_a_reason():
    feed = Feed(chat)
    feed(chunk({"content": "a"}), END)
    assert isinstance(feed.decoder.end()[-1], Done)


def test_a_stream_without_reason_or_mark_ended_early():
    feed = Feed(chat)
    feed(chunk({"content": "a"}))
    with pytest.raises(ModelError, match="stream closed"):
        feed.decoder.end()


@pytest.mark.parametrize(
    ("reason", "said_so"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_cut_short_gives_what_there_is_and_then_fails(reason: str, said_so: str):
    feed = Feed(chat)
    assert [i.text for i in items(feed(chunk({"content": "a"}), chunk({}, reason)))] == ["a"]
    with pytest.raises(ModelError, match=f"Incomplete response returned, reason: {said_so}"):
        feed("[DONE]")


def test_an_error_in_the_stream_is_raised():
    with pytest.raises(ModelError, match="boom"):
        Feed(chat)({"error": {"message": "boom"}})


def test_empty_choices_and_garbage_do_not_matter():
    found = Feed(chat)(
        {"choices": []}, {"choices": None}, "{nope", chunk({"content": "a"}), END, "[DONE]"
    )
    assert [item.text for item in items(found)] == ["a"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["{}", "<think>", "```json\n{"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["choices", "delta", "content", "tool_calls", "function", "name", "index",
                         "arguments", "finish_reason", "usage", "id", "reasoning_content"]),
        inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.lists(json_values | json_values.map(lambda v: {"choices": [{"delta": v}]}), max_size=6))
def test_no_chunk_breaks_the_decoder(events: list[object]):
    feed = Feed(chat)
    feed(*events)
    feed(END)
    feed.decoder.end()


@given(st.text(max_size=80), st.integers(1, 9))
def test_no_word_of_an_answer_is_lost(text: str, size: int):
    assume(not text.lstrip().startswith(tuple(begin for begin, _ in PAIRS)))  # a thought
    pieces = [chunk({"content": text[n : n + size]}) for n in range(0, len(text), size)]
    found = Feed(chat)(*pieces, END, "[DONE]")
    shown = "".join(e.text for e in found if isinstance(e, TextDelta))
    assert shown.strip() == text.strip()
    assert "".join(item.text for item in items(found)).strip() == text.strip()
