"""The clock jumps in order, and the engine cannot tell the difference."""

import asyncio

import pytest

from octavo.testing.clock import CountedIds, JumpingClock


async def test_a_long_wait_takes_no_time_and_has_passed():
    clock = JumpingClock()
    async with asyncio.timeout(5):
        await clock.sleep(3600)
    assert clock.monotonic() == 3600
    assert clock.now_ms() == JumpingClock().now_ms() + 3_600_000


async def test_sleepers_wake_in_the_order_they_are_due():
    clock, woken = JumpingClock(), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for seconds in (30, 10, 20):
            group.create_task(sleeper(seconds))
    assert woken == [(10, 10), (20, 20), (30, 30)]


async def test_a_sleeper_that_is_cancelled_holds_nobody_up():
    clock = JumpingClock()
    async with asyncio.TaskGroup() as group:
        doomed = group.create_task(clock.sleep(1))
        await asyncio.sleep(0)
        doomed.cancel()
        await clock.sleep(5)
    assert clock.monotonic() == 5


def test_names_are_the_same_in_every_run_and_sort():
    one, two = CountedIds(), CountedIds()
    names = [one.uuid() for _ in range(300)]
    assert names == [two.uuid() for _ in range(300)]
    assert names == sorted(set(names))


async def test_retries_of_the_engine_wait_on_it(tmp_path):
    from octavo import Engine, Sandbox
    from octavo.testing import ScriptedModel

    clock = JumpingClock()
    model = ScriptedModel()
    for _ in range(4):
        model.fails("disconnected", "cut")
    model.says("There.")
    (tmp_path / "home").mkdir()
    async with Engine.open(
        model=model, home=tmp_path / "home", clock=clock, ids=CountedIds()
    ) as engine:
        thread = await engine.start_thread(cwd=tmp_path, sandbox=Sandbox.read_only())
        assert (await thread.run("go")).final_message == "There."
    assert clock.slept == [pytest.approx(s) for s in (0.2, 0.4, 0.8, 1.6)]
