"""Real programs as hooks: they answer, hang, fork, flood, and change behind our back."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

if sys.platform == "win32":
    pytest.skip("hooks do not run on Windows yet", allow_module_level=True)

from octavo.engine.hook_runner import AT_ONCE, Background, HookRunner
from octavo.protocol.hooks import Hook

ENV = {"PATH": os.environ["PATH"], "GREETING": "hello"}


@pytest.fixture
def runner(tmp_path):
    return HookRunner(cwd=str(tmp_path), environment=ENV)


def hook(command, event="PreToolUse", **more):
    return Hook(event=event, command=command, key=command, source="hooks.json", **more)


async def answer(runner, command, data=b"{}\n", **more):
    return (await runner.run(hook(command, **more), data)).answer


async def test_it_reads_its_input_and_its_answer_counts(runner):
    told = await answer(runner, "cat", b'{"systemMessage": "seen"}\n')
    assert told.message == "seen"


async def test_it_runs_in_the_folder_of_the_session_with_the_environment_of_commands(
    runner, tmp_path
):
    told = await answer(runner, 'echo "$GREETING $PWD $HOME"', event="UserPromptSubmit")
    assert told.context == (f"hello {tmp_path}",)


async def test_it_need_not_read_what_it_is_told(runner):
    assert (await answer(runner, "exit 0", b"x" * 1_000_000)).failure is None


async def test_exit_two_objects(runner):
    assert (await answer(runner, "echo not here >&2; exit 2")).block == "not here"


async def test_what_cannot_be_found_is_a_failure_in_words(runner):
    told = await answer(runner, "/no/such/hook")
    assert "127" in told.failure


async def test_a_hook_that_hangs_is_ended_with_all_it_started(runner, tmp_path):
    script = "sh -c 'echo $$ > pid; sleep 600' & sh -c 'sleep 600 >/dev/null' ; sleep 600"
    began = time.monotonic()
    told = await answer(runner, script, timeout_s=1)
    assert "no answer after 1 s" in told.failure
    assert time.monotonic() - began < 8
    pid = int((tmp_path / "pid").read_text())
    assert not alive(pid)


async def test_what_it_leaves_behind_holds_nobody_up(runner):
    began = time.monotonic()
    told = await answer(runner, "sleep 5 & echo '{}'")
    assert told.failure is None
    assert time.monotonic() - began < 4


async def test_garbage_and_floods_are_failures(runner):
    assert (await answer(runner, "head -c 3000 /dev/urandom; exit 3")).failure
    assert (await answer(runner, "printf '{'; head -c 3000 /dev/urandom")).failure
    flood = await answer(runner, "printf '{'; yes | head -c 40000000")
    assert "output" in flood.failure
    endless = await answer(runner, "yes", timeout_s=20)
    assert endless.failure


async def test_what_changed_since_it_was_trusted_does_not_run(tmp_path):
    seen = []

    def check(one, cwd):
        seen.append((one.command, cwd))
        return "it has changed"

    runner = HookRunner(cwd=str(tmp_path), environment=ENV, check=check)
    told = await answer(runner, "touch ran")
    assert "it has changed" in told.failure
    assert not (tmp_path / "ran").exists()
    assert seen == [("touch ran", str(tmp_path))]


async def test_all_run_together_and_answer_in_the_order_they_end(runner, tmp_path):
    slow = "while ! test -e go; do sleep 0.01; done; echo slow"
    said = await runner.run_all(
        [hook(slow, "UserPromptSubmit"), hook("touch go; echo quick", "UserPromptSubmit")], b""
    )
    assert sorted(one.answer.context for one in said) == [("quick",), ("slow",)]


async def test_cancelling_ends_them(runner, tmp_path):
    async def both():
        await runner.run_all([hook("echo $$ > pid; exec sleep 600")], b"")

    task = asyncio.ensure_future(both())
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int((tmp_path / "pid").read_text()))


async def until(happened):
    """Programs tell nobody: look until it has happened."""
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def alive(pid):
    """Does it run? What has ended and waits for its parent does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


async def test_no_more_than_eight_run_in_the_background(runner, tmp_path):
    async with asyncio.TaskGroup() as group:
        background = Background(runner, group)
        for number in range(AT_ONCE + 4):
            command = (
                f"touch began-{number}; while ! test -e go; do sleep 0.01; done; echo {number}"
            )
            background.start(hook(command, "UserPromptSubmit"), b"")
        await until(lambda: len(list(tmp_path.glob("began-*"))) >= AT_ONCE)
        assert len(list(tmp_path.glob("began-*"))) == AT_ONCE
        (tmp_path / "go").touch()
        await until(lambda: len(list(tmp_path.glob("began-*"))) == AT_ONCE + 4)
        await background.close()
        said = background.take()
    assert sorted(int(one.answer.context[0]) for one in said) == list(range(AT_ONCE + 4))
    assert background.take() == []
