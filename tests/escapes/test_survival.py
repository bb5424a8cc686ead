"""Nothing outlives its sandbox: not by detaching, not when the outer process is killed."""

import asyncio
import os
import secrets
import signal
import subprocess

import pytest

import octavo
from escapes.doors import OCTAVO, PYTHON, cli, sandbox_for

# detaches twice, ignores every signal it can, and says so with its own command line
DAEMON = """
import os, signal, sys
def daemon():
    between = os.fork()
    if between:
        os.waitpid(between, 0)  # by then the daemon is there
        return
    os.setsid()
    if os.fork(): os._exit(0)
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True: signal.pause()
for _ in range(3): daemon()
print("up", flush=True)
if sys.argv[2] == "stay":
    while True: signal.pause()
"""
HYDRA = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
end = time.monotonic() + 15
while time.monotonic() < end:
    if os.fork(): os._exit(0)
"""
RUNGS = ("native", "native-root", "bubblewrap", "landlock")


def alive(mark):
    """Processes with the mark in their command line, as the host sees them."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read()
                with open(f"/proc/{name}/stat") as file:
                    state = file.read().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in line and state not in "ZX":
                found.append(int(name))
    return found


def gone(mark, within_s=5.0):
    """Have they all ended? Waits on a descriptor of each, so that nobody sleeps."""
    import select

    for pid in alive(mark):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([fd], [], [], within_s)
        os.close(fd)
    left = alive(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return not left


@pytest.fixture
def mark():
    return "octavo-mark-" + secrets.token_hex(8)


@pytest.fixture(params=RUNGS)
def rung(request):
    from escapes.doors import missing

    if reason := missing(request.param):
        pytest.skip(reason)
    return request.param


def test_it_would_stay_without_a_sandbox(mark):
    subprocess.run([PYTHON, "-I", "-c", DAEMON, mark, "go"], stdout=subprocess.DEVNULL)
    assert len(alive(mark)) == 3
    assert not gone(mark, 0)


def test_nothing_is_left_when_the_command_has_ended(box, mark, rung):
    ran = cli(box, "--rung", rung, "--", PYTHON, "-I", "-c", DAEMON, mark, "go")
    assert ran.code == 0, ran.output
    assert gone(mark)


def test_one_that_forks_all_the_time_is_caught(box, mark, rung):
    cli(box, "--rung", rung, "--", PYTHON, "-I", "-c", HYDRA, mark)
    assert gone(mark)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_when_the_outer_process_is_ended(box, mark, rung, number):
    with subprocess.Popen(
        [OCTAVO, "sandbox", "--rung", rung, "--", PYTHON, "-I", "-c", DAEMON, mark, "stay"],
        env=box.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=box.workspace,
    ) as outer:  # fmt: skip
        line, there = outer.stdout.readline(), alive(mark)
        outer.send_signal(number)
        try:
            outer.wait(10)
        finally:
            outer.kill()
    assert gone(mark)
    assert line == b"up\n"
    assert there


@pytest.mark.slow
def test_nothing_is_left_whenever_the_outer_process_is_killed(box, mark):
    """At any moment of the start: the timer walks through it."""
    import select

    for step in range(60):
        outer = subprocess.Popen(
            [OCTAVO, "sandbox", "--", PYTHON, "-I", "-c", DAEMON, mark, "stay"],
            env=box.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=box.workspace,
        )  # fmt: skip
        select.select([], [], [], step * 0.001)
        outer.kill()
        outer.wait(10)
    assert gone(mark)


@pytest.mark.parametrize("rung", ["native", "landlock"])
@pytest.mark.parametrize("how", ["ends", "deadline", "close", "cancel"])
def test_nothing_is_left_of_a_command_of_a_session(box, mark, rung, how):
    async def session():
        started = asyncio.Event()
        sandbox = sandbox_for("read-only", rung)
        async with octavo.CommandRunner(environ=box.env, rungs=(rung,)) as runner:
            await runner.run(["true"], sandbox=sandbox, cwd=box.workspace)
            stay = "go" if how == "ends" else "stay"
            work = runner.run(
                [PYTHON, "-I", "-c", DAEMON, mark, stay], sandbox=sandbox, cwd=box.workspace,
                timeout=1 if how == "deadline" else None, on_output=lambda *_: started.set(),
            )  # fmt: skip
            async with asyncio.TaskGroup() as group:
                task = group.create_task(work, name="work")
                await asyncio.wait_for(started.wait(), 10)
                if how == "cancel":
                    task.cancel()
                elif how == "close":
                    runner.close()
            if how != "close":
                assert gone(mark)
        assert gone(mark)

    asyncio.run(session())


def test_nothing_is_left_when_the_application_is_killed(box, mark):
    program = f"""
import asyncio, octavo, sys
async def main():
    async with octavo.CommandRunner(rungs=("native",)) as runner:
        s = octavo.Sandbox.read_only()
        await runner.run(["true"], sandbox=s)
        await runner.run([{PYTHON!r}, "-I", "-c", {DAEMON!r}, {mark!r}, "stay"], sandbox=s,
                         on_output=lambda _, data: print("up", flush=True))
asyncio.run(main())
"""
    import sys

    with subprocess.Popen(
        [sys.executable, "-c", program], env=box.env, stdout=subprocess.PIPE, cwd=box.workspace
    ) as outer:
        line = outer.stdout.readline()
        helpers = children(outer.pid)
        outer.kill()
    assert gone(mark)
    assert line == b"up\n"
    assert helpers
    for pid in helpers:
        assert not running(pid)


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(word) for word in file.read().split()]
    return found


def running(pid):
    import select

    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    ended = select.select([fd], [], [], 5)[0]
    os.close(fd)
    return not ended
