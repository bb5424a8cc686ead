"""A goal at work: the turn goes on by itself, the budget holds, a stop pauses, a resume goes on."""

import json
import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.recording import play_file
from octavo.api.thread import TurnFailedError
from octavo.engine.ledger import recovered
from octavo.protocol import events
from octavo.protocol.usage import TokenUsage
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Hold, Reply, Say

ON = "features.goals=true"


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def opened(room, model, *overrides):
    return Engine.open(model=model, home=room / "home", overrides=(ON, *overrides))


async def start(engine, room, **more):
    return await engine.start_thread(cwd=room / "work", sandbox=Sandbox.workspace_write(), **more)


def call(name, tokens=100, **arguments):
    return Reply(
        steps=(Call(name=name, arguments=arguments),), usage=TokenUsage(input=tokens, total=tokens)
    )


def say(text, tokens=100):
    return Reply(steps=(Say(text=text),), usage=TokenUsage(input=tokens, total=tokens))


def work(cmd="true"):
    return call("exec_command", cmd=cmd)


def told(request):
    """The last message of a request, when it is the goal's."""
    text = request.input[-1].text if hasattr(request.input[-1], "text") else ""
    return text if text.startswith("<goal_context>") else ""


def outputs(request):
    return [json.loads(text) for text in request.tool_outputs]


async def watch(thread, prompt):
    async with thread.stream(prompt) as turn:
        return [event async for event in turn]


async def test_a_goal_is_worked_for_until_it_is_complete(room):
    model = ScriptedModel(
        call("create_goal", objective="two files: a and b"),
        work("touch a"),
        say("a is there."),
        work("touch b"),
        say("b too."),
        call("update_goal", status="complete"),
        say("Both are there."),
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        result = await thread.run("Please make it a goal: two files.")
        goal = thread.goal
    assert {path.name for path in (room / "work").iterdir()} == {"a", "b"}
    assert [bool(told(request)) for request in model.requests] == [
        False, False, False, True, False, True, False,
    ]  # fmt: skip
    assert "two files: a and b" in told(model.requests[3])
    assert result.final_message == "Both are there."
    assert (goal.status, goal.tokens_used) == ("complete", 500)
    assert outputs(model.requests[1])[0]["goal"]["status"] == "active"


async def test_the_tools_are_offered_only_where_goals_are_on(room):
    model = ScriptedModel().says("hi")
    async with Engine.open(model=model, home=room / "home") as engine:
        thread = await start(engine, room)
        await thread.run("hi")
        assert thread.goal is None
    assert "create_goal" not in {tool.name for tool in model.requests[0].tools}


async def test_a_spent_budget_asks_for_one_closing_message(room):
    model = ScriptedModel(
        call("create_goal", objective="count", token_budget=150),
        work(),
        work(),
        say("This far I came."),
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        result = await thread.run("count, with 150 tokens")
        goal = thread.goal
    assert result.final_message == "This far I came."
    assert goal.status == "budget_limited"
    assert "budget of the goal is spent: 200 of 150" in told(model.requests[3])
    assert not any(told(request) for request in model.requests[:3])


async def test_a_model_that_does_not_close_is_stopped(room):
    model = ScriptedModel(call("create_goal", objective="x", token_budget=50), *[work()] * 20)
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="token budget of the goal"):
            await thread.run("go")
    assert len(model.requests) == 7


async def test_a_model_that_does_nothing_is_not_asked_for_ever(room):
    model = ScriptedModel(call("create_goal", objective="x"), *[say("Soon.")] * 20)
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        seen = await watch(thread, "go")
        goal = thread.goal
    assert len(model.requests) == 5  # its own end, and three continuations
    warnings = [event.message for event in seen if isinstance(event, events.Warned)]
    assert len([text for text in warnings if "goal is paused" in text]) == 1
    assert goal.status == "paused"
    assert isinstance(seen[-1], events.TurnCompleted)


async def test_blocked_is_taken_only_the_third_time_in_a_row(room):
    blocked = call("update_goal", status="blocked")
    model = ScriptedModel(
        call("create_goal", objective="x"),
        blocked, say("no key"), work(), blocked, say("no key"), work(), blocked, say("no key"),
    )  # fmt: skip
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        result = await thread.run("go")
        goal = thread.goal
    assert result.final_message == "no key"
    assert goal.status == "blocked"
    answers = [text for text in model.requests[-1].tool_outputs if "goal" in text]
    assert "1 of 3" in answers[1]
    assert "2 of 3" in answers[2]
    assert '"status":"blocked"' in answers[3]


async def test_a_stop_pauses_the_goal_and_a_person_may_go_on(room):
    model = ScriptedModel(
        call("create_goal", objective="x"),
        Reply(steps=(Say(text="wait"), Hold(gate="never"))),
        say("What now?"),
        say("On."),
        call("update_goal", status="complete"),
        say("Done."),
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        async with thread.stream("go") as turn:
            async for event in turn:
                if isinstance(event, events.AgentMessageDelta):
                    await turn.interrupt()
        assert thread.goal.status == "paused"
        await thread.run("hm")
        assert len(model.requests) == 3  # it did not go on by itself
        assert thread.resume_goal().status == "active"
        await thread.run("go on")
        assert thread.goal.status == "complete"


async def test_a_goal_outlives_the_program(room):
    model = ScriptedModel(
        call("create_goal", objective="survive", token_budget=1_000),
        Reply(steps=(Say(text="…"),), usage=TokenUsage(input=100, total=100)),
        Reply(steps=(Call(name="exec_command", arguments={"cmd": "true"}),), usage=None),
    ).fails("invalid_request", "no")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError):
            await thread.run("go")
    again = ScriptedModel(say("Back."), call("update_goal", status="complete"), say("Done."))
    async with opened(room, again) as engine:
        thread = await engine.resume_thread(thread.id, sandbox=Sandbox.workspace_write())
        before = thread.goal
        await thread.run("you were away")
        assert thread.goal.status == "complete"
    assert (before.objective, before.status, before.tokens_used) == ("survive", "active", 100)
    assert "survive" in told(again.requests[1])


async def test_the_ledger_keeps_the_goal_when_the_history_is_shortened(room):
    full = TokenUsage(input=95_000, output=10, total=95_010)
    model = ScriptedModel(
        call("create_goal", objective="the real goal"),
        Reply(steps=(Call(name="exec_command", arguments={"cmd": "true"}),), usage=full),
        say("A summary."),
        call("update_goal", status="complete"),
        say("Done."),
    )
    async with opened(room, model, "model_context_window=100000") as engine:
        thread = await start(engine, room)
        await thread.run("the first words")
    assert recovered(model.requests[3].input).goal == "the real goal"


async def test_the_settings_cap_the_budget(room):
    model = ScriptedModel(call("create_goal", objective="x", token_budget=900), say("…"))
    async with opened(room, model, "goals.max_goal_token_budget=40") as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError):  # the script is over
            await thread.run("go")
    assert outputs(model.requests[1])[0]["goal"]["token_budget"] == 40


async def test_sub_agents_have_no_goals(room):
    def wait(request):
        agent = json.loads(request.tool_outputs[0])["agent_id"]
        arguments = {"targets": [agent], "timeout_ms": 60_000}
        return Reply(
            steps=(Call(name="wait_agent", arguments=arguments, namespace="multi_agent_v1"),)
        )

    spawn = Call(name="spawn_agent", arguments={"message": "helper"}, namespace="multi_agent_v1")
    seen = []

    class Two(ScriptedModel):
        def reply_to(self, number, request):
            if any(getattr(item, "text", "") == "helper" for item in request.input):
                seen.append({tool.name for tool in request.tools})
                return say("helped")
            return [Reply(steps=(spawn,)), wait(request) if number else None, say("ok")][
                len(request.tool_outputs)
            ]

    async with opened(room, Two()) as engine:
        await (await start(engine, room)).run("main")
    assert seen
    assert "create_goal" not in seen[0]


async def test_a_recorded_goal_plays_again(room):
    model = ScriptedModel(
        call("create_goal", objective="x", token_budget=250),
        work(),
        say("one"),
        work(),
        say("closing"),
    )
    file = room / "goal.jsonl"
    async with opened(room, model) as engine:
        thread = await start(engine, room, record=file)
        await thread.run("go")
    shown = list(play_file(str(file))[1])  # raises where anything differs
    assert isinstance(shown[-1], events.TurnCompleted)
