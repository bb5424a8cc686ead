"""One sandboxed command as a library call: values in, values out, nothing left behind."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the launcher under test is Linux's", allow_module_level=True)

import octavo
from octavo import CommandRunner, Limits, PermissionProfile, Sandbox, UsageError
from octavo.process.child import StartError

pytestmark = pytest.mark.linux

DEADLINE_S = 20
QUIET_S = 5.0


@pytest.fixture(autouse=True)
def own_home(monkeypatch, octavo_home, workspace):
    monkeypatch.setenv("OCTAVO_HOME", str(octavo_home))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.chdir(workspace)


def descriptors():
    return set(os.listdir("/proc/self/fd"))


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(file.read().split())


def processes_named(marker):
    """Every process on this machine whose command line or environment has the marker."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if marker.encode() in file.read():
                        found.append(int(name))
            except OSError:
                continue
    return found


async def eventually(truth):
    async with asyncio.timeout(QUIET_S):
        while not truth():  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0.005)


def run(argv, **more):
    return octavo.run_command(argv, **{"timeout": DEADLINE_S, **more})


# the examples of the architecture ----------------------------------------------------------------


def test_the_first_example_one_sandboxed_command(workspace):
    (workspace / "test_ok.py").write_text("print('passed')\n")
    done = octavo.run_command(
        [sys.executable, "test_ok.py"], sandbox=Sandbox.workspace_write(), timeout=60
    )
    assert (done.exit_code, done.output.text) == (0, "passed\n")
    assert done.ok
    for denial in done.denials:
        pytest.fail(f"{denial.operation} {denial.subject} {denial.rule}")


def test_the_first_example_says_what_was_denied(workspace, tmp_path):
    done = octavo.run_command(["touch", "/usr/octavo-was-here"], sandbox=Sandbox.read_only())
    assert done.exit_code == 1
    may = os.access("/usr", os.W_OK)  # root only: for others it is an ordinary failure
    wanted = [("create", "/usr/octavo-was-here", "preset")] if may else []
    assert [(d.operation, d.subject, d.rule.source) for d in done.denials] == wanted


def test_the_second_example_a_policy_of_ones_own(workspace):
    (workspace / "secrets").mkdir()
    (workspace / "secrets/key.pem").write_text("key")
    (workspace / "src").mkdir()
    (workspace / "Makefile").write_text("all:\n\techo built > src/app.py\n\t-cat secrets/key.pem\n")
    profile = PermissionProfile.from_mapping({
        "filesystem": {":root": "read", ":cwd": "write", "./secrets": "none"},
        "network": {"allow": ["docs.example.org:443"]},
    })  # fmt: skip
    assert profile.access("./secrets/key.pem") is octavo.Access.NONE
    assert "may be read and written" in str(profile.explain("./src/app.py"))
    done = octavo.run_command(["make"], sandbox=Sandbox.from_profile(profile))
    assert (workspace / "src/app.py").read_text() == "built\n"
    assert "key" not in done.output.text.replace("key.pem", "")
    assert [(d.operation, d.subject) for d in done.denials] == [
        ("read", str(workspace / "secrets/key.pem"))
    ]


# values ------------------------------------------------------------------------------------------


def test_the_result_says_how_the_command_ended():
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_code, done.signal, done.ok) == (3, None, False)
    assert sorted(done.output.text.split()) == ["err", "out"]
    assert done.stderr is None
    assert done.argv[0] == "sh"
    assert done.limit is None
    assert done.rung in ("native", "native-root", "bubblewrap", "landlock")


def test_streams_can_be_kept_apart():
    done = run(["sh", "-c", "echo out; echo err >&2"], merge_stderr=False)
    assert (done.output.text, done.stderr.text) == ("out\n", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_128_and_its_number(number):
    done = run(["sh", "-c", f"kill -{int(number)} $$"])
    assert (done.exit_code, done.signal) == (128 + number, number)


@pytest.mark.parametrize("given", ["text ü\n", b"bytes \xff\n", "", b"x" * 1_000_000])
def test_input_reaches_the_command(given):
    done = run(["wc", "-c"], input=given)
    data = given.encode() if isinstance(given, str) else given
    assert done.output.text.strip() == str(len(data))


def test_without_input_there_is_an_end_of_file_at_once():
    assert run(["cat"]).output.text == ""


def test_the_environment_is_replaced_and_marked():
    done = run(["/usr/bin/env"], env={"ONLY": "this"})
    assert sorted(done.output.text.split()) == [
        "CODEX_SANDBOX_NETWORK_DISABLED=1", "OCTAVO_SANDBOX=1", "ONLY=this",
    ]  # fmt: skip


def test_the_folder_is_the_one_asked_for(tmp_path):
    assert run(["pwd"], cwd=tmp_path).output.text == f"{tmp_path}\n"
    assert run(["pwd"]).output.text == f"{os.getcwd()}\n"


def test_a_symlink_to_the_folder_is_resolved(tmp_path, workspace):
    (tmp_path / "link").symlink_to(workspace)
    done = run(
        ["sh", "-c", "pwd -P; echo x > made"],
        cwd=tmp_path / "link",
        sandbox=Sandbox.workspace_write(),
    )
    assert done.output.text == f"{workspace}\n"
    assert (workspace / "made").exists()


def test_output_arrives_while_the_command_runs():
    heard = []

    async def watch():
        async with CommandRunner() as runner:
            await runner.run(["sh", "-c", "echo one; read x; echo two"], input="go\n",
                             on_output=lambda stream, data: heard.append((stream, data)))  # fmt: skip

    asyncio.run(watch())
    assert b"".join(data for _, data in heard) == b"one\ntwo\n"


def test_much_output_keeps_its_beginning_and_end():
    done = run(["sh", "-c", "echo begin; seq 3000000; echo end"])
    assert done.output.text.startswith("begin\n")
    assert done.output.text.endswith("end\n")
    assert done.output.omitted_bytes > 0


def test_without_a_sandbox_argument_nothing_can_be_written(workspace):
    done = run(["touch", "made"])
    assert done.exit_code != 0
    assert list(workspace.iterdir()) == []


def test_full_access_has_no_sandbox(workspace):
    done = run(["sh", "-c", "echo x > made"], sandbox=Sandbox.danger_full_access())
    assert (done.rung, done.exit_code) == ("none", 0)
    assert (workspace / "made").exists()


def test_an_added_folder_can_be_written(tmp_path):
    (tmp_path / "more").mkdir()
    sandbox = Sandbox.workspace_write(writable_roots=[tmp_path / "more"])
    assert run(["touch", str(tmp_path / "more/x")], sandbox=sandbox).ok


# what cannot be done -----------------------------------------------------------------------------


def test_a_missing_program_is_said_with_its_name():
    with pytest.raises(StartError, match="no-such-program") as caught:
        run(["no-such-program"])
    assert caught.value.shell_code == 127
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("argv", [["/"], ["/etc"], ["/etc/passwd"], ["./own"]])
def test_what_is_no_program_is_said_with_126(workspace, argv):
    (workspace / "own").write_text("no program")
    with pytest.raises(StartError) as caught:
        run(argv)
    assert caught.value.shell_code == 126


def test_a_folder_that_is_missing_is_said(tmp_path):
    with pytest.raises(StartError, match="missing"):
        run(["true"], cwd=tmp_path / "missing")


@pytest.mark.parametrize("argv", ["echo hello", "true"])
def test_a_command_line_as_one_text_is_refused_with_a_hint(argv):
    with pytest.raises(UsageError) as caught:
        run(argv)
    assert "sh" in caught.value.hint


@pytest.mark.parametrize("argv", [[], ["a\0b"], [""]])
def test_what_is_no_command_is_a_wrong_use(argv):
    with pytest.raises(UsageError):
        run(argv)


def test_a_mechanism_that_is_not_there_runs_nothing(workspace):
    async def attempt():
        async with CommandRunner(rungs=("landlock",)) as runner:
            await runner.run(["touch", "made"], sandbox=Sandbox.workspace_write())

    with pytest.raises(octavo.SandboxUnavailable) as caught:
        asyncio.run(attempt())
    assert "landlock" in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 5
    assert not (workspace / "made").exists()


def test_limits_and_full_access_exclude_each_other():
    with pytest.raises(octavo.SandboxUnavailable, match="limits"):
        run(["true"], sandbox=Sandbox.danger_full_access(), limits=Limits(cpu_s=1))


def test_an_argument_larger_than_the_kernel_takes_is_said():
    with pytest.raises(StartError) as caught:
        run(["true", "x" * 300_000])
    assert "too long" in str(caught.value).lower()


def test_a_large_environment_reaches_the_command():
    env = {f"NAME_{n}": "x" * 1000 for n in range(500)} | {"PATH": os.environ["PATH"]}
    assert run(["sh", "-c", "env | wc -c"], env=env).output.text.strip() > "500000"


# limits ------------------------------------------------------------------------------------------


def test_the_wall_clock_ends_a_command():
    began = time.monotonic()
    done = octavo.run_command(["sleep", "30"], timeout=0.2)
    assert done.limit == "wall"
    assert done.exit_code == 128 + signal.SIGTERM
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_the_wall_clock_ends_a_command_that_does_not_listen():
    done = octavo.run_command(["sh", "-c", "trap '' TERM; while :; do :; done"], timeout=0.2)
    assert (done.limit, done.signal) == ("wall", signal.SIGKILL)


def test_too_much_output_ends_a_command():
    done = run(["yes"], limits=Limits(output_bytes=10_000))
    assert done.limit == "output"


@pytest.mark.slow
def test_processor_time_ends_a_command():
    done = run(["sh", "-c", "while :; do :; done"], limits=Limits(cpu_s=1))
    assert (done.limit, done.signal) == ("cpu", signal.SIGXCPU)


def test_a_file_that_grows_too_large_ends_a_command():
    done = run(["dd", "if=/dev/zero", "of=big", "bs=1M", "count=4"],
               limits=Limits(file_bytes=1_000_000), sandbox=Sandbox.workspace_write())  # fmt: skip
    assert (done.limit, done.signal) == ("file-size", signal.SIGXFSZ)


def test_memory_and_open_files_are_held():
    body = "try:\n    bytearray(10**9)\nexcept MemoryError:\n    print('memory')"
    limits = Limits(memory_bytes=200_000_000)
    assert run([sys.executable, "-I", "-S", "-c", body], limits=limits).output.text == "memory\n"
    assert run(["sh", "-c", "ulimit -n"], limits=Limits(open_files=17)).output.text == "17\n"


# many, at once, interrupted ----------------------------------------------------------------------


async def test_works_from_inside_a_running_loop():
    assert octavo.run_command(["echo", "inside"], timeout=DEADLINE_S).output.text == "inside\n"


async def test_the_asynchronous_form_is_the_same():
    done = await octavo.run_command_async(["echo", "hello"], timeout=DEADLINE_S)
    assert (done.exit_code, done.output.text) == (0, "hello\n")


def test_two_threads_may_each_run_commands():
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(run(["echo", str(n)]).output.text))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(found) == ["0\n", "1\n", "2\n"]


async def test_many_commands_one_after_the_other():
    async with CommandRunner() as runner:
        outputs = [
            (await runner.run(["echo", str(n)], watch_denials=False)).output.text for n in range(20)
        ]
    assert outputs == [f"{n}\n" for n in range(20)]


async def test_twenty_commands_at_once_keep_their_outputs_apart():
    async with CommandRunner() as runner, asyncio.TaskGroup() as group:
        script = "echo $0; read line; echo $line"
        tasks = [
            group.create_task(runner.run(["sh", "-c", script, f"n{n}"], input=f"line {n}\n"))
            for n in range(20)
        ]
    assert [task.result().output.text for task in tasks] == [f"n{n}\nline {n}\n" for n in range(20)]


async def test_commands_under_different_policies_run_side_by_side(tmp_path, workspace):
    async with CommandRunner() as runner, asyncio.TaskGroup() as group:
        sandboxes = [
            Sandbox.read_only(),
            Sandbox.workspace_write(),
            Sandbox.workspace_write(network=True),
        ]
        tasks = [
            group.create_task(runner.run(["touch", f"made{n}"], sandbox=sandbox))
            for n, sandbox in enumerate(sandboxes)
        ]
    assert [task.result().ok for task in tasks] == [False, True, True]


async def test_a_changed_folder_is_seen_by_the_next_command(workspace):
    (workspace / "keep").mkdir()
    profile = PermissionProfile.from_mapping(
        {"filesystem": {":root": "read", ":cwd": "write", "./keep": "read"}}
    )
    sandbox = Sandbox.from_profile(profile)
    async with CommandRunner() as runner:
        assert not (await runner.run(["touch", "keep/x"], sandbox=sandbox)).ok
        (workspace / "keep").rmdir()
        (workspace / "keep").mkdir()
        done = await runner.run(["touch", "keep/x"], sandbox=sandbox)
    assert not done.ok
    assert list((workspace / "keep").iterdir()) == []


async def test_an_answer_does_not_wait_for_anything_but_the_command():
    async with CommandRunner() as runner:
        await runner.run(["true"])
        began = time.monotonic()
        for _ in range(20):
            await runner.run(["true"])
    assert time.monotonic() - began < 1.9


def test_a_background_child_does_not_delay_the_answer_without_a_sandbox():
    began = time.monotonic()
    run(["sh", "-c", "sleep 3 >/dev/null 2>&1 & echo done"], sandbox=Sandbox.danger_full_access())
    assert time.monotonic() - began < 1.5


def test_a_background_child_ends_with_its_command():
    marker = f"31.{os.getpid()}1"
    done = run(["sh", "-c", f"sleep {marker} & echo started"])
    assert done.output.text == "started\n"
    assert processes_named(marker) == []


async def test_cancelling_ends_the_command_and_all_it_started():
    marker = f"32.{os.getpid()}1"
    async with CommandRunner() as runner:
        heard = asyncio.Event()
        task = asyncio.ensure_future(
            runner.run(["sh", "-c", f"sleep {marker} & echo up; sleep {marker}"],
                       on_output=lambda *_: heard.set())
        )  # fmt: skip
        async with asyncio.timeout(DEADLINE_S):
            await heard.wait()
        assert processes_named(marker)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not processes_named(marker))
        again = await runner.run(["echo", "still works"])
        assert again.output.text == "still works\n"


@pytest.mark.parametrize("turns", range(0, 40, 4))
async def test_cancelling_at_any_moment_leaves_nothing(turns):
    marker = f"33.{os.getpid()}{turns}"
    before = descriptors()
    async with CommandRunner() as runner:
        task = asyncio.ensure_future(runner.run(["sleep", marker]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    after = descriptors()
    gc.collect()  # what was lost is found here and not in some later test
    await eventually(lambda: not processes_named(marker))
    assert after <= before


async def test_leaving_the_block_ends_what_still_runs():
    marker = f"34.{os.getpid()}1"
    runner = CommandRunner()
    heard = asyncio.Event()
    task = asyncio.ensure_future(
        runner.run(["sh", "-c", f"echo up; sleep {marker}"], on_output=lambda *_: heard.set())
    )
    async with asyncio.timeout(DEADLINE_S):
        await heard.wait()
        runner.close()
        done = await task
    assert done.signal == signal.SIGKILL
    await eventually(lambda: not processes_named(marker))


def test_nothing_is_left_behind(workspace, octavo_home):
    run(["true"])
    before = (
        descriptors(),
        children(),
        threading.active_count(),
        Path("/proc/self/mountinfo").read_text(),
    )
    for sandbox in (
        Sandbox.read_only(),
        Sandbox.workspace_write(),
        Sandbox.workspace_write(network=True),
    ):
        run(["sh", "-c", "true"], sandbox=sandbox)
    after = (
        descriptors(),
        children(),
        threading.active_count(),
        Path("/proc/self/mountinfo").read_text(),
    )
    assert after == before
    assert list(workspace.iterdir()) == []
    journal = octavo_home / "state/mountpoints"
    assert [path.name for path in journal.iterdir() if path.name != "lock"] == []


ABANDONED = """
import asyncio, os, octavo, sys
async def main():
    async with octavo.CommandRunner() as runner:
        def dead(*_): os.kill(os.getpid(), 9)
        await runner.run(["sh", "-c", "sleep " + sys.argv[1] + " & echo up; wait"], on_output=dead,
                         sandbox=octavo.Sandbox.workspace_write())
asyncio.run(main())
"""


async def test_when_the_program_is_killed_its_commands_die_and_the_next_cleans_up(workspace):
    marker = f"35.{os.getpid()}1"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ABANDONED, marker)
    assert await process.wait() == -9
    await eventually(lambda: not processes_named(marker))
    assert (workspace / ".codex").is_dir()
    await octavo.run_command_async(["true"], sandbox=Sandbox.workspace_write())
    assert list(workspace.iterdir()) == []


@pytest.mark.slow
def test_a_parent_that_ignores_signals_does_not_pass_that_on():
    code = (
        "import signal, octavo; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "print(octavo.run_command(['sh', '-c', 'kill -INT $$; echo alive']).exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.stdout == "130\n", done.stderr
