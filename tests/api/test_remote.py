"""The engine over an app server: the same names, the same events."""

import asyncio
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.api.remote import RemoteEngine, RemoteError
from octavo.api.thread import TurnFailedError
from octavo.protocol.approvals import CommandApproval, Decision, PatchApproval
from octavo.protocol.errors import UsageError
from octavo.protocol.events import AgentMessageDelta, CommandOutputDelta, TurnInterrupted
from octavo.protocol.items import CommandExecution, FileChange
from octavo.rpc.streams import Streams
from octavo.testing import ModelServer

SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
PATCH = "*** Begin Patch\n*** Add File: ../outside.txt\n+x\n*** End Patch\n"


@pytest.fixture
def model():
    with ModelServer() as server:
        yield server


@pytest.fixture
def opened(octavo, model):
    octavo.config(SETTINGS.format(url=model.url))
    return lambda: RemoteEngine.open(
        command=[octavo.program, "app-server"], environ=octavo.environ()
    )


async def test_a_thread_runs_goes_on_and_forks(opened, model, octavo):
    model.calls("exec_command", cmd="echo hi", login=False).says("one").says("two").says("three")
    async with opened() as engine:
        assert engine.about["platformOs"] == "linux"
        thread = await engine.start_thread(cwd=str(octavo.cwd), sandbox="workspace-write")
        result = await thread.run("go")
        assert result.final_message == "one"
        assert result.usage.total > 0
        (command,) = [item for item in result.items if isinstance(item, CommandExecution)]
        assert (command.exit_code, command.aggregated_output) == (0, "hi\n")
        again = await engine.resume_thread(thread.id)
        assert (await again.run("more")).final_message == "two"
        other = await again.fork()
        assert other.id != thread.id
        assert (await other.run("else")).final_message == "three"
        found = [one.id async for one in engine.threads(cwd=str(octavo.cwd))]
        assert set(found) == {thread.id, other.id}


async def test_a_turn_is_watched_and_stopped_by_leaving(opened, model):
    model.says("Hello there.").calls("exec_command", cmd="echo up; sleep 60", login=False)
    async with opened() as engine:
        thread = await engine.start_thread()
        async with thread.stream("Hi") as turn:
            texts = [event.text async for event in turn if isinstance(event, AgentMessageDelta)]
        assert "".join(texts) == "Hello there."
        async with thread.stream("go") as turn:
            async for event in turn:
                if isinstance(event, CommandOutputDelta):
                    await turn.interrupt()
                last = event
        assert isinstance(last, TurnInterrupted)


async def test_questions_reach_the_approver(opened, model, octavo):
    escalated = {"sandbox_permissions": "require_escalated", "justification": "needed"}
    model.calls("exec_command", cmd="touch made", login=False, **escalated)
    model.calls_custom("apply_patch", PATCH).says("ok")
    asked = []

    async def approve(request):
        asked.append(request)
        return Decision.deny() if isinstance(request, CommandApproval) else Decision.allow_once()

    async with opened() as engine:
        thread = await engine.start_thread(
            cwd=str(octavo.cwd), sandbox="read-only", approver=approve
        )
        result = await thread.run("go")
    command, patch = asked
    assert isinstance(patch, PatchApproval)
    assert [change.kind for change in patch.changes] == ["add"]
    assert "touch made" in command.argv[0]
    assert not (octavo.cwd / "made").exists()
    assert (octavo.cwd.parent / "outside.txt").read_text() == "x\n"
    assert [item.status for item in result.items if isinstance(item, FileChange)] == ["completed"]


async def test_what_goes_wrong_is_said_plainly(opened, model, tmp_path):
    model.fails("quota", "none left")
    async with opened() as engine:
        with pytest.raises(RemoteError, match="invalid thread id"):
            await engine.resume_thread("x")
        thread = await engine.start_thread()
        with pytest.raises(TurnFailedError, match="Quota"):
            await thread.run("go")
    with pytest.raises(RemoteError, match="no app server"):
        async with RemoteEngine.open(command=[str(tmp_path / "none")]):
            pass
    with pytest.raises(RemoteError, match="no app server"):
        async with RemoteEngine.open(socket=str(tmp_path / "none")):
            pass
    with pytest.raises(UsageError, match="name one of"):
        async with RemoteEngine.open():
            pass


async def until_up(thread, engine):
    """Watch a turn, and lose the server in the middle of it."""
    async with thread.stream("go") as turn:
        async for event in turn:
            if isinstance(event, CommandOutputDelta):
                await engine.ask("command/exec", command=["true"])
                engine.lose()


async def test_a_server_that_dies_ends_the_turn_with_an_error(model, octavo):
    octavo.config(SETTINGS.format(url=model.url))
    model.calls("exec_command", cmd="echo up; sleep 60", login=False)
    process = await asyncio.create_subprocess_exec(
        octavo.program,
        "app-server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=octavo.environ(),
    )
    wire = Streams(process.stdout, process.stdin)
    async with RemoteEngine.open(transport=wire) as engine:
        thread = await engine.start_thread()
        engine.lose = process.kill
        with pytest.raises(RemoteError, match="gone away"):
            await until_up(thread, engine)
        with pytest.raises(RemoteError, match="gone away"):
            await engine.start_thread()
    await process.wait()
