"""Ending whole trees, with every way out of one that a process has."""

import asyncio
import os
import sys

import pytest

from octavo.process.child import Child, end
from octavo.process.pipes import start
from octavo.process.run import run
from octavo.process.spec import Pipes, ProcessSpec, Terminal

if sys.platform != "linux":
    pytest.skip("finds processes in /proc", allow_module_level=True)

SLEEP = "trap '' TERM HUP INT; while :; do sleep 10; done"
# name: (script, processes alive when it is complete at the least)
TREES = {
    "alone": (SLEEP, 2),
    "background child": (f"sleep 100 & {SLEEP}", 3),
    "deep": (f"sh -c \"sh -c 'sleep 100; :'; :\" & {SLEEP}", 5),
    "own session": (f"setsid sleep 100 & {SLEEP}", 3),
    "orphan in its own session": (f"(setsid sleep 100 &) ; {SLEEP}", 3),
    "orphan of a dead leader": (
        "trap '' HUP; (setsid sleep 100 >/dev/null 2>&1 </dev/null &); exit 0",
        1,
    ),
    "deaf orphan": (f'(setsid sh -c "$1" </dev/null >/dev/null 2>&1 &); {SLEEP}', 4),
    "stopped": ("sleep 100 & kill -STOP $! ; kill -STOP $$", 2),
    "daemon with children": (f"(setsid sh -c 'sleep 100 & sleep 100; :' &); {SLEEP}", 5),
}


async def complete(room, spec: ProcessSpec, count: int) -> Child:
    child = await start(spec)
    await room.eventually(lambda: len(room.alive()) >= count)
    return child


@pytest.mark.parametrize("stdio", [Pipes(), Terminal()], ids=["pipes", "terminal"])
@pytest.mark.parametrize("name", TREES)
async def test_a_kill_ends_everything(room, name, stdio):
    script, count = TREES[name]
    child = await complete(room, room.sh(script, SLEEP, stdio=stdio), count)
    child.kill()
    async with asyncio.timeout(5):
        await child.gone()
    assert room.alive() == []
    child.close()


@pytest.mark.parametrize("name", TREES)
async def test_a_polite_end_ends_everything_too(room, name):
    script, count = TREES[name]
    child = await complete(room, room.sh(script, SLEEP), count)
    assert await end(child, grace_s=0.03)
    assert room.alive() == []
    child.close()


async def test_who_obeys_is_gone_before_the_grace_is_over(room):
    child = await complete(room, room.sh("sleep 100 & setsid sleep 100 & wait"), 3)
    async with asyncio.timeout(5):
        assert await end(child, grace_s=60)
    child.close()


async def test_strangers_stay_alive(room):
    child = await complete(room, room.sh("exec sleep 100"), 1)
    stranger = await complete(room, room.sh("exec sleep 100"), 2)
    assert await end(child, grace_s=0)
    assert room.alive() == [stranger.pid]
    child.close()
    child.kill()
    assert room.alive() == [stranger.pid]
    stranger.close()


async def test_a_family_that_keeps_forking_is_ended(room):
    # it ends by itself, so that a failing test does not leave it to the machine for good
    script = (
        "import os, time\nend = time.monotonic() + 15\n"
        "while time.monotonic() < end:\n    if not os.fork(): os.setsid()\n    else: os._exit(0)\n"
    )
    child = await start(room.python(script))
    await child.wait()
    for _ in range(10):  # who lives for less than a look takes can be missed; asking again finds it
        assert await end(child, grace_s=0)
        if not room.alive():
            break
    assert room.alive() == []
    child.close()


async def test_after_a_normal_end_background_children_live_on(room):
    child = await start(room.sh("sleep 100 >/dev/null 2>&1 </dev/null & exit 0"))
    await child.wait()
    child.close()
    [survivor] = room.alive()
    os.kill(survivor, 9)


SUBREAPER = """
import asyncio, ctypes, os
from octavo.process.child import end
from octavo.process.pipes import start
from octavo.process.spec import ProcessSpec

async def main():
    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
    env = {"PATH": os.environ["PATH"]}
    script = "(setsid sh -c 'echo ready; sleep 100' &); sleep 100"
    child = await start(ProcessSpec(argv=("sh", "-c", script), env=env))
    os.set_blocking(child.stdout_fd, True)
    os.read(child.stdout_fd, 10)
    assert await end(child, grace_s=0)
    child.close()
    print(open(f"/proc/self/task/{os.getpid()}/children").read().split())

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_host_that_inherits_orphans_collects_them(room):
    # A process of its own: being a subreaper would change the host of the other tests.
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    spec = ProcessSpec(argv=(sys.executable, "-c", SUBREAPER), env=env)
    done = await run(await start(spec), timeout_s=20)
    assert (done.stdout.text(), done.status.code) == ("[]\n", 0), done
