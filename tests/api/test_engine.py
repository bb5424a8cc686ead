"""Threads through the library: the real engine, store and sandbox; only the model is a script."""

import asyncio
import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox, UsageError
from octavo.api.engine import Engine
from octavo.api.thread import TurnFailedError
from octavo.model.codec import WireOptions
from octavo.model.responses import encode
from octavo.protocol import events, items
from octavo.protocol.errors import ConfigError
from octavo.store.errors import StoreError, ThreadBusy, ThreadNotFound
from octavo.testing import ScriptedModel


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A home and a folder; nothing of the machine's settings."""
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def opened(room, model, **more):
    return Engine.open(model=model, home=room / "home", **more)


async def start(engine, room, **more):
    return await engine.start_thread(cwd=room / "work", sandbox=Sandbox.workspace_write(), **more)


def kinds(got):
    return [type(event).__name__ for event in got]


async def watch(thread, prompt, do=None):
    """All events of one turn; `do(turn, event)` may act on each."""
    got = []
    async with thread.stream(prompt) as turn:
        async for event in turn:
            got.append(event)
            if do is not None:
                await do(turn, event)
    return got


async def test_a_message_is_the_result(room):
    async with opened(room, ScriptedModel().says("Hello.")) as engine:
        thread = await start(engine, room)
        result = await thread.run("Hi")
    assert result.final_message == "Hello."
    assert result.usage.total == 110
    assert [type(item) for item in result.items] == [items.UserMessage, items.AgentMessage]


async def test_a_command_runs_in_the_sandbox_and_its_output_goes_back(room):
    script = "echo seen; touch made; touch /etc/octavo-test"
    model = ScriptedModel().calls("exec_command", cmd=script).says("Done.")
    async with opened(room, model) as engine:
        result = await (await start(engine, room)).run("go")
    told = model.requests[1].tool_outputs[0]
    assert "seen" in told
    assert "/etc/octavo-test" in told
    assert (room / "work/made").exists()
    assert "octavo-test" not in os.listdir("/etc")
    (ran,) = [item for item in result.items if isinstance(item, items.CommandExecution)]
    assert (ran.status, ran.exit_code) == ("failed", 1)


async def test_tools_run_side_by_side_and_are_told_in_the_order_of_their_calls(room):
    wait = "while ! test -e go; do sleep 0.01; done; echo first"
    model = (
        ScriptedModel()
        .calls("exec_command", cmd=wait)
        .and_calls("exec_command", cmd="touch go; echo second")
        .says("Both.")
    )
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("go")
    assert [out.splitlines()[-1] for out in model.requests[1].tool_outputs] == ["first", "second"]


async def test_what_is_not_a_tool_and_what_cannot_be_read_is_told_to_the_model(room):
    model = (
        ScriptedModel()
        .calls("no_such_tool", x=1)
        .and_then()
        .calls_raw("exec_command", "{broken")
        .says("I see.")
    )
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("go")
    outputs = model.requests[2].tool_outputs
    assert "unsupported call: no_such_tool" in outputs[0]
    assert "failed to parse" in outputs[1]


async def test_each_request_begins_with_the_bytes_of_the_one_before(room):
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo one")
        .thinks("hm")
        .calls("exec_command", cmd="echo two")
        .says("Done.")
        .says("Again.")
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("go")
        await thread.run("once more")
    bodies = [encode(request, WireOptions()).body for request in model.requests]
    tails = [json.loads(body)["input"] for body in bodies]
    for before, after in pairwise(tails):
        assert after[: len(before)] == before
    for before, after in pairwise(bodies):
        at = before.index(b'"input":[{"type":"message"') + len(b'"input":')
        told = msgspec.json.encode(json.loads(before)["input"])[:-1]
        assert before[at:].startswith(told)
        assert after.startswith(before[: at + len(told)])


async def test_a_broken_stream_is_asked_for_again_with_what_it_completed(room):
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo kept")
        .and_fails("disconnected", "cut")
        .says("Done.")
    )
    async with opened(room, model) as engine:
        got = await watch(await start(engine, room), "go")
    (notice,) = [event for event in got if isinstance(event, events.Retrying)]
    assert notice.message == "Reconnecting... 1/5 (cut)"
    assert "kept" in model.requests[1].tool_outputs[0]
    assert isinstance(got[-1], events.TurnCompleted)


async def test_an_error_that_cannot_heal_ends_the_turn_and_the_thread_goes_on(room):
    model = ScriptedModel().fails("invalid_request", "no such model").says("Now.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="no such model"):
            await thread.run("go")
        assert (await thread.run("again")).final_message == "Now."


async def test_an_unreachable_provider_is_given_up_in_time(room):
    model = ScriptedModel().fails("unreachable", "nobody there").and_so_on()
    async with opened(room, model, unreachable_s=0.05) as engine:
        thread = await start(engine, room)
        async with asyncio.timeout(5):
            with pytest.raises(TurnFailedError, match="nobody there"):
                await thread.run("go")
    assert len(model.requests) > 1


async def test_words_while_a_command_runs_reach_the_next_request(room):
    model = ScriptedModel().calls("exec_command", cmd="sleep 0.3; echo over").says("Short.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)

        async def steer(turn, event):
            if isinstance(event, events.ItemStarted):
                await turn.steer("Five steps at most.")

        await watch(thread, "go", steer)
    said = [item for item in model.requests[1].input if getattr(item, "role", "") == "user"]
    assert said[-1].text == "Five steps at most."
    assert "over" in model.requests[1].tool_outputs[0]


async def test_an_interrupt_leaves_no_process_and_a_thread_that_goes_on(room):
    pid_file = room / "work/pid"
    script = f"echo $$ > {pid_file}; sleep 600 & sleep 600"
    model = ScriptedModel().calls("exec_command", cmd=script).says("Back.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)

        async def stop(turn, event):
            if isinstance(event, events.ItemStarted):
                while not pid_file.exists():  # noqa: ASYNC110 - a command writes it
                    await asyncio.sleep(0.01)
                await turn.interrupt()

        got = await watch(thread, "go", stop)
        assert isinstance(got[-1], events.TurnInterrupted)
        assert not running("sleep 600", room)
        assert (await thread.run("again")).final_message == "Back."
    request = model.requests[1]
    assert "aborted" in request.tool_outputs[0]
    assert "turn_aborted" in "".join(
        item.text for item in request.input if getattr(item, "role", "") == "user"
    )


def running(words, room):
    """Processes with these words whose folder is in the room."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(str(room)):
                line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [name] if words in line else []
        except OSError:
            continue
    return found


async def test_leaving_early_stops_the_turn(room):
    model = ScriptedModel().calls("exec_command", cmd="sleep 600").says("Back.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        async with thread.stream("go") as turn:
            async for event in turn:
                if isinstance(event, events.ItemStarted):
                    break
        assert not running("sleep 600", room)
        assert (await thread.run("again")).final_message == "Back."


async def test_a_deadline_around_a_turn_stops_it(room):
    model = ScriptedModel().stalls().says("Back.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await thread.run("go")
        assert (await thread.run("again")).final_message == "Back."


async def test_a_resumed_thread_knows_everything_and_says_nothing_twice(room):
    async with opened(room, ScriptedModel().says("One.")) as engine:
        thread = await start(engine, room)
        await thread.run("first")
    model = ScriptedModel().says("Two.")
    async with opened(room, model) as engine:
        again = await engine.resume_thread(thread.id, sandbox=Sandbox.workspace_write())
        result = await again.run("second")
    assert result.usage.total == 220
    said = [item.text for item in model.requests[0].input]
    assert [text for text in said if text in ("first", "One.", "second")] == [
        "first", "One.", "second",
    ]  # fmt: skip
    assert sum("<environment_context>" in text for text in said) == 1


async def test_a_fork_begins_where_the_other_thread_is_and_leaves_it_alone(room):
    model = ScriptedModel().says("One.").says("Fork.").says("Main.")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.run("first")
        other = await thread.fork()
        assert (await other.run("aside")).final_message == "Fork."
        await thread.run("ahead")
    assert other.id != thread.id
    assert "aside" not in [item.text for item in model.requests[2].input]
    assert "first" in [item.text for item in model.requests[1].input]


async def test_threads_are_found_by_folder_and_words(room):
    async with opened(room, ScriptedModel().says("ok").and_so_on()) as engine:
        thread = await start(engine, room)
        await thread.run("the flaky test")
        found = [info.id async for info in engine.threads(cwd=room / "work", search="flaky")]
        none = [info.id async for info in engine.threads(search="something else entirely")]
    assert (found, none) == ([thread.id], [])


async def test_a_thread_that_another_has_open_is_refused(room):
    async with opened(room, ScriptedModel().says("ok")) as engine:
        thread = await start(engine, room)
        await thread.run("go")
        async with opened(room, ScriptedModel()) as other:
            with pytest.raises(ThreadBusy):
                await other.resume_thread(thread.id)


async def test_a_thread_that_is_not_there_is_said_in_one_line(room):
    async with opened(room, ScriptedModel()) as engine:
        with pytest.raises(ThreadNotFound):
            await engine.resume_thread("01a1fcd7-e899-7c67-ac4f-5a22198cf425")


async def test_what_is_ephemeral_leaves_nothing(room):
    async with opened(room, ScriptedModel().says("ok")) as engine:
        thread = await start(engine, room, ephemeral=True)
        await thread.run("go")
        assert thread.path is None
    assert not (room / "home/sessions").exists()


async def test_one_turn_at_a_time(room):
    async with opened(room, ScriptedModel().stalls()) as engine:
        thread = await start(engine, room)
        async with thread.stream("go"):
            with pytest.raises(UsageError, match="a turn is running"):
                await thread.run("me too")


async def test_without_a_model_the_settings_are_told_to_be_wrong(room):
    async with opened(room, None) as engine:
        with pytest.raises(ConfigError, match="no model is chosen"):
            await start(engine, room)


@pytest.mark.parametrize("room_for", [1, 4, 7, 9, 10, 11, 12])
async def test_a_disk_that_refuses_ends_the_turn_in_one_line_and_keeps_the_work(room, room_for):
    model = ScriptedModel().calls("exec_command", cmd="echo x > made").says("Done.")

    class Full:
        """The real log, until it is full."""

        def __init__(self, log):
            self.log, self.path, self.left = log, log.path, room_for

        def append(self, *records):
            self.left -= len(records)
            if self.left < 0:
                raise StoreError("rollout: No space left on device")
            self.log.append(*records)

        def close(self):
            self.log.close()

    async with opened(room, model) as engine:
        thread = await start(engine, room)
        thread._session.parts.log = Full(thread._session.parts.log)
        with pytest.raises(TurnFailedError, match="No space left"):
            await thread.run("go")
        id_ = thread.id
    async with opened(room, ScriptedModel().says("Back.")) as engine:
        again = await engine.resume_thread(id_)
        assert (await again.run("go on")).final_message == "Back."
    assert (room / "work/made").exists() or room_for < 10


async def test_project_instructions_and_picture_reach_the_model(room):
    (room / "work/AGENTS.md").write_text("Use tabs.")
    model = ScriptedModel().says("ok")
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("go")
    said = "".join(item.text for item in model.requests[0].input)
    assert "Use tabs." in said


async def test_a_python_function_is_a_tool(room):
    from octavo.tools.function import tool

    @tool
    async def ticket(number: int) -> str:
        """Read one ticket of our tracker."""
        return f"ticket {number}: it is broken"

    model = ScriptedModel().calls("ticket", number=7).says("I see.")
    async with opened(room, model) as engine:
        await (await start(engine, room, tools=[ticket])).run("go")
    assert "ticket 7" in model.requests[1].tool_outputs[0]
    assert "Read one ticket" in str(model.requests[0].tools)


async def test_memory_stays_bounded_under_yes(room):
    model = ScriptedModel().calls("exec_command", cmd="yes | head -c 30000000").says("Long.")
    async with opened(room, model) as engine:
        result = await (await start(engine, room)).run("go")
    (ran,) = [item for item in result.items if isinstance(item, items.CommandExecution)]
    assert len(ran.aggregated_output) < 1_200_000
    assert len(model.requests[1].tool_outputs[0]) < 60_000


async def test_an_error_in_the_program_arrives_as_it_is(room):
    with pytest.raises(ZeroDivisionError):
        async with opened(room, ScriptedModel()):
            raise ZeroDivisionError


async def test_an_interrupt_ends_what_earlier_calls_left_running(room):
    left = "exec sleep 600"
    model = (
        ScriptedModel().calls("exec_command", cmd=left, yield_time_ms=250).stalls().says("Back.")
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)

        async with asyncio.timeout(20), thread.stream("go") as turn:
            async for event in turn:
                if isinstance(event, events.ItemStarted):
                    break
            while len(model.requests) < 2:  # noqa: ASYNC110 - the model tells nobody
                await asyncio.sleep(0.01)
            assert running("sleep 600", room)
            await turn.interrupt()
        assert not running("sleep 600", room)


async def test_without_an_approver_the_model_is_told_that_nobody_can_be_asked(room):
    model = ScriptedModel().says("ok")
    async with opened(room, model) as engine:
        await (await start(engine, room)).run("go")
    assert "Nobody can be asked" in model.requests[0].input[0].text


async def test_a_program_can_answer(room):
    from octavo.protocol.approvals import Decision

    asked = []

    async def approve(request, /):
        asked.append(request)
        return Decision.allow_once() if "yes" in request.argv[-1] else Decision.deny("not that")

    outside = room / "outside"
    calls = [
        {"cmd": f"echo {word} > {outside}-{word}", "sandbox_permissions": "require_escalated",
         "justification": "needed"}
        for word in ("yes", "no")
    ]  # fmt: skip
    model = (
        ScriptedModel()
        .calls("exec_command", **calls[0])
        .calls("exec_command", **calls[1])
        .says("ok")
    )
    async with opened(room, model, overrides=['approval_policy="on-request"']) as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.read_only(), approver=approve
        )
        await thread.run("go")
    assert [request.reason for request in asked] == ["needed", "needed"]
    assert (room / "outside-yes").exists()
    assert not (room / "outside-no").exists()
    assert "not that" in model.requests[2].tool_outputs[1]
