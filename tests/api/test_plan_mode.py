"""Plan mode: nothing is written, the plan is cut out, the model is told once, people are asked."""

import json
import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Decision, Sandbox, tool
from octavo.api.engine import Engine
from octavo.api.recording import play_file
from octavo.protocol import events, items
from octavo.protocol.errors import UsageError
from octavo.protocol.history import Message
from octavo.protocol.questions import Answer, Answers
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Custom, Reply, Say

PLAN = "All clear.\n\n<proposed_plan>\n# Port it\n- one\n</proposed_plan>\n"
QUESTION = {
    "id": "which_one",
    "header": "Which",
    "question": "Which parser?",
    "options": [
        {"label": "New", "description": "write it"},
        {"label": "Old", "description": "keep it"},
    ],
}


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
    given = {"cwd": room / "work", "sandbox": Sandbox.workspace_write(), **more}
    return await engine.start_thread(**given)


def call(name, **arguments):
    return Reply(steps=(Call(name=name, arguments=arguments),))


def modes(request):
    """What the request says about modes, oldest first."""
    texts = [
        part.text
        for item in request.input
        if isinstance(item, Message) and item.role == "developer"
        for part in item.content
    ]
    return [
        "plan" if text.split("\n")[1].startswith("Plan mode") else "default"
        for text in texts
        if text.startswith("<collaboration_mode>")
    ]


def names(request):
    return [getattr(one, "name", "") for one in request.tools]


async def yes(_request):
    return Decision.allow_once()


async def test_commands_write_nothing_whatever_the_settings(room):
    rules = room / "home/rules"
    rules.mkdir()
    (rules / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")\n')
    work = room / "work"
    model = ScriptedModel(
        call("exec_command", cmd=f"touch {work}/a"),
        call("exec_command", cmd=f"touch {room}/b"),
        call(
            "exec_command",
            cmd="touch c",
            sandbox_permissions="require_escalated",
            justification="?",
        ),
        call("exec_command", cmd="cat there; echo more > d"),
        Reply(steps=(Say(text=PLAN),)),
        call("exec_command", cmd="echo now > e"),
        Reply(steps=(Say(text="done"),)),
    )
    (work / "there").write_text("content\n")
    for sandbox in (Sandbox.workspace_write(), Sandbox.danger_full_access()):
        again = ScriptedModel(*model.replies)
        async with opened(room, again, 'approval_policy="on-request"') as engine:
            thread = await start(engine, room, sandbox=sandbox, approver=yes)
            await thread.run("plan it", mode="plan")
            assert {path.name for path in work.iterdir()} == {"there"}
            assert not (room / "b").exists()
            assert "content" in again.requests[4].tool_outputs[3]
            await thread.run("go")
            assert (work / "e").read_text() == "now\n"
            (work / "e").unlink()


async def test_what_may_change_something_is_refused(room):
    @tool
    async def ticket(number: int) -> str:
        """Read one."""
        return f"ticket {number}"

    patch = "*** Begin Patch\n*** Add File: a\n+x\n*** End Patch"
    model = ScriptedModel(
        Reply(
            steps=(
                Custom(name="apply_patch", input=patch),
                Call(name="apply_patch", arguments={"input": patch}),
                Call(name="update_plan", arguments={"plan": []}),
                Call(name="spawn_agent", arguments={"message": "x"}, namespace="multi_agent_v1"),
                Call(name="python", arguments={"code": "1"}),
                Call(name="ticket", arguments={"number": 7}),
                Call(
                    name="exec_command", arguments={"cmd": f"apply_patch <<'EOF'\n{patch}\nEOF\n"}
                ),
            )
        ),
        Reply(steps=(Say(text=PLAN),)),
    )
    overrides = ("tools.update_plan.enabled=true", "features.python_repl=true")
    async with opened(room, model, *overrides) as engine:
        thread = await start(engine, room, tools=[ticket], approver=yes)
        await thread.run("plan it", mode="plan")
    answers = model.requests[1].tool_outputs
    assert list((room / "work").iterdir()) == []
    assert ["plan mode" in text for text in answers] == [True, True, True, True, True, False, False]
    assert "ticket 7" in answers[5]
    assert "read-only" in answers[6]
    assert names(model.requests[0]) == names(model.requests[1])


async def test_a_shell_from_before_takes_no_words_while_planning(room):
    def poke(request):
        number = int(request.tool_outputs[0].split("session ID ")[1].split("\n")[0])
        return Reply(
            steps=(
                Call(name="write_stdin", arguments={"session_id": number, "chars": "touch a\n"}),
                Call(name="write_stdin", arguments={"session_id": number, "yield_time_ms": 250}),
                Call(
                    name="exec_command",
                    arguments={"cmd": "cat", "tty": True, "yield_time_ms": 250},
                ),
            )
        )

    def again(request):
        number = int(request.tool_outputs[-1].split("session ID ")[1].split("\n")[0])
        return call("write_stdin", session_id=number, chars="heard\n", yield_time_ms=500)

    class Later(ScriptedModel):
        def reply_to(self, number, request):
            found = self.replies[number]
            return found(request) if callable(found) else found

    model = Later()
    model.replies = [
        call("exec_command", cmd="sh", tty=True, yield_time_ms=250),
        Reply(steps=(Say(text="a shell"),)),
        poke,
        again,
        Reply(steps=(Say(text=PLAN),)),
    ]
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("open a shell")
        await thread.run("plan it", mode="plan")
    assert list((room / "work").iterdir()) == []
    written, polled = model.requests[3].tool_outputs[1:3]
    assert "started before" in written
    assert "session ID" in polled
    assert "heard" in model.requests[4].tool_outputs[-1]


async def test_the_plan_is_an_item_of_its_own_and_no_tag_is_ever_shown(room):
    model = ScriptedModel(Reply(steps=(Say(text=PLAN),)))
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        async with thread.stream("plan it", mode="plan") as turn:
            seen = [event async for event in turn]
    written = "".join(event.text for event in seen if isinstance(event, events.AgentMessageDelta))
    assert written == "All clear.\n\n"
    done = [event.item for event in seen if isinstance(event, events.ItemCompleted)][1:]
    message, plan = done
    assert (message.text, plan.text) == ("All clear.", "# Port it\n- one")
    assert isinstance(plan, items.ProposedPlan)
    assert seen[-1].last_message == "All clear.\n\n# Port it\n- one"


async def test_a_message_that_is_only_a_plan_is_no_message(room):
    text = "<proposed_plan>\nJust so.\n</proposed_plan>"
    model = ScriptedModel(Reply(steps=(Say(text=text),)), Reply(steps=(Say(text=text),)))
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        planned = await thread.run("plan it", mode="plan")
        usual = await thread.run("say the same")
    assert [type(one) for one in planned.items] == [items.UserMessage, items.ProposedPlan]
    assert planned.final_message == "Just so."
    assert usual.final_message == text  # outside of plan mode words are words
    assert [one.text for one in model.requests[1].input if isinstance(one, Message)].count(
        text
    ) == 1


async def test_the_model_is_told_when_the_mode_changes_and_only_then(room):
    said = Reply(steps=(Say(text="ok"),))
    model = ScriptedModel(said, said, said, said, said)
    async with opened(room, model, 'plan_mode_reasoning_effort="high"') as engine:
        thread = await start(engine, room)
        await thread.run("a")
        await thread.run("b", mode="plan")
        await thread.run("c", mode="plan")
        await thread.run("d")
        await thread.close()
        thread = await engine.resume_thread(thread.id, sandbox=Sandbox.workspace_write())
        await thread.run("e", mode="plan")
    assert [modes(request) for request in model.requests] == [
        [], ["plan"], ["plan"], ["plan", "default"], ["plan", "default", "plan"],
    ]  # fmt: skip
    assert [request.effort for request in model.requests] == [None, "high", "high", None, "high"]
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        assert after.input[: len(before.input)] == before.input


async def test_an_unknown_mode_is_refused(room):
    async with opened(room, ScriptedModel()) as engine:
        thread = await start(engine, room)
        with pytest.raises(UsageError, match="no mode 'dream'"):
            await thread.run("x", mode="dream")


class Person:
    """Answers with what was given, and remembers what was asked."""

    def __init__(self, answers=None):
        self.answers, self.asked = answers, []

    async def __call__(self, questions):
        self.asked.append(questions)
        return self.answers


ANSWERED = Answers(answers={"which_one": Answer(answers=("New",))})


async def test_a_person_is_asked_and_the_model_hears_the_answer(room):
    model = ScriptedModel(
        call("request_user_input", questions=[QUESTION]), Reply(steps=(Say(text=PLAN),))
    )
    person = Person(ANSWERED)
    async with opened(room, model) as engine:
        thread = await start(engine, room, questioner=person)
        await thread.run("plan it", mode="plan")
    assert json.loads(model.requests[1].tool_outputs[0]) == {
        "answers": {"which_one": {"answers": ["New"]}}
    }
    (asked,) = person.asked
    assert [option.label for option in asked.questions[0].options] == ["New", "Old"]


async def test_nobody_who_does_not_want_to_answer_is_pressed(room):
    model = ScriptedModel(
        call("request_user_input", questions=[QUESTION]), Reply(steps=(Say(text=PLAN),))
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room, questioner=Person())
        await thread.run("plan it", mode="plan")
    assert "Decide as well as you can" in model.requests[1].tool_outputs[0]


@pytest.mark.parametrize(("overrides", "mode", "person", "offered"), [
    ((), "plan", True, True),
    ((), "plan", False, False),
    ((), "default", True, False),
    (("features.default_mode_request_user_input=true",), "default", True, True),
    (("features.default_mode_request_user_input=true",), "plan", True, True),
    (("tools.experimental_request_user_input.enabled=false",), "plan", True, False),
])  # fmt: skip
async def test_it_is_offered_where_somebody_answers_and_the_mode_allows_it(
    room, overrides, mode, person, offered
):
    model = ScriptedModel(call("request_user_input", questions=[]), Reply(steps=(Say(text="x"),)))
    async with opened(room, model, *overrides) as engine:
        thread = await start(engine, room, questioner=Person() if person else None)
        await thread.run("x", mode=mode)
    assert (names(model.requests[0]).count("request_user_input") == 1) is offered
    answer = model.requests[1].tool_outputs[0]
    assert ("ask one to 3" in answer) is offered
    assert ("unsupported call" in answer) is not offered


async def test_stopping_the_turn_takes_the_question_back(room):
    import asyncio

    gone = []

    async def waits(_questions):
        try:
            await asyncio.Event().wait()
        finally:
            gone.append(True)

    model = ScriptedModel(
        call("request_user_input", questions=[QUESTION]), Reply(steps=(Say(text="x"),))
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room, questioner=waits)
        async with thread.stream("plan it", mode="plan") as turn:
            async for event in turn:
                if isinstance(event, events.ItemStarted):
                    await turn.interrupt()
        await thread.run("again")
    assert gone == [True]
    assert model.requests[1].tool_outputs[0].startswith("cancelled")


async def test_a_recorded_plan_plays_again(room):
    model = ScriptedModel(
        call("exec_command", cmd="ls"),
        Reply(steps=(Say(text=PLAN),)),
        Reply(steps=(Say(text="done"),)),
    )
    file = room / "plan.jsonl"
    async with opened(room, model, 'plan_mode_reasoning_effort="low"') as engine:
        thread = await start(engine, room, record=file, questioner=Person())
        await thread.run("plan it", mode="plan")
        await thread.run("do it")
    shown = list(play_file(str(file))[1])
    assert sum(isinstance(event, events.TurnCompleted) for event in shown) == 2
