"""Each promise of `run`, with real commands."""

import asyncio
import fcntl
import os
import signal
import sys
import time
import tracemalloc

import pytest

from octavo.process.pipes import start
from octavo.process.pump import Pump
from octavo.process.run import run
from octavo.process.spec import MIB, ExitStatus, OutputCaps, Pipes, Terminal
from octavo.protocol.errors import UsageError

FOREVER = "while :; do sleep 10; done"
BUSY = "while :; do sleep 0.01; done"  # a shell runs its traps between commands
DAEMON = """
import os, sys, time
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    if "quiet" in sys.argv:
        os.closerange(0, 3)
    time.sleep(100)
os.wait()
time.sleep(100)
"""


async def test_both_outputs_and_the_code_come_back(room):
    done = await run(await start(room.sh("echo out; echo err >&2; exit 3")))
    assert done.stderr is not None
    assert (done.stdout.text(), done.stderr.text()) == ("out\n", "err\n")
    assert done.status == ExitStatus(code=3)
    assert [done.timed_out, done.output_limit_reached, done.left_open] == [False] * 3


async def test_merged_outputs_keep_the_order_of_writing(room):
    script = "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done"
    done = await run(await start(room.sh(script, stdio=Pipes(merge_stderr=True))))
    assert done.stdout.text().split() == [f"{k}{i}" for i in range(1, 6) for k in "oe"]
    assert done.stderr is None


async def test_without_a_pipe_for_it_standard_input_is_empty(room):
    done = await run(await start(room.sh("cat; echo over")))
    assert done.stdout.text() == "over\n"


async def test_an_open_input_without_content_is_closed(room):
    done = await run(await start(room.sh("cat; echo over", stdio=Pipes(stdin=True))))
    assert done.stdout.text() == "over\n"


async def test_input_without_a_place_to_put_it_is_refused(room):
    with pytest.raises(UsageError):
        await run(await start(room.sh("cat")), stdin=b"x")


async def test_a_large_input_goes_through_a_command_that_echoes_it(room):
    data = os.urandom(3 * MIB)
    caps = OutputCaps(head_bytes=4 * MIB)
    done = await run(await start(room.sh("cat", stdio=Pipes(stdin=True))), stdin=data, caps=caps)
    assert done.stdout.head == data


async def test_a_command_that_never_reads_its_input_does_not_block(room):
    spec = room.sh("echo hello", stdio=Pipes(stdin=True))
    done = await run(await start(spec), stdin=b"x" * (4 * MIB))
    assert (done.stdout.text(), done.status.code) == ("hello\n", 0)


async def test_a_command_that_sleeps_on_its_input_is_ended_by_the_deadline(room):
    spec = room.sh("exec sleep 100", stdio=Pipes(stdin=True))
    done = await run(await start(spec), stdin=b"x" * MIB, timeout_s=0.05)
    assert done.timed_out


async def test_a_huge_output_keeps_its_two_ends(room):
    script = "import sys; sys.stdout.write('A' * 100 + 'x' * 5_000_000 + 'Z' * 100)"
    caps = OutputCaps(head_bytes=100, tail_bytes=100)
    done = await run(await start(room.python(script)), caps=caps)
    assert (done.stdout.head, done.stdout.tail) == (b"A" * 100, b"Z" * 100)
    assert done.stdout.omitted_bytes == 5_000_000


async def test_an_endless_output_costs_bounded_memory(room):
    tracemalloc.start()
    try:
        done = await run(
            await start(room.sh("exec yes")),
            timeout_s=0.15,
            caps=OutputCaps(head_bytes=10_000, tail_bytes=10_000),
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.stdout.total_bytes > 10 * peak
    assert peak < MIB


async def test_more_output_than_allowed_ends_the_command(room):
    done = await run(await start(room.sh("exec yes")), caps=OutputCaps(limit_bytes=100_000))
    assert done.output_limit_reached
    assert done.stdout.total_bytes == 100_000
    assert done.status == ExitStatus(signal=signal.SIGKILL)


async def test_exactly_as_much_output_as_allowed_is_fine(room):
    done = await run(await start(room.sh("printf 12345")), caps=OutputCaps(limit_bytes=5))
    assert (done.output_limit_reached, done.status.code) == (False, 0)


async def test_a_background_child_that_holds_the_pipe_does_not_delay_the_answer(room):
    began = time.monotonic()
    done = await run(await start(room.sh("sleep 100 & echo $!")))
    assert time.monotonic() - began < 1
    assert done.status == ExitStatus(code=0)
    assert done.left_open
    os.kill(int(done.stdout.text()), signal.SIGKILL)


async def test_a_background_child_that_writes_for_ever_does_not_delay_it_either(room):
    done = await run(await start(room.sh("yes & exit 4")))
    assert done.status == ExitStatus(code=4)
    # It meets a closed pipe and ends by itself: the fixture waits for that.


@pytest.mark.linux
async def test_all_a_command_wrote_before_its_exit_is_read(room):
    if sys.platform != "linux":
        pytest.skip("makes the pipe larger")
    script = "import os; os.read(0, 1); os.write(1, b'x' * 1_000_000)"
    child = await start(room.python(script, stdio=Pipes(stdin=True)))
    assert child.stdin_fd is not None
    assert child.stdout_fd is not None
    fcntl.fcntl(child.stdout_fd, fcntl.F_SETPIPE_SZ, MIB)
    os.write(child.stdin_fd, b"\n")
    # The loop stands still until everything has been written and the command has ended.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
    done = await run(child, drain_s=0)
    assert done.stdout.total_bytes == 1_000_000


async def test_a_deadline_ends_the_whole_tree(room):
    done = await run(await start(room.sh("sleep 100 & sleep 100; echo no")), timeout_s=0.05)
    assert done.timed_out
    assert done.status == ExitStatus(signal=signal.SIGTERM)
    assert done.stdout.text() == ""


async def test_a_command_is_asked_first_and_may_say_its_last_words(room):
    child = await start(room.sh(f"trap 'echo bye; exit 0' TERM; echo ready; {BUSY}"))
    await room.ready(child)
    done = await run(child, timeout_s=0.01, grace_s=5)
    assert done.stdout.text().endswith("bye\n")
    assert (done.timed_out, done.status) == (True, ExitStatus(code=0))


async def test_the_grace_is_for_the_whole_tree_not_only_for_its_leader(room, tmp_path):
    proof = tmp_path / "cleaned"
    inner = f"trap 'sleep 0.03; touch {proof}; exit' TERM; echo ready; {BUSY}"
    child = await start(room.sh('sh -c "$1" & wait', inner))
    await room.ready(child)
    done = await run(child, timeout_s=0.01, grace_s=5)
    assert done.status == ExitStatus(signal=signal.SIGTERM)
    assert proof.exists()


async def test_who_ignores_the_request_is_killed(room):
    child = await start(room.sh(f"trap '' TERM; sh -c '{FOREVER}' & echo ready; {FOREVER}"))
    await room.ready(child)
    done = await run(child, timeout_s=0.01, grace_s=0.03)
    assert done.status == ExitStatus(signal=signal.SIGKILL)


async def test_a_stopped_command_ends_too(room):
    done = await run(await start(room.sh("kill -STOP $$")), timeout_s=0.05, grace_s=0.05)
    assert done.timed_out


@pytest.mark.linux
@pytest.mark.parametrize("how", ["loud", "quiet"])
async def test_daemons_that_left_the_session_end_with_the_tree(room, how):
    child = await start(room.python(DAEMON, how))
    both = 2
    await room.eventually(lambda: len(room.alive()) == both)
    done = await run(child, timeout_s=0.02, grace_s=0.02)
    assert done.timed_out
    assert room.alive() == []


@pytest.mark.linux
async def test_cancelling_ends_daemons_too(room):
    child = await start(room.python(DAEMON, "quiet"))
    both = 2
    await room.eventually(lambda: len(room.alive()) == both)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run(child, grace_s=0.02)
    assert room.alive() == []


async def test_pieces_are_heard_while_the_command_runs_and_letters_may_be_split(room):
    heard: list[bytes] = []
    child = await start(room.sh(r"printf '\303'; read x; printf '\251'", stdio=Pipes(stdin=True)))
    assert child.stdin_fd is not None
    fd = child.stdin_fd
    pump = Pump(child, caps=OutputCaps(), on_output=lambda _stream, data: heard.append(data))
    await room.eventually(lambda: heard == [b"\xc3"])
    os.write(fd, b"\n")
    await child.wait()
    await pump.drain(1)
    assert heard == [b"\xc3", b"\xa9"]
    assert pump.take(final=True).text() == "é"
    pump.close()
    child.close()


async def test_an_error_in_the_listener_ends_the_command_and_comes_out(room):
    def fail(_stream, _data) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(await start(room.sh(f"echo x; {FOREVER}")), on_output=fail)


async def cancelled(work, *, after: int | asyncio.Event, again_after: int | None = None) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        if isinstance(after, asyncio.Event):
            await after.wait()
        else:
            await turn(after)
        task.cancel()
        if again_after is not None:
            await turn(again_after)
            task.cancel()
        await task


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize("stdio", [Pipes(stdin=True), Terminal()])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20])
async def test_cancelling_at_any_turn_of_the_loop_leaves_nothing(room, stdio, turns):
    async def whole() -> None:
        child = await start(room.sh(f"trap '' TERM; sleep 100 & {FOREVER}", stdio=stdio))
        await run(child, stdin=b"x" * 200_000, timeout_s=20, grace_s=0.01)

    with pytest.raises(asyncio.CancelledError):
        await cancelled(whole(), after=turns)
    # The fixture checks processes and descriptors.


async def test_a_cancelled_command_is_asked_first_too(room, tmp_path):
    proof = tmp_path / "cleaned"
    child = await start(room.sh(f"trap 'touch {proof}; exit' TERM; echo ready; {BUSY}"))
    await room.ready(child)
    with pytest.raises(asyncio.CancelledError):
        await cancelled(run(child, grace_s=5), after=1)
    assert proof.exists()


async def test_cancelling_twice_skips_the_grace(room):
    heard = asyncio.Event()
    child = await start(room.sh(f"trap '' TERM; echo x; {FOREVER}"))
    began = time.monotonic()
    running = run(child, grace_s=60, on_output=lambda _stream, _data: heard.set())
    with pytest.raises(asyncio.CancelledError):
        await cancelled(running, after=heard, again_after=2)
    assert time.monotonic() - began < 5


async def test_cancelling_during_the_grace_of_a_deadline_leaves_nothing(room):
    child = await start(room.sh(f"trap '' TERM; echo ready; {FOREVER}"))
    await room.ready(child)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await run(child, timeout_s=0.01, grace_s=60)


async def test_the_duration_is_that_of_the_command(room):
    child = await start(room.sh("read x; sleep 0.05", stdio=Pipes(stdin=True)))
    began = time.monotonic()
    done = await run(child, stdin=b"\n")
    assert 50 <= done.duration_ms <= (time.monotonic() - began) * 1000 + 1


async def test_a_terminal_is_fed_and_told_about_the_end(room):
    done = await run(await start(room.sh("stty -echo; cat", stdio=Terminal())), stdin=b"one\ntwo")
    assert done.stdout.text().replace("\r", "").endswith("one\ntwo")
    assert done.stderr is None


async def test_a_large_output_of_a_terminal_is_complete_and_ends(room):
    script = "import sys; sys.stdout.write('x' * 300_000)"
    done = await run(await start(room.python(script, stdio=Terminal())), timeout_s=10)
    assert (done.stdout.total_bytes, done.status.code, done.left_open) == (300_000, 0, False)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_a_child_ended_from_elsewhere_is_reported(room):
    child = await start(room.sh("exec sleep 100"))
    os.kill(child.pid, signal.SIGKILL)
    assert (await run(child)).status.shell_code == 137
