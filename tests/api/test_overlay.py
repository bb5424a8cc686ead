"""Turns on a copy-on-write view: the folder stays as it is, and nothing leads around the view."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("overlays are Linux's", allow_module_level=True)

from octavo.api.engine import Engine
from octavo.api.sandbox import Sandbox
from octavo.protocol import events, items
from octavo.protocol.approvals import Decision
from octavo.protocol.errors import SandboxUnavailable, UsageError
from octavo.protocol.ids import ThreadId
from octavo.store.keep import keep, planned
from octavo.store.overlay import find
from octavo.testing.model import ScriptedModel

pytestmark = pytest.mark.linux
NOWHERE = ThreadId("0195d1a0-0000-7000-8000-000000000001")


async def ended(model, home, work, *, thread=None, rungs=None, overlay=True, **more):
    """One turn to its end: what was shown, the thread's id, why nothing could be confined."""
    more.setdefault("sandbox", Sandbox.workspace_write())
    async with Engine.open(model=model, home=home, environ=dict(os.environ), rungs=rungs) as engine:
        if thread is None:
            one = await engine.start_thread(cwd=work, overlay=overlay, **more)
        else:
            one = await engine.resume_thread(thread, overlay=overlay, **more)
        async with one.stream("go") as turn:
            shown = [event async for event in turn]
        return shown, one.id, one.sandbox_problem, one.warnings


def shell(*commands):
    model = ScriptedModel()
    for command in commands:
        model = model.calls("exec_command", cmd=command, login=False)
    return model.says("done.")


def outputs(shown):
    done = [event.item for event in shown if isinstance(event, events.ItemCompleted)]
    return [item.aggregated_output for item in done if isinstance(item, items.CommandExecution)]


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    (folder / "src").mkdir(parents=True)
    (folder / "kept").write_text("before\n")
    (folder / "src" / "old").write_text("old\n")
    return folder


@pytest.fixture
async def home(tmp_path, work):
    """A home in which overlays can be; else the test is left out."""
    folder = tmp_path / "home"
    folder.mkdir()
    try:
        _, thread, problem, _ = await ended(shell("true"), folder, work)
    except SandboxUnavailable as wrong:
        pytest.skip(f"no overlay here: {wrong}")
    if problem is not None:
        pytest.skip(f"no overlay here: {problem}")
    assert find(str(folder), thread).empty
    return folder


def below(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_the_folder_stays_as_it_is_and_every_command_sees_the_changes(home, work):
    before = below(work)
    model = shell("echo new > kept; rm -r src; mkdir src; echo two > src/two", "cat kept; ls src")
    shown, thread, problem, _ = await ended(model, home, work)
    assert problem is None
    assert outputs(shown)[1] == "new\ntwo\n"
    assert below(work) == before
    overlay = find(str(home), thread)
    assert planned(overlay).changes == (
        ("~", "kept"),
        ("-", "src/old"),
        ("+", "src/two"),
    )
    keep(None, overlay, turn="t")
    assert below(work) == {"kept": "new\n", "src/two": "two\n"}
    assert find(str(home), thread) is None


async def test_a_patch_after_a_command_is_made_from_what_the_command_wrote(home, work):
    patch = "*** Begin Patch\n*** Update File: kept\n@@\n-command\n+patch\n*** End Patch"
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo command > kept", login=False)
        .calls("apply_patch", input=patch)
        .calls("exec_command", cmd="cat kept", login=False)
        .says("done.")
    )
    shown, _, _, _ = await ended(model, home, work)
    assert outputs(shown)[-1] == "patch\n"
    assert (work / "kept").read_text() == "before\n"


async def test_a_link_made_in_the_overlay_does_not_show_a_patch_what_is_hidden(home, work):
    secret = next((home / "overlays").iterdir()) / "overlay.json"
    patch = "*** Begin Patch\n*** Update File: way\n@@\n-x\n+y\n*** End Patch"
    model = (
        ScriptedModel()
        .calls("exec_command", cmd=f"ln -s {secret} way", login=False)
        .calls("apply_patch", input=patch)
        .says("done.")
    )
    shown, _, _, _ = await ended(model, home, work)
    assert not any("began_ns" in str(event) for event in shown)


@pytest.mark.parametrize(
    "attempt",
    [
        "mv {work} {work}-away",
        "umount {work}",
        "umount -l {work}; echo real > {work}/kept",
        "mount --bind / {work}",
        "unshare -rm sh -c 'umount {work}; echo real > {work}/kept'",
        "echo real > /proc/1/root{work}/kept",
        "ln {work}/kept {top}/hard && echo real > {top}/hard",
        "rm -r {home}/overlays; echo real > {home}/overlays/x",
        "cd {work}/..; mv work other; mkdir work; echo real > work/kept",
        "for fd in /proc/self/fd/*; do echo real > $fd/kept; done",
        "mkdir -p .git; echo real > .git/config",
    ],
)
async def test_no_other_path_leads_to_the_folder(home, work, tmp_path, attempt):
    before = below(work)
    command = attempt.format(work=work, top=tmp_path, home=home)
    shown, thread, problem, _ = await ended(
        shell(f"({command}) 2>/dev/null; echo over"), home, work
    )
    assert problem is None
    assert outputs(shown)[0].endswith("over\n")
    assert below(work) == before
    assert work.is_dir()
    assert find(str(home), thread) is not None


async def test_nothing_runs_outside_even_when_somebody_would_allow_it(home, work):
    async def yes(request, /):
        return Decision.allow()

    (home / "config.toml").write_text('approval_policy = "on-request"\n')
    model = (
        ScriptedModel()
        .calls(
            "exec_command",
            cmd="echo real > kept",
            login=False,
            sandbox_permissions="require_escalated",
            justification="want to",
        )
        .says("done.")
    )
    await ended(model, home, work, approver=yes)
    assert (work / "kept").read_text() == "before\n"


async def test_a_protected_folder_below_cannot_be_moved_away(home, work):
    (work / "src" / ".octavo").mkdir()
    (work / ".git").mkdir()
    (work / ".git" / "config").write_text("mine\n")
    shown, thread, _, _ = await ended(
        shell("mv .git gone; rm -r .git; echo real > .git/config; cat .git/config"), home, work
    )
    assert outputs(shown)[0].endswith("mine\n")
    assert not any(path.startswith(".git") for _, path in planned(find(str(home), thread)).changes)


async def test_a_thread_that_goes_on_works_in_its_overlay_and_says_so(home, work):
    _, thread, _, _ = await ended(shell("echo new > kept"), home, work)
    shown, _, _, warnings = await ended(shell("cat kept"), home, work, thread=thread, overlay=False)
    assert outputs(shown) == ["new\n"]
    assert any("neither kept nor dropped" in text for text in warnings)
    assert (work / "kept").read_text() == "before\n"


async def test_an_overlay_that_holds_nothing_goes_by_itself(home, work):
    _, thread, _, _ = await ended(shell("cat kept"), home, work)
    _, _, _, warnings = await ended(shell("true"), home, work, thread=thread, overlay=False)
    assert find(str(home), thread) is None
    assert not any("overlay" in text for text in warnings)


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
async def test_a_weaker_mechanism_refuses(home, work, rung):
    _, _, problem, _ = await ended(shell("echo x > kept"), home, work, rungs=(rung,))
    assert problem is not None
    assert (work / "kept").read_text() == "before\n"


async def test_without_a_sandbox_there_is_no_overlay(tmp_path, work):
    with pytest.raises(SandboxUnavailable, match="danger-full-access") as refused:
        await ended(shell("true"), tmp_path / "h", work, sandbox=Sandbox.danger_full_access())
    assert refused.value.hint


async def test_a_home_inside_the_folder_is_refused(work):
    with pytest.raises(SandboxUnavailable, match="inside the workspace"):
        await ended(shell("true"), work / "home", work)


async def test_an_ephemeral_thread_has_none(tmp_path, work):
    with pytest.raises(UsageError, match="--ephemeral"):
        await ended(shell("true"), tmp_path / "h", work, ephemeral=True)


async def test_a_turn_of_plan_mode_sees_the_changes_of_the_one_before(home, work):
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo new > kept", login=False)
        .says("done.")
        .calls("exec_command", cmd="cat kept", login=False)
        .says("looked.")
    )
    async with Engine.open(model=model, home=home, environ=dict(os.environ)) as engine:
        sandbox = Sandbox.workspace_write()
        thread = await engine.start_thread(cwd=work, overlay=True, sandbox=sandbox)
        await thread.run("go")
        result = await thread.run("look", mode="plan")
    done = [item for item in result.items if isinstance(item, items.CommandExecution)]
    assert [item.aggregated_output for item in done] == ["new\n"]
