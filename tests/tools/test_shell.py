"""Commands as the model runs them: real processes, real terminals, the real sandbox where it counts."""

import asyncio
import json
import os
import re
import sys

import pytest

from octavo.process.table import TableLimits, yield_ms
from octavo.protocol.approvals import CommandApproval, Decision
from octavo.tools.apply_patch import Patcher
from octavo.tools.base import ToolOutput
from octavo.tools.registry import Registry
from octavo.tools.sessions import Sessions
from octavo.tools.shell import ExecCommand, WriteStdin, shell_argv

LONG_S = 20


def soon(asked, wanted_ms):
    """The usual bounds, but nobody has to wait for the least."""
    return wanted_ms if wanted_ms is not None else min(yield_ms(asked, None), 5_000)


class Shell:
    def __init__(self, world, sessions):
        self.world = world
        self.sessions = sessions
        self.tools = Registry(
            [ExecCommand(sessions, Patcher(), yields=soon), WriteStdin(sessions, yields=soon)]
        )

    async def exec(self, cmd, *, context=None, **more) -> ToolOutput:
        call = self.world.call("exec_command", json.dumps({"cmd": cmd, "login": False, **more}))
        return await self.tools.run(call, self.world.context(**(context or {})))

    async def write(self, session_id, chars="", **more) -> ToolOutput:
        arguments = {"session_id": session_id, "chars": chars, **more}
        call = self.world.call("write_stdin", json.dumps(arguments))
        return await self.tools.run(call, self.world.context())


@pytest.fixture
async def shell(world):
    async with Sessions(limits=TableLimits(settle_s=0.01)) as sessions:
        yield Shell(world, sessions)
        await sessions.end_all()


def session_of(answer):
    return int(re.search(r"session ID (\d+)", answer.text)[1])


def body(answer):
    return answer.text.partition("Output:\n")[2]


async def read_until(shell, session_id, word):
    text = ""
    async with asyncio.timeout(LONG_S):
        while word not in text:
            answer = await shell.write(session_id, yield_time_ms=20)
            assert "Output:" in answer.text, answer.text
            text += body(answer)
    return text


async def test_a_short_command_answers_with_all_lines(shell, world):
    answer = await shell.exec("echo out; echo err >&2; exit 3")
    assert not answer.success
    assert re.fullmatch(
        r"Chunk ID: [0-9a-f]{6}\nWall time: \d+\.\d{4} seconds\nProcess exited with code 3\n"
        r"Original token count: 2\nOutput:\nout\nerr\n",
        answer.text,
    )
    assert len(shell.sessions) == 0
    begun, done = world.items("ItemStarted")[0].item, world.items("ItemCompleted")[0].item
    assert begun.command == ("/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    assert (begun.id, begun.status, begun.cwd) == ("call_1", "in_progress", str(world.folder))
    assert (done.aggregated_output, done.exit_code, done.status) == ("out\nerr\n", 3, "failed")
    assert "".join(event.text for event in world.items("CommandOutputDelta")) == "out\nerr\n"


async def test_a_command_that_goes_on_is_read_piece_by_piece(shell, world):
    answer = await shell.exec("echo one; read x; echo two; read y", tty=True, yield_time_ms=5)
    session = session_of(answer)
    first = body(answer) + (
        "" if "one" in body(answer) else await read_until(shell, session, "one")
    )
    assert first == "one\r\n"
    answer = await shell.write(session, "\n", yield_time_ms=1)
    second = body(answer)
    if "two" not in second:
        second += await read_until(shell, session, "two")
    assert second == "\r\ntwo\r\n"
    assert "exited with code 0" in (await shell.write(session, "\n", yield_time_ms=5_000)).text
    again = await shell.write(session)
    assert not again.success
    assert f"there is no session {session}" in again.text
    assert world.items("ItemCompleted")[0].item.aggregated_output == "one\r\n\r\ntwo\r\n\r\n"


async def test_without_a_terminal_only_control_c_is_taken(shell):
    session = session_of(await shell.exec("exec sleep 100", yield_time_ms=1))
    refused = await shell.write(session, "hello")
    assert not refused.success
    assert "tty" in refused.text
    assert "exited with code 130" in (await shell.write(session, "\x03")).text


async def test_a_command_without_a_terminal_reads_the_end_at_once(shell):
    assert body(await shell.exec("cat; echo over")) == "over\n"


async def test_a_terminal_is_one(shell):
    assert body(await shell.exec("test -t 0 && test -t 1 && echo yes", tty=True)) == "yes\r\n"
    assert body(await shell.exec("test -t 1 || echo no")) == "no\n"


async def test_a_background_child_does_not_delay_the_answer(shell):
    answer = await shell.exec("sleep 30 & echo here; kill -0 $! && echo alive")
    assert "Process exited with code 0" in answer.text


async def test_many_commands_run_side_by_side(shell):
    async with asyncio.timeout(LONG_S):
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(shell.exec(f"sleep 0.3; echo {n}")) for n in range(8)]
    assert [body(run.result()) for run in runs] == [f"{n}\n" for n in range(8)]


async def test_yes_costs_bounded_memory_and_both_ends_are_shown(shell):
    answer = await shell.exec("yes | head -c 30000000; echo end", max_output_tokens=100)
    text = body(answer)
    assert text.startswith("Warning: truncated output (original token count: 7500001)\n")
    assert "Total output lines: 15000001\n\ny\ny\n" in text
    assert "tokens truncated…" in text
    assert text.endswith("y\nend\n")
    assert len(text) < 600


async def test_the_model_can_ask_for_less_and_not_for_more(shell):
    answer = await shell.exec("seq 1 9999", max_output_tokens=9999, context={"output_tokens": 10})
    assert len(body(answer)) < 200


async def test_letters_are_never_split(shell):
    answer = await shell.exec("printf 'a\\303'; sleep 0.05; printf '\\251b'")
    assert body(answer) == "aéb"


async def test_a_folder_is_relative_to_the_turn(shell, world):
    (world.folder / "sub").mkdir()
    assert body(await shell.exec("pwd", workdir="sub")) == f"{world.folder}/sub\n"
    assert body(await shell.exec("pwd", workdir="")) == f"{world.folder}\n"
    missing = await shell.exec("pwd", workdir="no")
    assert not missing.success
    assert "exec_command failed: cannot start" in missing.text
    assert world.items("ItemCompleted")[-1].item.status == "failed"


async def test_the_shell_can_be_chosen(shell):
    assert not (await shell.exec("x", shell="/no/such/shell")).success
    assert body(await shell.exec("echo $0", shell="/bin/sh")) == "/bin/sh\n"


def test_shells_are_told_in_their_own_way():
    assert shell_argv("/bin/bash", "x", login=True) == ("/bin/bash", "-lc", "x")
    assert shell_argv("/bin/zsh", "x", login=False) == ("/bin/zsh", "-c", "x")
    assert shell_argv("C:\\pwsh.exe", "x", login=False)[1:] == ("-NoProfile", "-Command", "x")
    assert shell_argv("cmd.exe", "x", login=True) == ("cmd.exe", "/c", "x")


async def test_login_shells_can_be_switched_off(world):
    async with Sessions() as sessions:
        tool = ExecCommand(sessions, Patcher(), allow_login=False)
        refused = await tool.run(
            world.call("exec_command", '{"cmd": "true", "login": true}'), world.context()
        )
        assert "login shells are switched off" in refused.text
        done = await tool.run(world.call("exec_command", '{"cmd": "echo $-"}'), world.context())
        assert done.success
        assert world.launcher.started[0][0].argv[1] == "-c"


@pytest.mark.parametrize("arguments", ["", "{}", "{", '{"cmd": 3}', "null"])
async def test_bad_arguments_are_told(shell, world, arguments):
    answer = await shell.tools.run(world.call("exec_command", arguments), world.context())
    assert answer.text.startswith("failed to parse function arguments: ")
    assert world.events == []


async def test_a_nul_byte_in_a_command_is_told(shell):
    assert "NUL" in (await shell.exec("echo \0")).text


# ---- eviction, interruption, the end ------------------------------------------------------------


async def test_the_eldest_is_ended_when_there_is_no_room_and_the_model_is_told(world):
    async with Sessions(
        limits=TableLimits(processes=2, spared=0), ids=iter(range(1, 99))
    ) as sessions:
        shell = Shell(world, sessions)
        for _ in range(2):
            await shell.exec("sleep 100", yield_time_ms=1)
        answer = await shell.exec("echo new")
        assert (
            "new\nOnly 2 commands are kept: session 1 (/bin/sh -c 'sleep 100') was ended."
            in answer.text
        )
        assert 1 not in sessions
        assert 2 in sessions
        ended = world.items("ItemCompleted")[0].item
        assert (ended.id, ended.status, ended.exit_code) == ("call_1", "failed", 137)


async def test_a_stopped_call_leaves_no_process(shell, world):
    marker = world.folder / "pid"
    task = asyncio.ensure_future(shell.exec(f"echo $$ > {marker}; exec sleep 100"))
    async with asyncio.timeout(LONG_S):
        while not (marker.exists() and marker.read_text().strip()):  # noqa: ASYNC110 - the file is the event
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(shell.sessions) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)
    assert world.items("ItemCompleted")[0].item.status == "failed"


async def test_leaving_ends_everything_and_clients_know(world):
    async with Sessions() as sessions:
        shell = Shell(world, sessions)
        await shell.exec("trap '' TERM; while :; do sleep 1; done", yield_time_ms=1)
        pid = next(iter(sessions._commands.values())).confined.child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert world.items("ItemCompleted")[0].item.exit_code == 137


async def test_an_end_nobody_waited_for_is_told_once(shell, world):
    session = session_of(await shell.exec("echo a; sleep 0.05; echo b", yield_time_ms=1))
    async with asyncio.timeout(LONG_S):
        while not world.items("ItemCompleted"):  # noqa: ASYNC110 - nobody is to wait for it
            await asyncio.sleep(0.005)
    answer = await shell.write(session)
    assert "Process exited with code 0" in answer.text
    assert body(answer).endswith("b\n")


# ---- questions ------------------------------------------------------------------------------------


async def test_under_never_escalation_is_refused(shell, world):
    answer = await shell.exec("true", sandbox_permissions="require_escalated")
    assert answer.text.startswith("approval policy is Never; reject command")
    assert (world.asked, world.launcher.started, world.events) == ([], [], [])


ASK = {"context": {"approval_policy": "on-request"}, "sandbox_permissions": "require_escalated"}


async def test_escalation_is_asked_for_and_runs_outside(shell, world):
    world.answers = [Decision.allow_once()]
    answer = await shell.exec("echo hi", justification="may I?", prefix_rule=["echo"], **ASK)
    assert body(answer) == "hi\n"
    assert world.asked == [
        CommandApproval(
            call_id="call_1",
            argv=("/bin/sh", "-c", "echo hi"),
            cwd=str(world.folder),
            reason="may I?",
            because="it would run outside the sandbox",
            proposed_rule=("echo",),
            escalated=True,
            pipelines=((("echo", "hi"),),),
        )
    ]
    assert world.launcher.started[0][1]


async def test_a_refusal_tells_the_reason(shell, world):
    world.answers = [Decision.deny("not today"), Decision.abort()]
    answer = await shell.exec("echo hi", **ASK)
    assert answer.text == "exec_command failed: rejected by user: not today"
    assert not answer.ends_turn
    assert (await shell.exec("echo hi", **ASK)).ends_turn
    assert world.launcher.started == []
    assert [event.item.status for event in world.items("ItemCompleted")] == ["declined", "declined"]


# ---- patches in disguise --------------------------------------------------------------------------

PATCH = "*** Begin Patch\n*** Add File: n.txt\n+hi\n*** End Patch"


async def test_a_patch_in_a_shell_command_is_applied_as_one(shell, world):
    (world.folder / "sub").mkdir()
    answer = await shell.exec(f"cd sub && apply_patch <<'EOF'\n{PATCH}\nEOF")
    assert answer.text == (
        "Wall time: 0.0000 seconds\nProcess exited with code 0\nOriginal token count: 12\nOutput:\n"
        "Success. Updated the following files:\nA n.txt\n"
    )
    assert (world.folder / "sub" / "n.txt").read_text() == "hi\n"
    assert type(world.events[0].item).__name__ == "FileChange"


async def test_a_patch_without_a_command_is_told_how_to_call_it(shell, world):
    answer = await shell.exec(PATCH)
    assert not answer.success
    assert "apply_patch <<'EOF'" in answer.text
    assert not (world.folder / "n.txt").exists()


# ---- the real sandbox -----------------------------------------------------------------------------


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="denials are collected on Linux")
async def test_what_the_sandbox_refused_is_told(confined):
    target = confined.folder.parent / "outside"
    async with Sessions() as sessions:
        shell = Shell(confined, sessions)
        answer = await shell.exec(f"echo x > {target}; echo y > inside; cat inside")
        assert not target.exists()
        assert "y\nSandbox denied: create " in body(answer)
        assert str(target) in body(answer).splitlines()[-1]
        item = confined.items("ItemCompleted")[0].item
        assert [(one.operation, one.subject) for one in item.denials] == [("create", str(target))]
        confined.answers = [Decision.allow_once()]
        assert (await shell.exec(f"echo x > {target}", **ASK)).success
        assert target.read_text() == "x\n"


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the warm sandbox is Linux's")
async def test_a_confined_terminal_can_be_interrupted(confined):
    async with Sessions() as sessions:
        shell = Shell(confined, sessions)
        answer = await shell.exec("echo ready; sleep 100", tty=True, yield_time_ms=1)
        session = session_of(answer)
        async with asyncio.timeout(LONG_S):
            text = body(answer)
            if "ready" not in text:
                text = await read_until(shell, session, "ready")
            while "exited" not in text:
                text = (await shell.write(session, "\x03", yield_time_ms=200)).text
        assert "code 130" in text
