"""The published Python client's own scenes, with our names in its place, in this process."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.api import compat
from octavo.testing import ModelServer

SCENES = Path(__file__).parents[1] / "sdk" / "python_client.py"
SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'


@pytest.fixture
def model():
    with ModelServer() as server:
        yield server


@pytest.fixture
def play(octavo, model, monkeypatch, capsys):
    """Plays a scene of `python_client.py`, which imports our client instead of its own."""
    octavo.config(SETTINGS.format(url=model.url))
    monkeypatch.setitem(sys.modules, "openai_codex", compat)
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(octavo.cwd)

    def played(scene, *, program=None, **given):
        argv = ["client", scene, program, str(octavo.home), str(octavo.cwd), json.dumps(given)]
        monkeypatch.setattr(sys, "argv", argv)
        spec = importlib.util.spec_from_file_location("scenes", SCENES)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        return json.loads(capsys.readouterr().out)

    return played


def test_threads_run_several_turns(play, model):
    model.thinks("**Hm**").says("look").and_calls("exec_command", cmd="touch made", login=False)
    model.says("one").says("two")
    found = play("run")
    first, second = found["turns"]
    assert (first["final"], second["final"]) == ("one", "two")
    assert first["items"] == [
        "userMessage", "reasoning", "agentMessage", "commandExecution", "agentMessage"
    ]  # fmt: skip
    assert (first["status"], first["tokens"] > 0) == ("completed", True)


def test_a_turn_is_watched_stopped_and_shaped(play, model):
    model.says("one")
    assert play("stream")[-1] == "turn/completed"
    model.calls("exec_command", cmd="echo up; sleep 60", login=False)
    assert play("interrupt") == "interrupted"
    model.says('{"a":"b"}')
    assert play("structured") == {"a": "b"}


def test_threads_go_on_fork_and_are_put_aside(play, model):
    model.says("one").says("two").says("three").says("four")
    thread = play("run")["id"]
    found = play("resume", thread=thread)
    assert (found["final"], found["turns"], found["listed"]) == ("three", 2, [thread])
    assert play("fork", thread=thread)["final"] == "four"
    model.says("one").says("summary")
    assert play("more")["model"] is True


def test_errors_have_their_names(play, model, octavo):
    model.fails("quota", "none left")
    assert play("failure")["kind"] == "RuntimeError"
    config = compat.CodexConfig(env={"OCTAVO_HOME": str(octavo.home)})
    with compat.Codex(config) as codex:
        with pytest.raises(compat.InvalidRequestError) as refused:
            codex.thread_resume("no-such-id")
        assert refused.value.code == -32600
        thread = codex.thread_start()
        with pytest.raises(TypeError, match="unsupported"):
            thread.run(7)
    with pytest.raises(compat.TransportClosedError):
        codex.account()


def test_another_program_serves_as_well(play, model, octavo):
    model.says("Hello.").says("Again.")
    found = play("run", program=octavo.program)
    assert [one["final"] for one in found["turns"]] == ["Hello.", "Again."]


async def test_asynchronous_programs(octavo, model, monkeypatch):
    octavo.config(SETTINGS.format(url=model.url))
    model.says("Hello.")
    config = compat.CodexConfig(env={"OCTAVO_HOME": str(octavo.home)})
    async with compat.AsyncCodex(config) as codex:
        assert codex.metadata.user_agent.startswith("octavo_compat/")
        thread = await codex.thread_start(cwd=str(octavo.cwd))
        result = await thread.run([compat.TextInput("Hi")])
        assert result.final_response == "Hello."
        read = await thread.read(include_turns=True)
        assert [turn.status for turn in read.thread.turns] == ["completed"]
