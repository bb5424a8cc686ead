"""What happens in a turn is the same whichever door one came in by."""

import os
import signal

import pytest

from octavo.testing.script import Cut

ADD = "*** Begin Patch\n*** Add File: new.txt\n+one\n*** End Patch"
UPDATE = "*** Begin Patch\n*** Update File: a.txt\n@@\n-old\n+new\n*** End Patch"
MISFIT = "*** Begin Patch\n*** Update File: a.txt\n@@\n-not there\n+new\n*** End Patch"


def command(script, **more):
    # a login shell reads the machine's own files, which may say anything
    return {"cmd": script, "login": False, **more}


async def test_a_message_is_the_end(door):
    door.script(lambda model: model.thinks("Be kind.").says("Hello."))
    told = await door.ask("Hi")
    assert (told.ending, told.messages, told.reasoning) == ("completed", ["Hello."], ["Be kind."])
    assert told.input_tokens == 100
    assert "Hi" in door.said(0)


async def test_a_command_runs_and_its_output_goes_back(door):
    door.script(
        lambda model: model.calls("exec_command", **command("echo seen > made; cat made")).says(
            "ok"
        )
    )
    told = await door.ask("go")
    (ran,) = told.commands
    assert ran == {
        "script": "echo seen > made; cat made", "output": "seen\n", "exit_code": 0,
        "status": "completed", "denied": {},
    }  # fmt: skip
    assert (door.cwd / "made").read_text() == "seen\n"
    assert "seen" in door.tool_outputs[1][0]
    assert told.open == set()


async def test_a_patch_changes_files(door):
    (door.cwd / "a.txt").write_text("old\n")
    door.script(
        lambda model: (
            model.calls_custom("apply_patch", UPDATE)
            .and_calls_custom("apply_patch", ADD)
            .says("ok")
        )
    )
    told = await door.ask("go")
    assert told.changes == [[("update", "a.txt")], [("add", "new.txt")]]
    assert (door.cwd / "a.txt").read_text() == "new\n"
    assert (door.cwd / "new.txt").read_text() == "one\n"


async def test_a_patch_that_does_not_fit_changes_nothing_and_the_turn_goes_on(door):
    (door.cwd / "a.txt").write_text("old\n")
    door.script(lambda model: model.calls_custom("apply_patch", MISFIT).says("I see."))
    told = await door.ask("go")
    assert (told.ending, told.changes) == ("completed", [])
    assert (door.cwd / "a.txt").read_text() == "old\n"
    assert "a.txt" in door.tool_outputs[1][0]


async def test_a_command_that_fails_is_a_result(door):
    door.script(
        lambda model: model.calls("exec_command", **command("echo no >&2; exit 3")).says(
            "It failed."
        )
    )
    told = await door.ask("go")
    (ran,) = told.commands
    assert (ran["exit_code"], ran["status"], ran["output"]) == (3, "failed", "no\n")
    assert told.ending == "completed"


async def test_a_denied_write_is_told_with_its_rule(door):
    script = "echo x > .git/hook"
    door.script(lambda model: model.calls("exec_command", **command(script)).says("ok"))
    told = await door.ask("go")
    assert "protected" in told.commands[0]["denied"][".git/hook"]
    assert not (door.cwd / ".git/hook").exists()
    assert "Sandbox denied" in door.tool_outputs[1][0]


async def test_an_unknown_tool_and_broken_arguments_are_told_to_the_model(door):
    door.script(
        lambda model: (
            model.calls("no_such_tool", x=1).calls_raw("exec_command", "{broken").says("I see.")
        )
    )
    told = await door.ask("go")
    assert (told.ending, told.commands, told.messages) == ("completed", [], ["I see."])
    unknown, broken = door.tool_outputs[2]
    assert "no_such_tool" in unknown
    assert "failed to parse" in broken


async def test_a_stream_that_breaks_is_asked_for_again(door):
    door.script(lambda model: model.says("half").and_then(Cut()).says("whole"))
    told = await door.ask("go")
    assert told.ending == "completed"
    assert told.messages[-1] == "whole"
    (notice,) = told.retries
    assert notice.startswith("Reconnecting... 1/")


async def test_an_error_that_cannot_heal_ends_the_turn(door):
    door.script(
        lambda model: model.fails("invalid_request", "no such model", status=400).says("Better.")
    )
    told = await door.ask("go")
    assert told.ending == "failed"
    assert "no such model" in told.problem
    again = await door.ask("once more", resume=told.thread)
    assert again.messages == ["Better."]


async def test_calls_of_one_answer_run_side_by_side_and_are_told_in_order(door):
    wait = "while ! test -e go; do sleep 0.01; done; echo first"
    door.script(
        lambda model: (
            model.calls("exec_command", **command(wait))
            .and_calls("exec_command", **command("touch go; echo second"))
            .says("Both.")
        )
    )
    told = await door.ask("go")
    assert sorted(ran["output"] for ran in told.commands) == ["first\n", "second\n"]
    assert [out.splitlines()[-1] for out in door.tool_outputs[1]] == ["first", "second"]


async def test_an_interrupted_turn_leaves_no_process_and_a_thread_that_goes_on(door):
    script = "trap '' INT TERM; echo $$ > pid; echo half; touch running; sleep 600"
    door.script(lambda model: model.calls("exec_command", **command(script)).says("Back."))
    told = await door.ask("go", stop=True)
    (ran,) = told.commands
    assert (told.ending, ran["status"], ran["output"]) == ("interrupted", "failed", "half\n")
    assert told.open == set()
    again = await door.ask("and now?", resume=told.thread)
    assert (again.thread, again.messages) == (told.thread, ["Back."])
    assert len(door.tool_outputs[1]) == 1  # the call has its pair
    assert "turn_aborted" in door.said(1)


async def test_a_thread_resumes_and_forks(door):
    door.script(lambda model: model.says("One.").says("Two.").says("Other."))
    first = await door.ask("begin")
    second = await door.ask("go on", resume=first.thread)
    fork = await door.ask("or else", fork=first.thread)
    assert second.thread == first.thread
    assert fork.thread != first.thread
    assert (first.input_tokens, second.input_tokens, fork.input_tokens) == (100, 200, 300)
    for word, known in (("begin", True), ("One.", True), ("go on", True), ("or else", False)):
        assert (word in door.said(1)) is known
    assert all(word in door.said(2) for word in ("begin", "go on", "or else"))


async def test_a_schema_reaches_the_model(door):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    door.script(lambda model: model.says('{"a": 1}'))
    told = await door.ask("go", schema=schema)
    assert told.messages == ['{"a": 1}']
    assert door.schema(0) == schema


async def test_a_plan_is_kept_up_to_date(door):
    def plan(*statuses):
        steps = [
            {"step": word, "status": one}
            for word, one in zip(("look", "fix"), statuses, strict=True)
        ]
        return {"plan": steps}

    door.settings("[tools.update_plan]\nenabled = true\n")
    door.script(
        lambda model: (
            model.calls("update_plan", **plan("in_progress", "pending"))
            .calls("update_plan", **plan("completed", "in_progress"))
            .says("ok")
        )
    )
    assert (await door.ask("go")).plan == [("look", True), ("fix", False)]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent by number")
async def test_a_command_that_outlives_its_turn_is_ended_with_the_run(door):
    door.script(
        lambda model: model.calls(
            "exec_command", **command("echo $$ > pid; echo up; sleep 600", yield_time_ms=300)
        ).says("It runs.")
    )
    told = await door.ask("start it")
    assert told.messages == ["It runs."]
    assert "session ID" in door.tool_outputs[1][0]
    if type(door).__name__ == "ExecDoor":  # whoever listens to a whole run hears of the end
        assert told.commands[0]["exit_code"] == 128 + signal.SIGTERM
        assert told.open == set()
