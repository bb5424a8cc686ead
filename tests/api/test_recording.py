"""Record once, play for ever: no model, no command, byte for byte the same, or the first difference."""

import json
import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.recording import play_file
from octavo.engine.replay import ReplayDiffersError, first_difference
from octavo.protocol import events
from octavo.protocol.errors import UsageError
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Reply, Say


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


PATCH = "*** Begin Patch\n*** Add File: made.txt\n+text\n*** End Patch"


def busy_model():
    return (
        ScriptedModel()
        .thinks("hm")
        .calls("exec_command", cmd="echo one; sleep 0.05; echo two")
        .and_calls("exec_command", cmd="echo three; touch /etc/no")
        .calls_custom("apply_patch", PATCH)
        .fails("server", "hiccup")
        .calls("update_plan", plan=[{"step": "x", "status": "completed"}])
        .says("Done.")
    )


async def record(room, model, *prompts, name="tape", **more):
    seen = []
    async with Engine.open(
        model=model, home=room / "home", overrides=("tools.update_plan.enabled=true",), **more
    ) as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.workspace_write(), record=room / name
        )
        for prompt in prompts:
            async with thread.stream(prompt) as turn:
                seen += [event async for event in turn]
    return seen


async def test_a_recording_plays_without_model_commands_or_folders(room):
    seen = await record(room, busy_model(), "go", name="tape")
    (room / "work/made.txt").unlink()
    (room / "work").rmdir()
    header, played = play_file(str(room / "tape"))
    again = list(played)
    assert header.facts["model"] == "scripted"
    assert again[: len(seen)] == seen
    assert not (room / "work").exists()


async def test_several_turns_and_a_shortened_history_play_too(room):
    model = ScriptedModel().says("a").says("b")
    model.replies += [Reply(steps=(Say(text="summary"),)), Reply(steps=(Say(text="c"),))]
    async with Engine.open(model=model, home=room / "home") as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.workspace_write(), record=room / "tape"
        )
        await thread.run("one")
        await thread.run("two")
        await thread.compact()
        await thread.run("three")
    _, played = play_file(str(room / "tape"))
    endings = [event for event in played if isinstance(event, events.Ending)]
    assert [getattr(one, "last_message", "") for one in endings] == ["a", "b", None, "c"]


async def test_a_stopped_turn_plays_to_the_same_end(room):
    model = ScriptedModel(
        Reply(steps=(Call(name="exec_command", arguments={"cmd": "echo on; sleep 30"}),))
    )
    async with Engine.open(model=model, home=room / "home") as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.workspace_write(), record=room / "tape"
        )
        async with thread.stream("go") as turn:
            async for event in turn:
                if isinstance(event, events.CommandOutputDelta):
                    await turn.interrupt()
    *_, last = play_file(str(room / "tape"))[1]
    assert isinstance(last, events.TurnInterrupted)


def changed(room, change):
    """The recording with one thing changed in the first line that has it."""
    lines = [json.loads(line) for line in (room / "tape").read_text().splitlines()]
    for line in lines:
        if change(line):
            break
    else:
        raise AssertionError("nothing was changed")
    (room / "other").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(room / "other")


async def test_another_prompt_is_named_as_the_first_difference(room):
    await record(room, ScriptedModel().says("hi"), "go")

    def change(line):
        for kind, value in line.get("said", ()):
            if kind == "request":
                value["input"][-1]["content"][0]["text"] = "gone"
                return True
        return False

    with pytest.raises(ReplayDiffersError) as caught:
        list(play_file(changed(room, change))[1])
    assert "request" in str(caught.value)
    assert 'was "gone", is "go"' in str(caught.value)
    assert caught.value.exit_code == 9


async def test_other_instructions_are_noticed_at_the_first_request(room):
    await record(room, ScriptedModel().says("hi"), "go")

    def change(line):
        if "octavo_recording" in line:
            line["instructions"] += " Be brief."
            return True
        return False

    with pytest.raises(ReplayDiffersError, match="instructions"):
        list(play_file(changed(room, change))[1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no recording"),
        ("{}\n", "no recording"),
        ("[1]\n", "no recording"),
        ("\x00\xff garbage", "no recording"),
        ('{"octavo_recording": 99, "version": "9.1"}\n', "format 99, of the newer version 9.1"),
        ('{"octavo_recording": 1}\n', "damaged"),
    ],
)
def test_what_is_no_recording_is_one_clear_line(tmp_path, text, words):
    (tmp_path / "f").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=words):
        list(play_file(str(tmp_path / "f"))[1])


async def test_a_line_that_is_cut_off_is_named(room):
    await record(room, ScriptedModel().says("hi"), "go")
    whole = (room / "tape").read_bytes()
    (room / "tape").write_bytes(whole[:-20])
    with pytest.raises(UsageError, match=r"line \d+ of the recording is damaged"):
        list(play_file(str(room / "tape"))[1])


async def test_a_recording_is_never_written_over(room):
    (room / "tape").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        await record(room, ScriptedModel().says("hi"), "go")
    assert (room / "tape").read_text() == "mine"


def test_the_first_difference_has_a_path():
    assert first_difference({"a": [1, {"b": "xy"}]}, {"a": [1, {"b": "xy"}]}) is None
    found = first_difference({"a": [1, {"b": "xyz"}]}, {"a": [1, {"b": "xYz"}]})
    assert found.path == "a[1].b (character 2)"
    assert first_difference([1], [1, 2]).path == "[1]"
    assert first_difference({"a": 1}, {"a": True}).path == "a"


async def test_what_hooks_said_is_part_of_the_recording(room):
    answers = {
        "UserPromptSubmit": '{"hookSpecificOutput":{"hookEventName":"UserPromptSubmit",'
        '"additionalContext":"Mind the gap."}}',
        "PostToolUse": '{"decision":"block","reason":"No, look again."}',
    }
    hooks = {
        event: [{"hooks": [{"type": "command", "command": f"cat >/dev/null; echo '{text}'"}]}]
        for event, text in answers.items()
    }
    (room / "home/hooks.json").write_text(json.dumps({"hooks": hooks}))
    model = ScriptedModel().calls("exec_command", cmd="echo x").says("Done.")
    seen = await record(room, model, "go", bypass_hook_trust=True)
    assert model.requests[1].tool_outputs == ["No, look again."]
    (room / "home/hooks.json").unlink()
    _, played = play_file(str(room / "tape"))
    assert list(played)[: len(seen)] == seen
