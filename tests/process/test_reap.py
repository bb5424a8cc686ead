"""Both ways to learn of an exit, held to the same tests."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from octavo.process import reap
from octavo.process.spec import ExitStatus


def by_thread(pid: int) -> reap.ExitWatch:
    return reap.ThreadWatch(pid)


@pytest.fixture(params=[reap.watch, by_thread], ids=["best", "thread"])
def watched(request, room):
    made = []

    def watch(script: str) -> tuple[int, reap.ExitWatch]:
        process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        process.returncode = 0
        made.append(request.param(process.pid))
        return process.pid, made[-1]

    return watch


async def ending(watch: reap.ExitWatch) -> ExitStatus:
    async with asyncio.timeout(5):
        return await watch.wait()


async def test_a_code_and_a_signal_are_told_apart(watched):
    for script, status in (
        ("exit 0", ExitStatus(code=0)),
        ("exit 255", ExitStatus(code=255)),
        ("kill -9 $$", ExitStatus(signal=9)),
    ):
        _, watch = watched(script)
        assert await ending(watch) == status
        assert watch.status == status
        watch.close()


async def test_several_may_wait(watched):
    _, watch = watched("exit 4")
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(ending(watch)) for _ in range(5)]
    assert {task.result() for task in waiting} == {ExitStatus(code=4)}
    watch.close()


@pytest.mark.linux
async def test_the_number_stays_taken_until_close(watched):
    if sys.platform != "linux":
        pytest.skip("elsewhere waiting and collecting are one step")
    pid, watch = watched("exit 0")
    await ending(watch)
    assert not watch.reaped
    os.kill(pid, 0)
    watch.close()
    assert watch.reaped
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_status_taken_by_somebody_else_is_unknown_not_success(watched):
    pid, watch = watched("exit 0")
    if isinstance(watch, reap.ThreadWatch):
        watch.close()
    else:
        os.waitpid(pid, 0)  # noqa: ASYNC222  # the subject: a host that collects everything
    status = await ending(watch)
    watch.close()
    assert status in (ExitStatus(), ExitStatus(code=0))
    if not isinstance(watch, reap.ThreadWatch):
        assert status == reap.LOST


async def test_a_killed_child_is_collected_by_close(watched):
    pid, watch = watched("exec sleep 100")
    assert watch.status is None
    os.kill(pid, signal.SIGKILL)
    watch.close()
    assert await ending(watch) in (ExitStatus(signal=9), ExitStatus())
