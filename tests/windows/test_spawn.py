"""Starting, feeding, reading, ending: real processes of Windows."""

import asyncio
import ctypes
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import CMD, command, env, python

    from octavo.process import pipes_windows, spawn_windows
    from octavo.process.child import end, within
    from octavo.process.run import run
    from octavo.process.spec import OutputCaps, Pipes
    from octavo.process.table import ProcessTable
    from octavo.protocol.errors import UsageError

S = 30.0


def ran(words, cwd, *, stdio=None, variables=None, **more):
    async def once():
        child = await pipes_windows.start(command(words, str(cwd), variables), stdio or Pipes())
        return await run(child, timeout_s=more.pop("timeout_s", S), **more)

    return asyncio.run(once())


def handles() -> int:
    count = ctypes.c_uint32()
    ctypes.windll.kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(count))
    return count.value


def test_both_outputs_are_kept_apart_and_the_code_is_the_commands_own(tmp_path):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    done = ran(python(code), tmp_path)
    assert done.stdout.text() == "out\r\n"
    assert done.stderr.text() == "err\r\n"
    assert done.status.code == 7
    assert not done.left_open


def test_merged_outputs_come_in_the_order_in_which_they_were_written(tmp_path):
    code = "import os\nfor i in range(50): os.write(1 + i % 2, b'%d;' % i)"
    done = ran(python(code), tmp_path, stdio=Pipes(merge_stderr=True))
    assert done.stdout.text() == "".join(f"{i};" for i in range(50))
    assert done.stderr is None


def test_three_megabytes_pass_both_ways_unchanged(tmp_path):
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    data = bytes(range(256)) * 4096 * 3
    caps = OutputCaps(head_bytes=4 << 20, tail_bytes=0)
    done = ran(python(code), tmp_path, stdio=Pipes(stdin=True), stdin=data, caps=caps)
    assert done.stdout.head == data
    assert done.status.ok


def test_without_input_a_command_reads_the_end_at_once(tmp_path):
    done = ran(python("import sys; print(repr(sys.stdin.read()))"), tmp_path)
    assert done.stdout.text() == "''\r\n"


def test_a_command_that_does_not_read_its_input_is_no_error(tmp_path):
    done = ran(python("print(1)"), tmp_path, stdio=Pipes(stdin=True), stdin=b"x" * 300_000)
    assert done.status.ok


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (255, 255), (0xC0000005, -1073741819)])
def test_exit_codes_are_signed_numbers_of_32_bits(tmp_path, code, seen):
    done = ran(python(f"import ctypes; ctypes.windll.kernel32.ExitProcess({code})"), tmp_path)
    assert done.status.code == seen


def test_arguments_variables_and_folder_arrive_as_they_were_given(tmp_path):
    words = ("", "a b", 'q"uote', "back\\", "\\\\x\\ y\\", "ü€𝄞", "%PATH%", "&|<>^")
    code = "import os, sys; print(ascii(sys.argv[1:])); print(os.getcwd()); print(os.environ['W'])"
    done = ran(python(code, *words), tmp_path, variables=env(W="wert"))
    argv, folder, value = done.stdout.text().splitlines()
    assert argv == ascii(list(words))
    assert folder.lower() == str(tmp_path).lower()
    assert value == "wert"


def test_a_batch_file_gets_its_arguments(tmp_path):
    (tmp_path / "tool.bat").write_bytes(b"@echo off\r\necho [%~1] [%~2]\r\nexit /b 3\r\n")
    done = ran((str(tmp_path / "tool.bat"), "a b", "c"), tmp_path)
    assert done.stdout.text().strip() == "[a b] [c]"
    assert done.status.code == 3


def test_a_missing_program_and_a_missing_folder_are_told_apart(tmp_path):
    good = command((CMD, "/c", "exit"), str(tmp_path))
    for change, code in (({"application": "Z:\\nothing.exe"}, 2), ({"cwd": "Z:\\nothing"}, 267)):
        given = {name: getattr(good, name) for name in good.__slots__} | change
        with pytest.raises(pipes_windows.WindowsStartError) as caught:
            asyncio.run(pipes_windows.start(spawn_windows.Command(**given), Pipes()))
        assert caught.value.code == code
        assert str(code) in str(caught.value)


def runs(pid: int) -> bool:
    """Is there a process of that number that has not ended?"""
    handle = ctypes.windll.kernel32.OpenProcess(0x100000, False, pid)
    if not handle:
        return False
    ended = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0
    ctypes.windll.kernel32.CloseHandle(handle)
    return not ended


def test_a_deadline_ends_the_command_and_all_it_started(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print(inner.pid, flush=True); time.sleep(60)"
    )
    done = ran(python(code), tmp_path, timeout_s=3.0)
    assert done.timed_out
    assert not runs(int(done.stdout.text()))


def test_nothing_gets_out_of_a_commands_job(tmp_path):
    code = (
        "import subprocess, sys\n"
        "try: subprocess.Popen([sys.executable, '-I', '-S', '-c', 'input()'], creationflags=0x1000000)\n"
        "except OSError as error: print(error.winerror)\n"
        "else: print('it got out')"
    )
    assert ran(python(code), tmp_path).stdout.text() == "5\r\n"


def test_what_a_command_leaves_behind_lives_on(tmp_path):
    mark = tmp_path / "mark"
    inner = f"import time; time.sleep(1); open({str(mark)!r}, 'w').write('x')"
    code = (
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-I', '-S', '-c', {inner!r}])"
    )

    async def once():
        child = await pipes_windows.start(command(python(code), str(tmp_path)), Pipes())
        done = await run(child, timeout_s=S)
        for _ in range(200):
            if mark.exists():
                break
            await asyncio.sleep(0.05)
        return done

    done = asyncio.run(once())
    assert done.status.ok
    assert mark.exists()


def test_too_much_output_ends_a_command(tmp_path):
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    done = ran(python(code), tmp_path, caps=OutputCaps(limit_bytes=200_000))
    assert done.output_limit_reached
    assert done.stdout.total_bytes == 200_000


def test_a_table_writes_polls_and_ends_commands(tmp_path):
    async def once():
        async with ProcessTable() as table:
            given = command(
                python("for line in open(0): print('got', line, end='', flush=True)"), str(tmp_path)
            )
            number = await table.start(lambda: pipes_windows.start(given, Pipes(stdin=True)))
            await table.write(number, b"one\r\n")
            heard = await table.poll(number, yield_s=2)
            table.end_input(number)
            last = await table.wait(number)
            return heard.output.text() + last.output.text(), last.status

    text, status = asyncio.run(once())
    assert text == "got one\r\n"
    assert status.ok


def test_a_command_without_a_terminal_has_no_size(tmp_path):
    async def once():
        child = await pipes_windows.start(
            command(python("input()"), str(tmp_path)), Pipes(stdin=True)
        )
        try:
            with pytest.raises(UsageError, match="no terminal"):
                child.resize(24, 80)
            assert await end(child)
            assert await within(1, child.gone())
        finally:
            child.close()

    asyncio.run(once())


def test_many_commands_leave_no_handles_behind(tmp_path):
    async def once():
        for _ in range(3):
            child = await pipes_windows.start(
                command((CMD, "/c", "echo x"), str(tmp_path)), Pipes(stdin=True)
            )
            await run(child, stdin=b"y")
        before = handles()
        for _ in range(10):
            child = await pipes_windows.start(
                command((CMD, "/c", "echo x"), str(tmp_path)), Pipes(stdin=True)
            )
            await run(child, stdin=b"y")
        return handles() - before

    assert asyncio.run(once()) <= 2
