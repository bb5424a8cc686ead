import json
import os

import pytest

from octavo.api.engine import Engine
from octavo.api.keeping import placeholders
from octavo.api.sandbox import Sandbox
from octavo.protocol.approvals import Decision
from octavo.protocol.events import TurnFailed, Warned
from octavo.store.audit import entries, records, verify
from octavo.store.checkpoints import Checkpoints
from octavo.store.undo import Undo
from octavo.testing.model import ScriptedModel


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "kept").write_text("before")
    return folder


def states(home):
    return Checkpoints(str(home), now_ns=lambda: 10**18)


async def ran(model, work, home, *, sandbox=None, config="", **more):
    """One turn to its end: the events and the thread's id."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(config)
    async with Engine.open(model=model, home=home, environ=dict(os.environ)) as engine:
        chosen = Sandbox.danger_full_access() if sandbox is None else sandbox
        thread = await engine.start_thread(cwd=work, sandbox=chosen, **more)
        async with thread.stream("go") as turn:
            return [event async for event in turn], thread.id


def shell(command, *, more="done."):
    return ScriptedModel().calls("exec_command", cmd=command, login=False).says(more)


async def test_a_turn_that_changes_files_can_be_undone(work, tmp_path):
    home = tmp_path / "home"
    _, thread = await ran(shell("echo turn > kept; echo new > made"), work, home)
    undo = Undo(states(home), new_id=lambda: "u")
    with undo.undoing(thread) as plan:
        undo.carry_out(plan)
    assert (work / "kept").read_text() == "before"
    assert os.listdir(work) == ["kept"]


async def test_a_patch_is_undone_like_a_command(work, tmp_path):
    home = tmp_path / "home"
    patch = "*** Begin Patch\n*** Update File: kept\n@@\n-before\n+turn\n*** End Patch"
    model = ScriptedModel().calls("apply_patch", input=patch).says("done.")
    _, thread = await ran(model, work, home)
    assert (work / "kept").read_text() == "turn\n"
    undo = Undo(states(home), new_id=lambda: "u")
    with undo.undoing(thread) as plan:
        undo.carry_out(plan)
    assert (work / "kept").read_text() == "before"


async def test_a_turn_that_only_talks_leaves_nothing_to_undo(work, tmp_path):
    _, thread = await ran(ScriptedModel().says("hello"), work, tmp_path / "home")
    assert states(tmp_path / "home").history(thread).done == []
    assert records(str(tmp_path / "home")) == ()


async def test_a_turn_that_only_reads_leaves_nothing_to_undo(work, tmp_path):
    home = tmp_path / "home"
    _, thread = await ran(shell("cat kept"), work, home, sandbox=Sandbox.workspace_write())
    assert states(home).history(thread).done == []


async def test_a_read_only_run_takes_no_checkpoint(work, tmp_path):
    home = tmp_path / "home"
    await ran(shell("cat kept"), work, home, sandbox=Sandbox.read_only())
    assert not (home / "checkpoints").exists()


async def test_an_ephemeral_thread_keeps_nothing(work, tmp_path):
    home = tmp_path / "home"
    await ran(shell("echo turn > kept"), work, home, ephemeral=True)
    assert not (home / "checkpoints").exists()
    assert not (home / "audit").exists()


async def test_both_can_be_switched_off(work, tmp_path):
    home = tmp_path / "home"
    config = "undo.enabled = false\naudit.enabled = false\n"
    await ran(shell("echo turn > kept"), work, home, config=config)
    assert not (home / "checkpoints").exists()
    assert not (home / "audit").exists()


async def test_without_a_checkpoint_the_work_goes_on_and_one_line_says_so(work, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "checkpoints").write_text("a file where the folder has to be")
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo turn > kept", login=False)
        .calls("exec_command", cmd="echo turn >> kept", login=False)
        .says("done.")
    )
    found, _ = await ran(model, work, home)
    said = [event.message for event in found if isinstance(event, Warned)]
    assert len(said) == 1
    assert said[0].startswith("this turn cannot be undone: ")
    assert "\n" not in said[0]
    assert (work / "kept").read_text() == "turn\nturn\n"


async def test_where_a_checkpoint_is_required_nothing_runs_without_one(work, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "checkpoints").write_text("a file where the folder has to be")
    config = "undo.required = true\n"
    found, _ = await ran(shell("echo turn > kept"), work, home, config=config)
    (failed,) = [event for event in found if isinstance(event, TurnFailed)]
    assert failed.message.startswith("no checkpoint, so nothing is changed: ")
    assert (work / "kept").read_text() == "before"


async def test_every_further_writable_folder_is_covered(work, tmp_path):
    home = tmp_path / "home"
    other = tmp_path / "other"
    other.mkdir()
    config = f"sandbox_workspace_write.writable_roots = [{json.dumps(str(other))}]\n"
    config += 'sandbox_mode = "workspace-write"\n'
    home.mkdir()
    (home / "config.toml").write_text(config)
    model = shell(f"echo turn > kept; echo turn > {other}/made")
    async with Engine.open(model=model, home=home, environ=dict(os.environ)) as engine:
        thread = await engine.start_thread(cwd=work)
        await thread.run("go")
    undo = Undo(states(home), new_id=lambda: "u")
    with undo.undoing(thread.id) as plan:
        undo.carry_out(plan)
    assert (work / "kept").read_text() == "before"
    assert os.listdir(other) == []


async def test_undo_is_refused_while_the_turn_runs(work, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    model = shell("echo turn > kept; read -t 20 < go")
    os.mkfifo(work / "go")
    async with Engine.open(model=model, home=home, environ=dict(os.environ)) as engine:
        thread = await engine.start_thread(cwd=work, sandbox=Sandbox.danger_full_access())
        async with thread.stream("go") as turn:
            async for event in turn:
                if type(event).__name__ == "ItemStarted":
                    gate = states(home).root_gate(str(work), alone=True)
                    assert not gate.held
                    await turn.interrupt()
    assert states(home).root_gate(str(work), alone=True).held


async def test_a_stopped_turn_can_be_undone(work, tmp_path):
    home = tmp_path / "home"
    model = shell("echo turn > kept; echo told; sleep 30")
    async with Engine.open(model=model, home=home, environ=dict(os.environ)) as engine:
        thread = await engine.start_thread(cwd=work, sandbox=Sandbox.danger_full_access())
        async with thread.stream("go") as turn:
            async for event in turn:
                if type(event).__name__ == "CommandOutputDelta":
                    await turn.interrupt()
    undo = Undo(states(home), new_id=lambda: "u")
    with undo.undoing(thread.id) as plan:
        undo.carry_out(plan)
    assert (work / "kept").read_text() == "before"


# ---- the record ---------------------------------------------------------------------------------


async def test_commands_their_start_and_the_turn_are_written_down(work, tmp_path):
    home = tmp_path / "home"
    await ran(shell("echo turn > kept"), work, home, sandbox=Sandbox.workspace_write())
    (path,) = records(str(home))
    assert verify(path).whole
    found = list(entries(path))
    assert [(one.kind, one.facts.get("state")) for one in found] == [
        ("turn", "started"),
        ("start", None),
        ("command", None),
        ("turn", "completed"),
    ]
    assert found[1].facts["rule"] == "sandbox: workspace-write"
    assert found[2].facts["exit_code"] == 0
    assert len({one.turn for one in found}) == 1


async def test_questions_and_answers_are_written_down_with_what_decided(work, tmp_path):
    home = tmp_path / "home"
    model = (
        ScriptedModel()
        .calls(
            "exec_command",
            cmd="touch outside",
            login=False,
            sandbox_permissions="require_escalated",
            justification="may I?",
        )
        .says("done.")
    )

    async def approve(_request):
        return Decision.allow_once()

    await ran(model, work, home, sandbox=Sandbox.workspace_write(), approver=approve)
    (path,) = records(str(home))
    found = {one.kind: one.facts for one in entries(path)}
    assert found["decision"]["decision"] == "allow_once"
    assert found["decision"]["by"] == "asked"
    assert found["decision"]["outside_sandbox"] is True
    assert found["start"]["outside_sandbox"] is True
    assert "allow_once" in found["command"]["rule"]


async def test_values_that_are_held_back_never_reach_the_record(work, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    secret = "Canary-83b1f0c2d4"
    environ = {**os.environ, "MY_API_TOKEN": secret}
    model = shell(f"echo {secret}")
    async with Engine.open(model=model, home=home, environ=environ) as engine:
        thread = await engine.start_thread(cwd=work, sandbox=Sandbox.workspace_write())
        await thread.run("go")
    (path,) = records(str(home))
    told = str(list(entries(path)))
    assert secret not in told
    assert "[redacted:MY_API_TOKEN]" in told


async def test_a_record_that_cannot_be_written_is_said_once_and_the_work_goes_on(work, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "audit").write_text("a file where the folder has to be")
    found, _ = await ran(shell("echo turn > kept"), work, home)
    said = [event.message for event in found if isinstance(event, Warned)]
    assert len(said) == 1
    assert said[0].startswith("the audit record ends here: ")
    assert (work / "kept").read_text() == "turn\n"


def test_the_sandboxes_journal_is_read_as_it_is_written(tmp_path):
    folder = tmp_path / "state" / "mountpoints"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "1-2-3-4").write_bytes(b"0 0 dir /a b/\\\\c\\nd\nbroken\n1 2 file /x\xff\n")
    assert sorted(placeholders(str(tmp_path))) == ["/a b/\\c\nd", "/x\udcff"]
    assert placeholders(str(tmp_path / "nowhere")) == []
