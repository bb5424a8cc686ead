"""The published clients for Python and TypeScript, unchanged, with Octavo in place of their program.

`python tools/sdks.py` installs them; without it, or where their registries cannot be reached,
these tests are skipped.
"""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.testing import ModelServer

SDKS = Path(__file__).parents[2] / ".sdks"
HERE = Path(__file__).parent
SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DEADLINE_S = 60


@pytest.fixture
def model():
    with ModelServer() as server:
        yield server


@pytest.fixture(params=["python", "node"])
def client(request, octavo, model):
    """Plays one scene with one of the clients."""
    kind = request.param
    if not (SDKS / kind / "ready").exists():
        pytest.skip(f"the {kind} client is not installed: python tools/sdks.py")
    octavo.config(SETTINGS.format(url=model.url))

    def play(scene, **given):
        text = json.dumps(given)
        common = [octavo.program, str(octavo.home), str(octavo.cwd), text]
        if kind == "python":
            argv = [str(SDKS / "python/bin/python"), str(HERE / "python_client.py"), scene, *common]
        else:
            node = shutil.which("node")
            assert node is not None
            argv = [node, str(HERE / "node_client.mjs"), scene, str(SDKS / "node"), *common]
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=octavo.environ(),
            cwd=octavo.cwd,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    play.kind = kind
    return play


def only(client, kind):
    if client.kind != kind:
        pytest.skip(f"only the {kind} client has this")


def test_threads_run_several_turns(client, model, octavo):
    model.thinks("**Hm**").says("look").and_calls("exec_command", cmd="touch made", login=False)
    model.says("one").says("two")
    found = client("run")
    first, second = found["turns"]
    assert (first["final"], second["final"]) == ("one", "two")
    kinds = [kind.replace("_", "").lower() for kind in first["items"] if kind != "userMessage"]
    assert kinds == ["reasoning", "agentmessage", "commandexecution", "agentmessage"]
    assert (octavo.cwd / "made").exists() or client.kind == "python"


def test_a_turn_can_be_watched(client, model):
    model.says("one")
    seen = client("stream")
    assert seen[-1] in ("turn/completed", "turn.completed")
    assert "item/agentMessage/delta" in seen or "item.completed" in seen


def test_a_thread_goes_on_later(client, model):
    model.says("one").says("two").says("three")
    thread = client("run")["id"]
    assert client("resume", thread=thread)["final"] == "three"


def test_a_picture_reaches_the_model(client, model, octavo):
    (octavo.cwd / "p.png").write_bytes(PIXEL)
    model.says("a dot")
    assert client("picture", picture=str(octavo.cwd / "p.png")) == "a dot"
    assert b"data:image/png;base64," in model.requests[0].body


def test_an_answer_has_the_shape_that_was_asked_for(client, model):
    model.says('{"a":"b"}')
    assert client("structured") == {"a": "b"}
    assert b"json_schema" in model.requests[0].body


def test_a_turn_can_be_stopped(client, model):
    model.calls("exec_command", cmd="echo up; sleep 60", login=False)
    assert client("interrupt") in ("interrupted", {"stopped": True})


def test_an_error_reaches_the_program(client, model):
    model.fails("quota", "none left")
    assert "Quota exceeded" in client("failure")["error"]


ESCALATED = {
    "cmd": "touch made",
    "login": False,
    "sandbox_permissions": "require_escalated",
    "justification": "needed",
}


@pytest.mark.parametrize(("decision", "made"), [("accept", True), ("decline", False)])
def test_approvals_are_asked_and_answered(client, model, octavo, decision, made):
    only(client, "python")
    model.calls("exec_command", **ESCALATED).says("ok")
    found = client("handled", handler=decision)
    assert found["final"] == "ok"
    assert (octavo.cwd / "made").exists() is made


def test_the_clients_own_mode_has_a_model_review(client, model, octavo):
    only(client, "python")
    model.calls("exec_command", **ESCALATED).says('{"outcome":"allow"}').says("ok")
    found = client("approvals", ask=True, config={"sandbox_mode": "read-only"})
    assert found["final"] == "ok"
    assert (octavo.cwd / "made").exists()


def test_nobody_is_asked_where_nothing_may_be_approved(client, model, octavo):
    only(client, "python")
    model.calls("exec_command", **ESCALATED).says("ok")
    client("approvals", ask=False, config={"sandbox_mode": "read-only"})
    assert not (octavo.cwd / "made").exists()


def test_threads_are_forked(client, model):
    only(client, "python")
    model.says("one").says("two").says("other")
    thread = client("run")["id"]
    found = client("fork", thread=thread)
    assert found["final"] == "other"
    assert found["id"] != thread


def test_threads_are_named_shortened_and_put_aside(client, model):
    only(client, "python")
    model.says("one").says("summary")
    found = client("more")
    assert found == {"named": ["mine"], "left": [], "model": True, "account": None}
