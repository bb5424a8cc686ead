"""Terminals: real pseudo-consoles. Programs reach them by CONIN$ and CONOUT$, as Wine needs it."""

import asyncio
import ctypes
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import CMD, command

    from octavo.process import pipes_windows
    from octavo.process.child import end
    from octavo.process.pty_windows import PseudoConsole, Typed
    from octavo.process.run import run
    from octavo.process.spec import Terminal
    from octavo.process.table import ProcessTable
    from octavo.protocol.errors import UsageError

S = 30.0


def on_screen(line: str, cwd: object):
    """A command whose three handles are the console's."""
    return command((CMD, "/c", f"{line} <CONIN$ >CONOUT$ 2>&1"), str(cwd))


def handles() -> int:
    count = ctypes.c_uint32()
    ctypes.windll.kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


async def shown(line, cwd):
    child = await pipes_windows.start(on_screen(line, cwd), Terminal(rows=24, cols=80))
    return await run(child, timeout_s=S)


def test_a_command_prints_on_its_screen_and_the_screen_ends_with_it(tmp_path):
    done = asyncio.run(shown("echo hello there", tmp_path))
    assert "hello there" in done.stdout.text()
    assert done.status.code == 0
    assert not done.timed_out
    assert not done.left_open
    assert done.stderr is None


def test_a_command_reads_what_is_typed(tmp_path):
    script = tmp_path / "ask.py"
    script.write_text("print('got:' + input() + ':' + input() + ':')")

    async def once():
        async with ProcessTable() as table:
            number = await table.start(
                lambda: pipes_windows.start(
                    on_screen(f'"{sys.executable}" -I -S "{script}"', tmp_path), Terminal()
                )
            )
            await table.write(number, b"one\ntw")
            await table.write(number, b"o\n")
            last = await table.wait(number)
            return last.output.text(), last.status

    text, status = asyncio.run(once())
    before, _, after = text.partition("got:one:")  # Wine shows the second character as typed too
    assert "one" in before
    assert "two:" in after
    assert status.ok


def test_eleven_sessions_in_a_row_leave_no_handles_behind(tmp_path):
    async def once():
        await shown("echo warm", tmp_path)
        before = handles()
        for turn in range(11):
            done = await shown(f"echo turn {turn}", tmp_path)
            assert f"turn {turn}" in done.stdout.text()
        return handles() - before

    assert asyncio.run(once()) <= 3


def test_a_screen_that_is_never_read_does_not_hold_up_the_end(tmp_path):
    async def once():
        child = await pipes_windows.start(
            on_screen("for /l %i in (1,1,5000) do @echo line %i", tmp_path), Terminal()
        )
        try:
            return await end(child)
        finally:
            child.close()

    assert asyncio.run(once())


def test_sizes_are_taken_at_any_time_and_bad_ones_are_refused(tmp_path):
    async def once():
        child = await pipes_windows.start(on_screen("pause", tmp_path), Terminal())
        try:
            child.resize(50, 120)
            with pytest.raises(UsageError, match="terminal cannot have"):
                child.resize(0, 120)
        finally:
            child.close()

    asyncio.run(once())


def test_a_console_can_be_closed_twice_and_resized_after():
    console = PseudoConsole(24, 80)
    console.close()
    console.resize(30, 90)
    console.close()


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ((b"a\nb",), b"a\r\nb"),
        ((b"a\r\nb",), b"a\r\nb"),
        ((b"a\r", b"\nb"), b"a\r\nb"),
        ((b"\n", b"\n"), b"\r\n\r\n"),
        ((b"\r", b"\r\n"), b"\r\r\n"),
        ((b"",), b""),
    ],
)
def test_a_new_line_is_typed_as_two_characters_wherever_the_pieces_are_cut(pieces, written):
    typed = Typed()
    assert b"".join(map(typed.feed, pieces)) == written
