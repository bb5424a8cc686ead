"""Long threads: shortened at the threshold and on demand, budgets kept, secrets kept back."""

import json
import os
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.thread import TurnFailedError
from octavo.engine.ledger import recovered
from octavo.protocol import events, items
from octavo.protocol.history import Message
from octavo.protocol.usage import TokenUsage
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Reply, Say

FULL = TokenUsage(input=95_000, output=10, total=95_010)
RULES = "Never touch `legacy/`.\n\tTabs stay;   spaces too — “quotes” as they are.\n"


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A home and a folder with rules; nothing of the machine's settings."""
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work/AGENTS.md").write_text(RULES)
    return tmp_path


def opened(room, model, *overrides, **more):
    overrides = ("model_context_window=100000", *overrides)
    return Engine.open(model=model, home=room / "home", overrides=overrides, **more)


async def start(engine, room, **more):
    return await engine.start_thread(cwd=room / "work", sandbox=Sandbox.workspace_write(), **more)


def texts(request):
    return [item.text for item in request.input if isinstance(item, Message)]


def reply(*steps, usage=FULL):
    return Reply(steps=steps, usage=usage)


async def test_a_full_window_is_shortened_in_the_middle_of_a_turn(room):
    model = ScriptedModel(
        reply(Call(name="exec_command", arguments={"cmd": "echo first"})),
        reply(Say(text="We looked.\n## Next step\n- write it"), usage=None),
        reply(Say(text="Done."), usage=None),
    )
    async with opened(room, model) as engine:
        result = await (await start(engine, room)).run("Build the thing")
    first, asked, after = model.requests
    assert asked.tools == first.tools  # what the server has cached stays of use
    assert asked.input[: len(first.input)] == first.input
    assert (first.window_id or "").endswith(":0")
    assert (after.window_id or "").endswith(":1")
    assert "Build the thing" in texts(after)
    assert sum("We looked." in text for text in texts(after)) == 1
    assert sum(RULES in text for text in texts(after)) == 1
    assert after.tool_outputs == asked.tool_outputs  # the last step is there word for word
    ledger = recovered(after.input)
    assert (ledger.goal, ledger.next_step) == ("Build the thing", "write it")
    assert result.final_message == "Done."
    assert [type(item) for item in result.items].count(items.Compaction) == 1


async def test_a_window_the_server_calls_full_is_shortened_and_asked_again(room):
    model = ScriptedModel().fails("context_window", "too long").says("summary").says("Done.")
    async with opened(room, model) as engine:
        result = await (await start(engine, room)).run("go")
    assert result.final_message == "Done."
    assert len(model.requests) == 3


async def test_a_window_that_stays_full_ends_the_turn_and_not_the_thread(room):
    model = ScriptedModel().fails("context_window", "too long").says("s")
    model.fails("context_window", "too long").says("Fine.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="too long"):
            await thread.run("go")
        assert (await thread.run("again")).final_message == "Fine."


async def test_without_a_summary_the_ledger_goes_on(room):
    model = ScriptedModel(reply(Say(text="hello"), usage=None), reply(usage=None))
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("Remember me")
        await thread.compact()
        model.says("Yes.")
        await thread.run("Still there?")
    assert recovered(model.requests[-1].input).goal == "Remember me"


async def test_twenty_shortenings_keep_rules_and_next_step(room):
    model = ScriptedModel()
    seen = []
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        model.says("Begun.")
        await thread.run("Rewrite the parser")
        for number in range(20):
            plan = {"plan": [{"step": f"step {number}", "status": "in_progress"}]}
            model.calls_custom(
                "apply_patch",
                f"*** Begin Patch\n*** Add File: f{number}.txt\n+x\n*** End Patch",
            )
            model.calls("update_plan", **plan).says("ok")
            await thread.run(f"go on with {number} " + "and more " * 400)
            words = "## Rules\n- keep “it” byte for byte  \n" if number == 3 else ""
            model.says(f"summary {number}\n{words}## Rejected\n- way {number}")
            await thread.compact()
            model.says("yes")
            await thread.run("check")
            seen.append(model.requests[-1])
    for number, request in enumerate(seen):
        assert sum(RULES in text for text in texts(request)) == 1
        ledger = recovered(request.input)
        assert ledger.goal == "Rewrite the parser"
        assert ledger.next_step == f"step {number}"
        assert ledger.rejected == tuple(f"way {n}" for n in range(number + 1))
        assert ledger.changed == tuple(f"f{n}.txt" for n in range(number + 1))
        assert ledger.rules == (("keep “it” byte for byte",) if number >= 3 else ())
        assert sum("<context_summary>" in text for text in texts(request)) == 1


async def test_a_thread_from_disk_goes_on_from_its_summary(room):
    model = ScriptedModel().says("a").says("the summary\n## Rules\n- be kind").says("b")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("one")
        await thread.compact()
        thread_id = thread.id
    async with opened(room, model) as engine:
        thread = await engine.resume_thread(thread_id, sandbox=Sandbox.workspace_write())
        await thread.run("two")
    last = model.requests[-1]
    assert recovered(last.input).rules == ("be kind",)
    assert (last.window_id or "").endswith(":1")
    assert sum("<permissions instructions>" in text for text in texts(last)) == 1


async def test_shortening_can_be_stopped_and_leaves_the_thread_as_it_was(room):
    model = ScriptedModel().says("a").stalls()
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("one")
        async with thread._watched(_compacting(thread)) as turn:
            async for event in turn:
                if isinstance(event, events.ItemStarted):
                    await turn.interrupt()
        model.says("b")
        await thread.run("two")
    assert not any("<context_summary>" in text for text in texts(model.requests[-1]))


def _compacting(thread):
    from octavo.engine.running import CompactingTurn

    return CompactingTurn(thread._session, (), load=thread._load)


# ---- budgets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("budget.tokens=100", "budget for tokens is spent"),
        ("budget.usd=0.0001", "budget for money is spent"),
    ],
)
async def test_a_spent_budget_ends_the_turn_before_the_next_request(room, override, words):
    model = ScriptedModel().calls("exec_command", cmd="true").says("never asked")
    prices = "model_prices={scripted={input=5.0, output=5.0}}"
    async with opened(room, model, override, prices) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match=words) as caught:
            await thread.run("go")
    assert caught.value.ending.exit_code == 7
    assert len(model.requests) == 1


async def test_a_budget_of_time_ends_a_command_that_hangs(room):
    model = ScriptedModel().calls("exec_command", cmd="sleep 60").says("never")
    async with opened(room, model, "budget.seconds=1.5") as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="budget for time is spent"):
            await thread.run("go")


async def test_turns_are_counted_for_the_thread(room):
    model = ScriptedModel().says("one").says("two")
    async with opened(room, model, "budget.turns=1") as engine:
        thread = await start(engine, room)
        await thread.run("go")
        with pytest.raises(TurnFailedError, match="budget for turns is spent: 1 of 1"):
            await thread.run("go")
    assert len(model.requests) == 1


# ---- secrets ----------------------------------------------------------------------------------

CANARY = "canary-7f3Q9zL1pX"


async def test_held_back_values_reach_nobody(room):
    (room / "work/leak.txt").write_text(f"token: {CANARY}\n")
    environ = {**os.environ, "DEPLOY_TOKEN": CANARY, "HOME": str(room / "home")}
    model = (
        ScriptedModel()
        .calls(
            "exec_command", cmd="env; cat leak.txt; printf %s canary-7f3Q9; sleep 0.3; echo zL1pX"
        )
        .says("ok")
    )
    got = []
    async with opened(room, model, environ=environ) as engine:
        thread = await start(engine, room)
        async with thread.stream("go") as turn:
            got += [event async for event in turn]
        path = thread.path
    told = model.requests[1].tool_outputs[0]
    assert "[redacted:DEPLOY_TOKEN]" in told
    assert CANARY not in told
    assert "DEPLOY_TOKEN=" not in told
    assert "`DEPLOY_TOKEN`" in texts(model.requests[0])[0]  # the model knows why it is missing
    assert CANARY not in repr(got)
    assert all(
        CANARY.encode() not in file.read_bytes()
        for file in Path(path).parent.rglob("*")
        if file.is_file()
    )


async def test_credentials_in_the_home_folder_cannot_be_read(room):
    home = room / "user"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text(CANARY)
    (home / ".npmrc").write_text(CANARY)
    (home / ".gitconfig").write_text("[user]\n")
    environ = {**os.environ, "HOME": str(home)}
    cmd = f"cat {home}/.aws/credentials {home}/.npmrc; cat {home}/.gitconfig"
    model = ScriptedModel().calls("exec_command", cmd=cmd).says("ok")
    async with opened(room, model, environ=environ) as engine:
        result = await (await start(engine, room)).run("go")
    told = model.requests[1].tool_outputs[0]
    assert CANARY not in told
    assert "[user]" in told
    (ran,) = [item for item in result.items if isinstance(item, items.CommandExecution)]
    assert any("deny_secrets" in note.rule for note in ran.denials)
    assert CANARY not in json.dumps([str(item) for item in result.items])
