"""Hooks in whole turns: real programs, the real engine; only the model is a script."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.thread import TurnFailedError
from octavo.protocol import events
from octavo.protocol.approvals import Decision
from octavo.testing import ScriptedModel


class Room:
    """A home with hooks, and a folder."""

    def __init__(self, path):
        self.path = path
        self.work = path / "work"
        self.hooks = {}
        for name in ("home", "work"):
            (path / name).mkdir()

    def hook(self, event, script, *, matcher=None, **more):
        """A shell script that runs at an event; what it reads is in `seen(event)`."""
        path = self.path / f"{event}-{len(self.hooks.get(event, []))}.sh"
        path.write_text(f"cat >> {self.path}/{event}.seen\n{script}\n")
        handler = {"type": "command", "command": f"sh {path}", **more}
        group = {"hooks": [handler], **({} if matcher is None else {"matcher": matcher})}
        self.hooks.setdefault(event, []).append(group)
        (self.path / "home/hooks.json").write_text(json.dumps({"hooks": self.hooks}))
        return path

    def seen(self, event):
        path = self.path / f"{event}.seen"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def open(self, model, *, trusted=True, **more):
        return Engine.open(model=model, home=self.path / "home", bypass_hook_trust=trusted, **more)

    async def start(self, engine, **more):
        more.setdefault("sandbox", Sandbox.workspace_write())
        return await engine.start_thread(cwd=self.work, **more)


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    return Room(tmp_path)


async def watch(thread, prompt, do=None):
    got = []
    async with thread.stream(prompt) as turn:
        async for event in turn:
            got.append(event)
            if do is not None:
                await do(turn, event)
    return got


def warnings(got):
    return [event.message for event in got if isinstance(event, events.Warned)]


def said(request, role):
    return [item.text for item in request.input if getattr(item, "role", "") == role]


async def test_without_hooks_nothing_of_them_is_loaded(room):
    script = (
        "import asyncio, sys\n"
        "from octavo.api.engine import Engine\nfrom octavo.testing import ScriptedModel\n"
        "async def main():\n"
        f"    async with Engine.open(model=ScriptedModel().says('ok'), home={str(room.path / 'home')!r}) as e:\n"
        f"        t = await e.start_thread(cwd={str(room.work)!r})\n"
        "        await t.run('hi')\n"
        "asyncio.run(main())\n"
        "print(sorted(m for m in sys.modules if 'hook' in m or 'skill' in m))\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert out.decode().strip() == "[]"


async def test_a_denied_command_does_not_run_and_the_model_reads_why(room):
    room.hook("PreToolUse", "echo 'no files today' >&2; exit 2", matcher="Bash")
    model = ScriptedModel().calls("exec_command", cmd="touch made").says("Fine.")
    async with room.open(model) as engine:
        got = await watch(await room.start(engine), "go")
    (output,) = model.requests[1].tool_outputs
    assert "no files today" in output
    assert "touch made" in output
    assert not (room.work / "made").exists()
    (told,) = room.seen("PreToolUse")
    assert told["tool_name"] == "Bash"
    assert told["tool_input"] == {"command": "touch made"}
    assert told["cwd"] == str(room.work)
    assert told["permission_mode"] == "bypassPermissions"
    assert any("no files today" in one for one in warnings(got))


async def test_a_command_can_be_rewritten(room):
    answer = {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse", "permissionDecision": "allow",
            "updatedInput": {"command": "echo rewritten"}, "additionalContext": "Mind the gap.",
        }
    }  # fmt: skip
    room.hook("PreToolUse", f"echo '{json.dumps(answer)}'")
    model = ScriptedModel().calls("exec_command", cmd="echo original").says("Fine.")
    async with room.open(model) as engine:
        await watch(await room.start(engine), "go")
    (output,) = model.requests[1].tool_outputs
    assert "rewritten" in output
    assert "original" not in output
    assert "Mind the gap." in said(model.requests[1], "developer")


async def test_patches_are_seen_under_three_names(room):
    room.hook("PreToolUse", "echo 'write protected' >&2; exit 2", matcher="Edit|Write")
    patch = "*** Begin Patch\n*** Add File: a.txt\n+x\n*** End Patch"
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo hello")
        .and_calls_custom("apply_patch", patch)
        .says("Fine.")
    )
    async with room.open(model, overrides=['model="gpt-5"']) as engine:
        await watch(await room.start(engine), "go")
    first, second = model.requests[1].tool_outputs
    assert "hello" in first
    assert "write protected" in second
    assert not (room.work / "a.txt").exists()


async def test_a_block_after_a_tool_replaces_its_output(room):
    room.hook("PostToolUse", """echo '{"decision": "block", "reason": "format it first"}'""")
    model = ScriptedModel().calls("exec_command", cmd="echo raw").says("Fine.")
    async with room.open(model) as engine:
        await watch(await room.start(engine), "go")
    assert model.requests[1].tool_outputs == ["format it first"]
    (told,) = room.seen("PostToolUse")
    assert "raw" in told["tool_response"]
    assert told["tool_use_id"]


async def test_the_end_of_a_command_in_the_background_is_told_with_its_call(room):
    room.hook("PostToolUse", "exit 0")
    script = "while ! test -e go; do sleep 0.05; done; echo over"
    model = (
        ScriptedModel()
        .calls("exec_command", cmd=script, yield_time_ms=250)
        .replies_with(poll_after((room.work / "go").touch))
        .says("Fine.")
    )
    async with room.open(model) as engine:
        await watch(await room.start(engine), "go")
    (told,) = room.seen("PostToolUse")
    assert told["tool_name"] == "Bash"
    assert told["tool_input"]["command"] == script
    assert "over" in told["tool_response"]


def poll_after(do):
    """A reply that reads on in the command of the last output."""
    import re

    from octavo.testing.script import Call, Reply

    def answer(request):
        do()
        number = re.search(r"session ID (\d+)", request.tool_outputs[-1])[1]
        arguments = json.dumps({"session_id": int(number), "yield_time_ms": 5000})
        return Reply(steps=(Call(name="write_stdin", arguments=arguments),))

    return answer


async def test_a_stop_hook_has_the_model_go_on_until_it_is_content(room):
    room.hook("Stop", "test -e ../done || { touch ../done; echo 'run the tests' >&2; exit 2; }")
    model = ScriptedModel().says("Done.").says("Really done.")
    async with room.open(model) as engine:
        result = await (await room.start(engine)).run("go")
    assert result.final_message == "Really done."
    assert "run the tests" in said(model.requests[1], "user")[-1]
    first, second = room.seen("Stop")
    assert (first["stop_hook_active"], second["stop_hook_active"]) == (False, True)
    assert (first["last_assistant_message"], second["last_assistant_message"]) == (
        "Done.", "Really done.",
    )  # fmt: skip


async def test_a_start_and_a_prompt_add_context_and_each_is_told_once(room):
    room.hook("SessionStart", "echo 'be brief'", matcher="startup")
    room.hook("UserPromptSubmit", "echo 'it is friday'")
    room.hook("SessionEnd", "exit 0")
    model = ScriptedModel().says("One.").says("Two.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        await thread.run("first")
        await thread.run("second")
    developer = said(model.requests[1], "developer")
    assert developer.count("be brief") == 1
    assert developer.count("it is friday") == 2
    words = [item.text for item in model.requests[0].input]
    assert words.index("first") < words.index("be brief")
    assert [one["source"] for one in room.seen("SessionStart")] == ["startup"]
    assert [one["prompt"] for one in room.seen("UserPromptSubmit")] == ["first", "second"]
    assert [one["reason"] for one in room.seen("SessionEnd")] == ["other"]
    assert room.seen("SessionStart")[0]["transcript_path"] == str(thread.path)


async def test_a_resumed_thread_says_so(room):
    room.hook("SessionStart", "exit 0")
    async with room.open(ScriptedModel().says("One.")) as engine:
        thread = await room.start(engine)
        await thread.run("first")
    async with room.open(ScriptedModel().says("Two.")) as engine:
        await (await engine.resume_thread(thread.id)).run("second")
    assert [one["source"] for one in room.seen("SessionStart")] == ["startup", "resume"]


async def test_a_refused_prompt_never_reaches_the_model_nor_the_disk(room):
    room.hook("UserPromptSubmit", "grep -q s3cret ../UserPromptSubmit.seen && "
              "{ echo 'that is a secret' >&2; exit 2; }; exit 0")  # fmt: skip
    model = ScriptedModel().says("Hello.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        with pytest.raises(TurnFailedError, match="that is a secret"):
            await thread.run("my password is s3cret")
        assert model.requests == []
        (room.path / "UserPromptSubmit.seen").unlink()
        assert (await thread.run("hi")).final_message == "Hello."
        assert b"s3cret" not in contents(thread.path)
    assert "s3cret" not in str(model.requests[0].input)


def contents(path):
    return Path(path).read_bytes()


async def test_words_for_a_running_turn_are_looked_at_too(room):
    room.hook("UserPromptSubmit", "grep -q forbidden ../UserPromptSubmit.seen && "
              "{ echo no >&2; exit 2; }; exit 0")  # fmt: skip
    script = "while ! test -e go; do sleep 0.05; done"
    model = ScriptedModel().calls("exec_command", cmd=script).says("Fine.")

    async def steer(turn, event):
        if isinstance(event, events.ItemStarted):
            await turn.steer("forbidden words")
        if isinstance(event, events.Warned) and "no" in event.message:
            (room.work / "go").touch()

    async with room.open(model) as engine:
        got = await watch(await room.start(engine), "go", steer)
    assert isinstance(got[-1], events.TurnCompleted)
    assert "forbidden words" not in str(model.requests[1].input)


async def test_a_hook_that_hangs_costs_its_time_and_the_turn_goes_on(room):
    room.hook("PreToolUse", "sleep 600 & sleep 600", timeout=1)
    model = ScriptedModel().calls("exec_command", cmd="echo ran").says("Fine.")
    began = time.monotonic()
    async with room.open(model) as engine:
        got = await watch(await room.start(engine), "go")
    assert time.monotonic() - began < 15
    assert "ran" in model.requests[1].tool_outputs[0]
    assert any("no answer after 1 s" in one for one in warnings(got))


async def test_a_hook_that_blocks_on_failure_does(room):
    room.hook("PreToolUse", "kill -9 $$", on_failure="block")
    model = ScriptedModel().calls("exec_command", cmd="touch made").says("Fine.")
    async with room.open(model) as engine:
        await watch(await room.start(engine), "go")
    assert "blocks when it fails" in model.requests[1].tool_outputs[0]
    assert not (room.work / "made").exists()


async def test_garbage_is_shown_and_the_work_goes_on(room):
    room.hook("PreToolUse", "head -c 500 /dev/urandom; exit 1")
    room.hook("PostToolUse", "printf '{\"decision\": '")
    room.hook("Stop", "echo done")
    model = ScriptedModel().calls("exec_command", cmd="echo ran").says("Fine.")
    async with room.open(model) as engine:
        got = await watch(await room.start(engine), "go")
    assert isinstance(got[-1], events.TurnCompleted)
    assert len([one for one in warnings(got) if "failed" in one]) == 3


async def test_a_hook_may_stop_the_turn(room):
    room.hook("PostToolUse", """echo '{"continue": false, "stopReason": "enough"}'""")
    model = ScriptedModel().calls("exec_command", cmd="echo ran").says("Never said.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        with pytest.raises(TurnFailedError, match="a hook stopped this turn: enough"):
            await thread.run("go")


async def test_an_interrupt_ends_hooks_before_anything_began(room):
    room.hook("UserPromptSubmit", "touch ../began; sleep 600")
    model = ScriptedModel().says("Never said.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        async with asyncio.timeout(10), thread.stream("go") as turn:
            while not (room.path / "began").exists():  # noqa: ASYNC110 - a program writes it
                await asyncio.sleep(0.01)
            await turn.interrupt()
            got = [event async for event in turn]
    assert isinstance(got[-1], events.TurnInterrupted)
    assert model.requests == []


async def test_an_interrupt_ends_a_stop_hook(room):
    room.hook("Stop", "touch ../began; sleep 600")
    async with room.open(ScriptedModel().says("Done.")) as engine:
        thread = await room.start(engine)
        async with asyncio.timeout(10), thread.stream("go") as turn:
            while not (room.path / "began").exists():  # noqa: ASYNC110 - a program writes it
                await asyncio.sleep(0.01)
            await turn.interrupt()
            got = [event async for event in turn]
    assert isinstance(got[-1], events.TurnInterrupted)


async def test_hooks_in_the_background_are_heard_at_the_next_turn(room):
    room.hook("UserPromptSubmit", "test -e ../first && exit 0; touch ../first; echo 'from before'",
              **{"async": True})  # fmt: skip
    model = ScriptedModel().says("One.").says("Two.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        await thread.run("first")
        background = thread._session.parts.hooks._background
        async with asyncio.timeout(10):
            while not background._said:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        await thread.run("second")
    assert "from before" not in said(model.requests[0], "developer")
    assert "from before" in said(model.requests[1], "developer")


async def test_long_context_goes_to_a_file(room):
    room.hook("SessionStart", "echo BEGIN; seq 20000; echo END")
    model = ScriptedModel().says("One.")
    async with room.open(model) as engine:
        await (await room.start(engine)).run("go")
    (text,) = [one for one in said(model.requests[0], "developer") if "BEGIN" in one]
    assert text.endswith("END")
    assert len(text) < 12_000
    (path,) = (room.path / "home/hook_context").rglob("*.txt")
    assert str(path) in text
    assert path.read_text().endswith("20000\nEND")
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_is_ephemeral_leaves_no_context_behind(room):
    room.hook("SessionStart", "seq 20000")
    async with room.open(ScriptedModel().says("One.")) as engine:
        thread = await room.start(engine, ephemeral=True)
        await thread.run("go")
        assert list((room.path / "home/hook_context").rglob("*.txt"))
        await thread.close()
    assert not list((room.path / "home/hook_context").rglob("*"))


async def test_an_interrupt_ends_a_hook_before_a_tool(room):
    room.hook("PreToolUse", "touch ../began; sleep 600")
    model = ScriptedModel().calls("exec_command", cmd="touch made").says("Back.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        async with asyncio.timeout(10), thread.stream("go") as turn:
            while not (room.path / "began").exists():  # noqa: ASYNC110 - a program writes it
                await asyncio.sleep(0.01)
            await turn.interrupt()
            got = [event async for event in turn]
        assert isinstance(got[-1], events.TurnInterrupted)
    assert not (room.work / "made").exists()


async def test_all_hooks_of_an_event_run_side_by_side(room):
    room.hook("PreToolUse", "touch ../a; while ! test -e ../b; do sleep 0.01; done", timeout=20)
    room.hook("PreToolUse", "touch ../b; while ! test -e ../a; do sleep 0.01; done", timeout=20)
    model = ScriptedModel().calls("exec_command", cmd="echo ran").says("Fine.")
    async with room.open(model) as engine:
        got = await watch(await room.start(engine), "go")
    assert not [one for one in warnings(got) if "failed" in one]
    assert "ran" in model.requests[1].tool_outputs[0]


ESCALATED = {"cmd": "echo out", "sandbox_permissions": "require_escalated", "justification": "why"}


async def test_a_hook_answers_questions_where_nobody_is(room):
    allow = {"hookSpecificOutput": {"decision": {"behavior": "allow"}}}
    room.hook("PermissionRequest", f"echo '{json.dumps(allow)}'", matcher="Bash")
    model = ScriptedModel().calls("exec_command", **ESCALATED).says("Fine.")
    async with room.open(model, overrides=['approval_policy="on-request"']) as engine:
        await (await room.start(engine, sandbox=Sandbox.read_only())).run("go")
    assert "out" in model.requests[1].tool_outputs[0]
    assert room.seen("PermissionRequest")[0]["tool_input"] == {"command": "echo out"}


async def test_a_hooks_no_beats_a_persons_yes_and_silence_leaves_it_to_them(room):
    room.hook("PermissionRequest", "grep -q 'rm x' ../PermissionRequest.seen && "
              "{ echo 'never rm' >&2; exit 2; }; exit 0")  # fmt: skip
    asked = []

    async def approve(request, /):
        asked.append(request)
        return Decision.allow_once()

    model = (
        ScriptedModel()
        .calls("exec_command", **ESCALATED)
        .calls("exec_command", **{**ESCALATED, "cmd": "rm x"})
        .says("Fine.")
    )
    async with room.open(model, overrides=['approval_policy="on-request"']) as engine:
        thread = await room.start(engine, sandbox=Sandbox.read_only(), approver=approve)
        await thread.run("go")
    assert len(asked) == 1
    assert "never rm" in model.requests[2].tool_outputs[1]


async def test_compaction_can_be_refused_and_is_told(room):
    room.hook("PreCompact", "test -e ../yes || { echo 'not now' >&2; exit 2; }", matcher="manual")
    room.hook("PostCompact", "exit 0")
    room.hook("SessionStart", "echo 'be brief'")
    model = ScriptedModel().says("One.").says("A summary.").says("Two.")
    async with room.open(model) as engine:
        thread = await room.start(engine)
        await thread.run("first")
        await thread.compact()
        assert len(model.requests) == 1
        (room.path / "yes").touch()
        await thread.compact()
        await thread.run("second")
    assert [one["trigger"] for one in room.seen("PostCompact")] == ["manual"]
    assert [one["source"] for one in room.seen("SessionStart")] == ["startup", "compact"]
    assert "be brief" in said(model.requests[2], "developer")


async def test_hooks_nobody_reviewed_do_not_run_and_one_line_says_so(room):
    room.hook("PreToolUse", "exit 2")
    room.hook("Stop", "exit 2")
    model = ScriptedModel().calls("exec_command", cmd="echo ran").says("Fine.")
    async with room.open(model, trusted=False) as engine:
        thread = await room.start(engine)
        await thread.run("go")
    (line,) = [one for one in thread.warnings if "hook" in one]
    assert "octavo hooks trust" in line
    assert room.seen("PreToolUse") == []


async def test_a_script_changed_between_review_and_run_does_not_run(room):
    from octavo.config.hook_trust import approved, set_trust
    from octavo.config.hooks import load_hooks

    script = room.hook("PreToolUse", "touch ../ran; exit 0", on_failure="block")
    model = (
        ScriptedModel()
        .calls("exec_command", cmd="echo one")
        .calls("exec_command", cmd="echo two")
        .says("Fine.")
    )
    async with room.open(model, trusted=False) as engine:
        found = load_hooks(engine.settings(room.work))
        pairs = [(one.hook, one.fingerprint) for one in found.found]
        set_trust(str(room.path / "home"), approved(pairs, str(room.work)))

        async def change(turn, event):
            if isinstance(event, events.ItemCompleted) and event.item.id == "call_1":
                (room.path / "ran").unlink()
                script.write_text("touch ../evil\n")

        thread = await room.start(engine)
        assert not any("hook" in one for one in thread.warnings)
        await watch(thread, "go", change)
    assert "one" in model.requests[1].tool_outputs[0]
    assert "has changed since it was reviewed" in model.requests[2].tool_outputs[1]
    assert not (room.path / "evil").exists()
