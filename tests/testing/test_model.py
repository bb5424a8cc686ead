import asyncio
from contextlib import aclosing

import pytest

from octavo.model.client import ModelClient
from octavo.model.events import Done, ItemDone, ModelEvent, TextDelta
from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelError, UsageError
from octavo.protocol.history import CustomToolCall, FunctionCall, FunctionCallOutput, Reasoning
from octavo.protocol.usage import TokenUsage
from octavo.testing import Reply, Script, ScriptedModel
from octavo.testing.script import Hold, Say, Stall, words

ASK = ModelRequest(model="m", input=())


async def ask(model: ModelClient, request: ModelRequest = ASK) -> list[ModelEvent]:
    async with aclosing(model.stream(request)) as events:
        return [event async for event in events]


def items(events: list[ModelEvent]) -> list[object]:
    return [event.item for event in events if isinstance(event, ItemDone)]


async def test_replies_come_in_order_and_requests_are_kept():
    model = ScriptedModel().calls("exec_command", cmd="ls").says("One file.")
    (call,) = items(await ask(model))
    assert isinstance(call, FunctionCall)
    assert call.arguments == '{"cmd":"ls"}'
    answer = FunctionCallOutput(call_id=call.call_id, output="README")
    (message,) = items(await ask(model, ModelRequest(model="m", input=(call, answer))))
    assert message.text == "One file."
    assert "README" in model.requests[1].tool_outputs[0]


async def test_one_reply_may_hold_many_things():
    model = (
        ScriptedModel()
        .thinks("hm")
        .says("Look.")
        .and_calls("a", name="x")
        .and_calls_custom("b", "t")
    )
    found = items(await ask(model))
    assert [type(item).__name__ for item in found] == [
        "Reasoning",
        "Message",
        "FunctionCall",
        "CustomToolCall",
    ]
    assert len({item.id for item in found}) == 4
    assert isinstance(found[0], Reasoning)
    assert isinstance(found[3], CustomToolCall)
    assert found[2].arguments == '{"name":"x"}'


async def test_usage_and_the_wish_for_more_are_scripted_too():
    model = ScriptedModel().says("a").using(TokenUsage(total=5)).wants_more().says("b").using(None)
    assert (await ask(model))[-1] == Done(
        response_id="resp_1", usage=TokenUsage(total=5), end_turn=False
    )
    assert (await ask(model))[-1].usage is None


async def test_failures_come_at_once_or_after_some_words():
    model = ScriptedModel().fails("rate_limited", "slow", retry_after_ms=3).says("a").and_fails()
    with pytest.raises(ModelError, match="slow") as caught:
        await ask(model)
    assert caught.value.retry_after_ms == 3
    seen: list[ModelEvent] = []

    async def listen() -> None:
        async for event in model.stream(ASK):
            seen.append(event)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(ModelError):
        await listen()
    assert TextDelta(item_id="msg_1", text="a") in seen


async def test_a_script_that_is_over_says_so():
    with pytest.raises(ModelError, match="0 replies; this is request 1"):
        await ask(ScriptedModel())
    model = ScriptedModel().says("again").and_so_on()
    for _ in range(3):
        assert len(items(await ask(model))) == 1


async def test_a_reply_may_depend_on_the_request():
    model = ScriptedModel().replies_with(lambda asked: Reply(steps=(Say(text=asked.model),)))
    (message,) = items(await ask(model))
    assert message.text == "m"


async def test_a_reply_waits_at_its_gate():
    model = ScriptedModel().says("a").and_then(Hold(gate="g"), Say(text="b"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask(model))
        await asyncio.sleep(0)  # it begins, and stands at the gate
        assert not task.done()
        model.release("g")
    assert len(items(task.result())) == 2


async def test_a_stalled_reply_can_be_cancelled():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask(ScriptedModel().stalls())


def test_a_script_is_json_as_well():
    script = Script.from_json(
        b'{"replies":[{"steps":[{"type":"call","name":"a","arguments":{"x":1}},{"type":"stall"}]}]}'
    )
    reply = script.reply_to(0, None)
    assert reply is not None
    assert reply.steps[1] == Stall()
    assert script.reply_to(1, None) is None


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"replies":[{"steps":[{"type":"no"}]}]}', b'{"x":1}']
)
def test_a_broken_script_is_refused_with_its_place(text: bytes):
    with pytest.raises(UsageError, match="not a script: "):
        Script.from_json(text)


def test_there_has_to_be_something_to_add_to():
    with pytest.raises(UsageError, match="no reply yet"):
        ScriptedModel().and_says("x")


def test_pieces_are_the_text_again():
    for text in ("", " a  b ", "one two", "  "):
        assert "".join(words(text)) == text
