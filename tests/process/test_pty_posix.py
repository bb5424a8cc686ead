"""Terminals: size, control, end, and nothing left open."""

import asyncio
import os
import termios

import pytest

from octavo.process import pty_posix
from octavo.process.pipes import start
from octavo.process.run import run
from octavo.process.spec import ExitStatus, Terminal

AWAIT_INTERRUPT = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
signal.sigwait([signal.SIGINT])
print("caught", flush=True)
raise SystemExit(5)
"""


async def said(spec) -> str:
    done = await run(await start(spec), timeout_s=5)
    assert done.status == ExitStatus(code=0), done
    return done.stdout.text().replace("\r\n", "\n")


async def test_the_command_sees_the_size_it_was_given(room):
    assert await said(room.sh("stty size", stdio=Terminal(rows=42, cols=123))) == "42 123\n"


async def test_all_three_descriptors_are_the_controlling_terminal(room):
    script = "test -t 0 && test -t 1 && test -t 2 && echo x >/dev/tty && ps -o tpgid= -p $$"
    text = await said(room.sh(script, stdio=Terminal()))
    assert text.startswith("x\n")
    assert int(text.split()[1]) > 1


async def test_control_c_interrupts_the_foreground(room):
    child = await start(room.python(AWAIT_INTERRUPT, stdio=Terminal()))
    await room.ready(child)
    done = await run(child, stdin=b"\x03", timeout_s=5)
    assert "caught" in done.stdout.text()
    assert done.status == ExitStatus(code=5)


async def test_hanging_up_ends_the_session(room):
    child = await start(room.sh("sleep 100 & cat", stdio=Terminal()))
    assert child.terminal_fd is not None
    child.close()
    async with asyncio.timeout(5):
        await child.wait()


async def test_closing_gives_both_sides_back():
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(20):
        ours, theirs = pty_posix.open_terminal(3, 4)
        assert os.get_terminal_size(theirs) == os.terminal_size((4, 3))
        assert not os.get_inheritable(ours)
        assert not os.get_inheritable(theirs)
        assert termios.tcgetattr(theirs)[0] & pty_posix.IUTF8
        os.close(ours)
        os.close(theirs)
    assert sorted(os.listdir("/dev/fd")) == before


async def test_a_size_for_a_terminal_that_is_gone_is_no_error():
    ours, theirs = pty_posix.open_terminal(3, 4)
    os.close(theirs)
    pty_posix.set_size(ours, 5, 6)
    os.close(ours)


@pytest.mark.slow
async def test_fifty_terminals_in_a_row_leak_nothing(room):
    for _ in range(50):
        await said(room.sh("true", stdio=Terminal()))
