"""Commands that outlive a call: polled, written to, evicted, ended with their table."""

import asyncio
import os
import signal
import time
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.process.pipes import start
from octavo.process.spec import ExitStatus, OutputCaps, Pipes, Terminal
from octavo.process.table import (
    FIRST_ID,
    LAST_ID,
    ProcessId,
    ProcessTable,
    Standing,
    TableLimits,
    UnknownProcessError,
    choose_victim,
    random_ids,
    yield_ms,
)
from octavo.protocol.errors import LimitReached, UsageError

LONG_S = 5.0
FOREVER = "while :; do sleep 10; done"
AWAIT_INTERRUPT = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
print("caught", flush=True)
os.execvp("sh", ["sh", "-c", "read x; echo got $x; cat"])
"""
QUICK = TableLimits(settle_s=0.0, grace_s=0.05)


@pytest.fixture
def opened(room):
    """Starts a script in a table."""

    def add(table: ProcessTable, script: str, *, stdio=Pipes(), **more):  # noqa: B008
        return table.start(lambda: start(room.sh(script, stdio=stdio)), **more)

    return add


async def read_until(table: ProcessTable, process_id: ProcessId, word: str) -> str:
    text = ""
    async with asyncio.timeout(LONG_S):
        while word not in text:
            text += (await table.poll(process_id, yield_s=0.005)).output.text()
    return text


async def test_a_short_command_is_reported_once_and_forgotten(opened):
    async with ProcessTable() as table:
        process_id = await opened(table, "echo hello; exit 3")
        polled = await table.poll(process_id, yield_s=LONG_S)
        assert (polled.output.text(), polled.status) == ("hello\n", ExitStatus(code=3))
        assert process_id not in table
        with pytest.raises(UnknownProcessError, match=str(process_id)):
            await table.poll(process_id, yield_s=0)


async def test_a_poll_returns_at_its_deadline_with_what_has_arrived(opened):
    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, f"echo first; {FOREVER}")
        assert await read_until(table, process_id, "\n") == "first\n"
        polled = await table.poll(process_id, yield_s=0.01)
        assert (polled.output.text(), polled.status) == ("", None)
        assert polled.waited_ms >= 10


async def test_each_poll_gives_only_what_is_new(opened):
    async with ProcessTable(limits=QUICK) as table:
        script = "echo one; read x; echo two; read x"
        process_id = await opened(table, script, stdio=Pipes(stdin=True))
        assert await read_until(table, process_id, "one") == "one\n"
        await table.write(process_id, b"\n")
        assert await read_until(table, process_id, "two") == "two\n"


async def test_both_outputs_come_as_one(opened):
    async with ProcessTable() as table:
        process_id = await opened(table, "echo out; echo err >&2")
        polled = await table.wait(process_id)
        assert sorted(polled.output.text().split()) == ["err", "out"]


async def test_a_letter_is_never_split_between_two_polls(opened):
    async with ProcessTable(limits=QUICK) as table:
        script = r"printf 'a\303'; read x; printf '\251'"
        process_id = await opened(table, script, stdio=Pipes(stdin=True))
        assert await read_until(table, process_id, "a") == "a"
        await table.write(process_id, b"\n")
        assert (await table.wait(process_id)).output.text() == "é"


async def test_a_background_child_does_not_delay_the_end(opened):
    async with ProcessTable() as table:
        process_id = await opened(table, "sleep 100 & echo $!")
        polled = await table.poll(process_id, yield_s=LONG_S)
        assert polled.status == ExitStatus(code=0)
        assert polled.waited_ms < 1000
        os.kill(int(polled.output.text()), signal.SIGKILL)


async def test_between_polls_memory_is_bounded_and_both_ends_are_kept(opened):
    async with ProcessTable() as table:
        caps = OutputCaps(head_bytes=4, tail_bytes=4)
        process_id = await opened(table, "printf begin; seq 1 20000; printf 'end\n'", caps=caps)
        polled = await table.wait(process_id)
        assert (polled.output.head, polled.output.tail) == (b"begi", b"end\n")


async def test_writing_without_an_input_is_refused_except_for_an_interrupt(opened):
    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, "echo ready; exec sleep 100")
        await read_until(table, process_id, "ready")
        with pytest.raises(UsageError) as caught:
            await table.write(process_id, b"hello\n")
        assert "terminal" in (caught.value.hint or "")
        await table.write(process_id, b"\x03")
        assert (await table.wait(process_id)).status == ExitStatus(signal=signal.SIGINT)


async def test_a_terminal_takes_control_c_text_and_control_d(room):
    async with ProcessTable(limits=QUICK) as table:
        spec = room.python(AWAIT_INTERRUPT, stdio=Terminal())
        process_id = await table.start(lambda: start(spec))
        await read_until(table, process_id, "ready")
        await table.write(process_id, b"\x03")
        await read_until(table, process_id, "caught")
        await table.write(process_id, b"word\n")
        await read_until(table, process_id, "got word")
        await table.write(process_id, b"\x04")
        assert (await table.wait(process_id)).status == ExitStatus(code=0)


async def test_the_end_of_input_reaches_a_pipe(opened):
    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, "cat; echo over", stdio=Pipes(stdin=True))
        await table.write(process_id, b"text ")
        table.end_input(process_id)
        assert (await table.wait(process_id)).output.text() == "text over\n"


async def test_a_terminal_changes_its_size(opened):
    async with ProcessTable(limits=QUICK) as table:
        script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.01; done"
        process_id = await opened(table, script, stdio=Terminal(rows=10, cols=20))
        await read_until(table, process_id, "10 20")
        table.resize(process_id, rows=33, cols=44)
        await read_until(table, process_id, "33 44")


async def test_input_nobody_reads_is_refused_when_it_piles_up(opened):
    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, "exec sleep 100", stdio=Pipes(stdin=True))
        await table.write(process_id, b"x" * 1_000_000)
        with pytest.raises(LimitReached):
            await table.write(process_id, b"x" * 1_000_000)


async def test_terminate_ends_the_tree_and_gives_the_last_words(opened):
    async with ProcessTable(limits=TableLimits(grace_s=5)) as table:
        script = "trap 'echo bye; exit 1' TERM; echo ready; while :; do sleep 0.01; done"
        process_id = await opened(table, script)
        await read_until(table, process_id, "ready")
        polled = await table.terminate(process_id)
        assert polled.output.text().endswith("bye\n")
        assert polled.status == ExitStatus(code=1)
        assert len(table) == 0


async def test_leaving_the_table_ends_everything_side_by_side(opened):
    began = time.monotonic()
    async with ProcessTable(limits=TableLimits(grace_s=0.1)) as table:
        for _ in range(5):
            await opened(table, f"trap '' TERM; sleep 100 & {FOREVER}")
    assert time.monotonic() - began < LONG_S
    assert len(table) == 0


async def test_an_error_inside_the_block_ends_everything_too(opened):
    async def failing() -> None:
        async with ProcessTable(limits=QUICK) as table:
            await opened(table, FOREVER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()


async def test_cancelling_the_block_ends_everything_too(opened):
    async def hurried() -> None:
        async with asyncio.timeout(0.05), ProcessTable(limits=QUICK) as table:
            process_id = await opened(table, f"trap '' TERM; {FOREVER}")
            await table.wait(process_id)

    with pytest.raises(TimeoutError):
        await hurried()


async def test_cancelling_a_poll_leaves_the_command_running(opened):
    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, "echo x; read y; echo $y", stdio=Pipes(stdin=True))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await table.wait(process_id)
        await table.write(process_id, b"z\n")
        assert (await table.wait(process_id)).output.text() == "x\nz\n"


async def test_an_exited_command_is_evicted_before_a_running_one(room, opened):
    limits = TableLimits(processes=3, spared=1, grace_s=0.05)
    async with ProcessTable(limits=limits, ids=count(1)) as table:
        running = await opened(table, FOREVER)
        await opened(table, "exit 0")
        third = await opened(table, FOREVER)
        await room.eventually(lambda: [one.process_id for one in table.standings() if one.exited])
        fourth = await opened(table, FOREVER)
        assert table.ids() == [running, third, fourth]


async def test_the_longest_unused_is_evicted_with_its_children(room, opened):
    limits = TableLimits(processes=2, spared=0, grace_s=0.05)
    async with ProcessTable(limits=limits) as table:
        first = await opened(table, f"sleep 100 & {FOREVER}")
        second = await opened(table, FOREVER)
        await table.poll(first, yield_s=0)
        third = await opened(table, FOREVER)
        assert table.ids() == [first, third]
        assert second not in table


async def test_what_somebody_waits_for_is_never_evicted(opened):
    async with ProcessTable(limits=TableLimits(processes=1, spared=0, grace_s=0.05)) as table:
        process_id = await opened(table, FOREVER)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(table.wait(process_id))
            await asyncio.sleep(0)
            with pytest.raises(LimitReached):
                await opened(table, FOREVER)
            waiting.cancel()
        assert process_id in table


async def test_a_command_that_cannot_start_takes_no_place(opened):
    async def fail():
        raise UsageError("no")

    async with ProcessTable(limits=TableLimits(processes=1)) as table:
        for _ in range(3):
            with pytest.raises(UsageError):
                await table.start(fail)
        assert len(table) == 0
        await table.wait(await opened(table, "true"))


async def test_output_is_heard_live_and_an_error_of_the_listener_comes_out_of_the_poll(opened):
    heard = []

    def hear(_stream, data) -> None:
        heard.append(data)
        raise ZeroDivisionError

    async with ProcessTable(limits=QUICK) as table:
        process_id = await opened(table, f"echo x; {FOREVER}", on_output=hear)
        with pytest.raises(ZeroDivisionError):
            await table.wait(process_id)
        assert heard == [b"x\n"]
        assert len(table) == 0


async def test_everything_about_an_unknown_number_says_so():
    async with ProcessTable() as table:
        nobody = ProcessId(5)
        for call in (
            table.poll(nobody, yield_s=0),
            table.wait(nobody),
            table.write(nobody, b"x"),
            table.terminate(nobody),
        ):
            with pytest.raises(UnknownProcessError):
                await call
        with pytest.raises(UnknownProcessError):
            table.resize(nobody, rows=1, cols=1)


@pytest.mark.parametrize(
    ("asked", "wanted", "granted"),
    [
        ("start", None, 10_000),
        ("start", 1, 250),
        ("start", 60_000, 30_000),
        ("write", None, 250),
        ("write", 1_000, 1_000),
        ("poll", None, 5_000),
        ("poll", 0, 5_000),
        ("poll", 999_999, 300_000),
    ],
)
def test_a_wait_is_kept_within_its_bounds(asked, wanted, granted):
    assert yield_ms(asked, wanted) == granted


def test_numbers_have_four_or_five_digits():
    ids = random_ids()
    assert all(FIRST_ID <= next(ids) <= LAST_ID for _ in range(100))


standings = st.lists(
    st.builds(
        Standing,
        process_id=st.integers(min_value=1),
        used=st.integers(),
        exited=st.booleans(),
        pinned=st.booleans(),
    ),
    unique_by=(lambda one: one.process_id, lambda one: one.used),
)


@given(standings, st.integers(min_value=0, max_value=10))
def test_the_victim_is_the_right_one(many, spared):
    victim = choose_victim(many, spared=spared)
    by_age = sorted(many, key=lambda one: one.used)
    old = by_age[: max(0, len(many) - spared)]
    free = [one for one in by_age if not one.pinned]
    if not free:
        assert victim is None
        return
    chosen = next(one for one in many if one.process_id == victim)
    assert not chosen.pinned
    rivals = [one for one in old if not one.pinned] or free
    assert chosen in rivals
    assert chosen.exited or not any(one.exited for one in rivals)
    assert all(chosen.used <= one.used for one in rivals if one.exited == chosen.exited)


async def test_a_command_that_starts_while_the_table_closes_is_ended(room):
    table = ProcessTable()

    async def slow():
        child = await start(room.sh(FOREVER))
        await table.close()
        return child

    async with table:
        with pytest.raises(UsageError):
            await table.start(slow)


async def test_two_starts_at_once_never_share_a_number(opened):
    async with (
        ProcessTable(limits=QUICK, ids=iter([7, 7, 7, 8])) as table,
        asyncio.TaskGroup() as group,
    ):
        both = [group.create_task(opened(table, FOREVER)) for _ in range(2)]
    assert sorted(task.result() for task in both) == [7, 8]
