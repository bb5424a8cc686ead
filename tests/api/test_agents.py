"""Sub-agents: started, told more, waited for, closed; one budget, no orphan."""

import json
import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.thread import TurnFailedError
from octavo.protocol.history import Message
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Hold, Reply, Say, Script

SPACE = "multi_agent_v1"


def call(name, **arguments):
    return Reply(steps=(Call(name=name, arguments=arguments, namespace=SPACE),))


class Cast(ScriptedModel):
    """Several scripts: which one answers is decided by the first words of the user."""

    def __init__(self, **parts):
        super().__init__()
        self.parts = {name: list(replies) for name, replies in parts.items()}
        self.asked = {name: [] for name in parts}

    def reply_to(self, number, request):
        words = [m.text for m in request.input if isinstance(m, Message) and m.role == "user"]
        name = next(name for name in self.parts if any(w.startswith(name) for w in words))
        self.asked[name].append(request)
        found = self.parts[name].pop(0) if self.parts[name] else None
        return found(request) if callable(found) else found


def outputs(request):
    return [json.loads(text) for text in request.tool_outputs]


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def opened(room, model, *overrides):
    return Engine.open(model=model, home=room / "home", overrides=overrides)


async def start(engine, room, **more):
    return await engine.start_thread(cwd=room / "work", sandbox=Sandbox.workspace_write(), **more)


def wait_for(request):
    return call("wait_agent", targets=[outputs(request)[0]["agent_id"]], timeout_ms=60_000)


def close_it(request):
    return call("close_agent", target=outputs(request)[0]["agent_id"])


async def test_an_agent_works_in_the_same_folder_and_its_words_come_back(room):
    model = Cast(
        main=[
            call("spawn_agent", message="helper: make a file"),
            wait_for,
            close_it,
            Reply(steps=(Say(text="ok"),)),
        ],
        helper=[
            Reply(steps=(Call(name="exec_command", arguments={"cmd": "echo hi > made"}),)),
            Reply(steps=(Say(text="made it"),)),
        ],
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        result = await thread.run("main task")
        listed = [info async for info in engine.threads()]
    assert (room / "work/made").read_text() == "hi\n"
    spawned, waited, closed = outputs(model.asked["main"][-1])
    agent = spawned["agent_id"]
    assert waited == {"status": {agent: {"completed": "made it"}}, "timed_out": False}
    assert closed == {"previous_status": {"completed": "made it"}}
    assert result.final_message == "ok"
    assert {info.parent for info in listed} == {None, thread.id}
    names = {tool.name for tool in model.asked["helper"][0].tools}
    assert SPACE not in names  # depth is one: it starts no others


async def test_two_agents_work_side_by_side(room):
    def both(request):
        ids = [one["agent_id"] for one in outputs(request)]
        return call("wait_agent", targets=ids)

    model = Cast(
        main=[
            Reply(
                steps=(
                    Call(name="spawn_agent", arguments={"message": "first"}, namespace=SPACE),
                    Call(name="spawn_agent", arguments={"message": "second"}, namespace=SPACE),
                )
            ),
            both,
            Reply(steps=(Say(text="ok"),)),
        ],
        first=[Reply(steps=(Hold(gate="a"), Say(text="one")))],
        second=[Reply(steps=(Say(text="two"),))],
    )
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("main")
        model.release("a")
    waited = outputs(model.asked["main"][-1])[-1]
    assert list(waited["status"].values()) == [{"completed": "two"}]


async def test_more_agents_than_allowed_are_refused_in_words(room):
    model = Cast(
        main=[
            call("spawn_agent", message="first"),
            call("spawn_agent", message="first again"),
            Reply(steps=(Say(text="ok"),)),
        ],
        first=[Reply(steps=(Say(text="one"),))],
    )
    async with opened(room, model, "agents.max_threads=1") as engine:
        await (await start(engine, room)).run("main")
    assert "1 agents are open, which is the most" in model.asked["main"][-1].tool_outputs[-1]


async def test_an_agent_that_is_stopped_and_told_something_else_does_that(room):
    def redirect(request):
        agent = outputs(request)[0]["agent_id"]
        return call("send_input", target=agent, message="do this instead", interrupt=True)

    model = Cast(
        main=[
            call("spawn_agent", message="helper"),
            redirect,
            wait_for,
            Reply(steps=(Say(text="ok"),)),
        ],
        helper=[Reply(steps=(Hold(gate="never"),)), Reply(steps=(Say(text="instead"),))],
    )
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("main")
    assert list(outputs(model.asked["main"][-1])[-1]["status"].values()) == [
        {"completed": "instead"}
    ]


async def test_one_budget_holds_for_all(room):
    model = Cast(
        main=[call("spawn_agent", message="helper"), wait_for, Reply(steps=(Say(text="ok"),))],
        helper=[Reply(steps=(Say(text="x"),))],
    )
    async with opened(room, model, "budget.tokens=300") as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="budget for tokens"):
            await thread.run("main")


async def test_agents_end_with_the_thread_that_started_them(room):
    model = Cast(
        main=[call("spawn_agent", message="helper"), Reply(steps=(Say(text="ok"),))],
        helper=[
            Reply(steps=(Call(name="exec_command", arguments={"cmd": "echo $$ > pid; sleep 60"}),))
        ],
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("main")
        await thread.close()
        assert all(not agent.thread for agent in thread._crew._agents.values())


async def test_a_role_of_the_settings_is_told_to_the_agent(room):
    model = Cast(
        main=[
            call("spawn_agent", message="helper", agent_type="critic"),
            wait_for,
            Reply(steps=(Say(text="ok"),)),
        ],
        helper=[Reply(steps=(Say(text="x"),))],
    )
    async with opened(room, model, 'agents.critic={description="You find faults."}') as engine:
        await (await start(engine, room)).run("main")
    texts = [m.text for m in model.asked["helper"][0].input if isinstance(m, Message)]
    assert any("You find faults." in text for text in texts)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (call("wait_agent", targets=["nobody"]), "not_found"),
        (call("close_agent", target="nobody"), "no open agent nobody"),
        (call("spawn_agent", message=" "), "message is empty"),
        (call("spawn_agent", message="x", agent_type="king"), "no role 'king'"),
        (call("wait_agent", targets=[]), "`targets` is empty"),
    ],
)
async def test_wrong_calls_are_answered_in_words(room, reply, words):
    model = Cast(main=[reply, Reply(steps=(Say(text="ok"),))])
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("main")
    assert words in model.asked["main"][-1].tool_outputs[-1]


async def test_agents_can_be_switched_off(room):
    model = ScriptedModel().says("ok")
    async with opened(room, model, "agents.enabled=false") as engine:
        await (await start(engine, room)).run("main")
    assert SPACE not in {tool.name for tool in model.requests[0].tools}


assert issubclass(Cast, Script)
