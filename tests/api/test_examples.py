"""The ten examples of the architecture's section 12, each as it stands there."""

import asyncio
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

import octavo
from octavo import (
    Access,
    ApprovalRequest,
    Budget,
    BudgetExceeded,
    CommandApproval,
    Decision,
    Engine,
    PermissionProfile,
    Sandbox,
)
from octavo.protocol.events import AgentMessageDelta, ItemCompleted, PlanUpdated, TurnCompleted
from octavo.protocol.items import CommandExecution
from octavo.testing import ScriptedModel, replay


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the working one, with a home beside it."""
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OCTAVO_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_1_one_sandboxed_command(here):
    forbidden = here.parent.parent.parent / "forbidden"
    script = f"echo hi; touch made; touch /var/tmp/{forbidden.name}"
    done = octavo.run_command(["sh", "-c", script], sandbox=Sandbox.workspace_write(), timeout=60)
    assert (done.exit_code, done.output.text.splitlines()[0]) == (1, "hi")
    assert (here / "made").exists()
    (denial,) = done.denials
    assert denial.subject == f"/var/tmp/{forbidden.name}"
    assert denial.operation
    assert denial.rule


def test_2_a_policy_of_ones_own(here):
    (here / "secrets").mkdir()
    (here / "secrets" / "key.pem").write_text("x")
    profile = PermissionProfile.from_mapping(
        {
            "filesystem": {":root": "read", ":cwd": "write", "./secrets": "none"},
            "network": {"allow": ["docs.example.org:443"]},
        }
    )
    assert profile.access("./secrets/key.pem") is Access.NONE
    assert "write" in str(profile.explain("./src/app.py"))
    done = octavo.run_command(
        ["sh", "-c", "touch made; cat secrets/key.pem"], sandbox=Sandbox.from_profile(profile)
    )
    assert done.exit_code != 0
    assert (here / "made").exists()


async def test_3_a_thread_run_to_its_end(here):
    model = ScriptedModel().says("They pass.")
    async with Engine.open(model=model) as engine:
        thread = await engine.start_thread(cwd=".", sandbox=Sandbox.workspace_write())
        result = await thread.run("Make the tests pass.")
        assert result.final_message == "They pass."
        assert result.usage.total_tokens > 0


async def test_4_watch_it_work(here):
    model = ScriptedModel().calls("exec_command", cmd="exit 3", login=False).says("Done now.")
    seen = []
    async with Engine.open(model=model) as engine:
        thread = await engine.start_thread()
        async with thread.stream("Add a --json flag.") as turn:
            async for event in turn:
                match event:
                    case AgentMessageDelta(text=text):
                        seen.append(text)
                    case ItemCompleted(item=CommandExecution(command=command, exit_code=code)):
                        seen.append((command[-1], code))
                    case TurnCompleted(usage=usage):
                        seen.append(usage.total_tokens > 0)
    assert seen[0] == ("exit 3", 3)
    assert "".join(seen[1:-1]) == "Done now."
    assert seen[-1] is True


async def test_5_a_function_as_a_tool(here):
    @octavo.tool
    async def ticket(number: int) -> str:
        """Read one ticket of our tracker."""
        return Path(f"tickets/{number}.txt").read_text()  # noqa: ASYNC240 - as in the example

    (here / "tickets").mkdir()
    (here / "tickets" / "7.txt").write_text("It burns.")
    model = ScriptedModel().calls("ticket", number=7).says("Put it out.")
    async with Engine.open(model=model) as engine:
        thread = await engine.start_thread(tools=[ticket])
        await thread.run("What is ticket 7?")
    assert model.requests[1].tool_outputs == ["It burns."]


async def test_6_approve_by_program(here):
    async def approve(request: ApprovalRequest) -> Decision:
        match request:
            case CommandApproval(pipelines=((("git", "push", *_), *_), *_)):
                return Decision.deny("people push, not the agent")
            case CommandApproval(proposed_rule=tuple(rule)):
                return Decision.allow_always(rule)
            case _:
                return Decision.allow_once()

    out = {"login": False, "sandbox_permissions": "require_escalated", "justification": "needed"}
    model = ScriptedModel().calls("exec_command", cmd="git push origin main", **out)
    model.calls("exec_command", cmd="touch made", prefix_rule=["touch", "made"], **out).says("ok")
    async with Engine.open(model=model) as engine:
        thread = await engine.start_thread(approver=approve, sandbox=Sandbox.read_only())
        await thread.run("go")
    refused, made = model.requests[-1].tool_outputs
    assert "people push, not the agent" in refused
    assert "exited with code 0" in made.lower() or "0" in made
    assert (here / "made").exists()


async def test_7_find_resume_fork(here):
    model = ScriptedModel().says("It is flaky.").says("Without it, it passes.")
    async with Engine.open(model=model) as engine:
        first = await engine.start_thread()
        await first.run("Why is the test flaky?")
        await first.close()
        found = None
        async for found in engine.threads(cwd=Path.cwd(), search="flaky"):
            thread = await engine.resume_thread(found.id)
            other = await thread.fork()
            result = await other.run("Try it without the retry loop.")
            break
        assert found is not None
        assert found.id == first.id
        assert other.id != first.id
        assert result.final_message == "Without it, it passes."


async def test_8_test_without_a_model_and_replay_without_a_network(here, tmp_path):
    (here / "README").touch()
    model = ScriptedModel().calls("exec_command", cmd="ls").says("One file.")
    recording = tmp_path / "port_parser.jsonl"
    async with Engine.open(model=model, home=tmp_path / "home") as engine:
        thread = await engine.start_thread(cwd=here, record=recording)
        assert (await thread.run("What is here?")).final_message == "One file."
    assert "README" in model.requests[1].tool_outputs[0]

    again = await replay(recording)
    assert again.identical, again.first_difference
    changed = recording.read_bytes().replace(b"One file.", b"Two file.")
    recording.write_bytes(changed.replace(b"Two file.", b"One file.", 1))
    other = await replay(recording)
    assert not other.identical
    assert other.first_difference


async def test_9_steer_and_stop_for_certain(here):
    steps = [{"step": f"Step {number}", "status": "pending"} for number in range(13)]
    model = ScriptedModel().calls("update_plan", plan=steps)
    model.calls("exec_command", cmd="touch begun; sleep 60; touch over", login=False)
    stopped = False
    flags = {"tools.update_plan.enabled": True}
    async with Engine.open(model=model, flags=flags) as engine:
        thread = await engine.start_thread(sandbox=Sandbox.workspace_write())
        try:
            async with asyncio.timeout(600) as limit, thread.stream("Port the parser.") as turn:
                async for event in turn:
                    if isinstance(event, PlanUpdated) and len(event.steps) > 12:
                        await turn.steer("Five steps at most.")
                    if len(model.requests) == 2 and (here / "begun").exists():
                        limit.reschedule(0)
                    elif len(model.requests) == 2:
                        limit.reschedule(asyncio.get_running_loop().time() + 1.0)
        except TimeoutError:
            stopped = True
        assert stopped

        model.says("Again.")
        assert (await thread.run("Go on.")).final_message == "Again."
    assert "Five steps at most." in str(model.requests[-1].input)
    assert not (here / "over").exists()


async def test_10_serve_the_same_engine_and_cap_what_it_may_spend(here):
    model = ScriptedModel()
    for _ in range(4):
        model.calls("exec_command", cmd="true", login=False)
    async with Engine.open(model=model) as engine:
        thread = await engine.start_thread(budget=Budget(tokens=200, seconds=1200))
        with pytest.raises(BudgetExceeded, match="200"):
            await thread.run("Upgrade the build.")
    assert len(model.requests) < 4
    script = (
        "import asyncio\nfrom octavo import Engine, appserver\nfrom octavo.testing import ScriptedModel\n"
        "async def main():\n"
        "    async with Engine.open(model=ScriptedModel()) as engine:\n"
        "        await appserver.serve_stdio(engine)\n"
        "asyncio.run(main())\n"
    )
    line = b'{"id":1,"method":"initialize","params":{"clientInfo":{"name":"x","version":"1"}}}\n'
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=-1, stdout=-1, stderr=-1
    )
    said, problem = await asyncio.wait_for(process.communicate(line), 60)
    assert b'"userAgent":"x/' in said, problem
    assert process.returncode == 0
