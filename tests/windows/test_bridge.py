"""`octavo sandbox` as a program between two others: what goes in, what comes out, how it ends."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import python

S = 60.0


class Bridge:
    """The program, started. Its outputs are files, and so is what comes in unless it is typed:
    Wine starts programs of its own, and some get our handles, so the end of a pipe may not come."""

    def __init__(self, folder, words, *, wall_s=0.0, given=None, **more):
        work, home = folder / "work", folder / "home"
        work.mkdir()
        home.mkdir()
        self.out, self.errors, typed = folder / "out", folder / "errors", folder / "in"
        typed.write_bytes(given or b"")
        program = Path(__file__).with_name("bridged.py")
        with (
            typed.open("rb") as stdin,
            self.out.open("wb") as out,
            self.errors.open("wb") as errors,
        ):
            self.process = subprocess.Popen(
                [sys.executable, str(program), str(work), str(home), str(wall_s), *words],
                stdin=subprocess.PIPE if given is None else stdin,
                stdout=out,
                stderr=errors,
                **more,
            )

    def end(self):
        """Its exit code."""
        code = self.process.wait(S)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code

    def type(self, data, answer):
        """Type; wait until the file of the output has the answer."""
        self.process.stdin.write(data)
        self.process.stdin.flush()
        look = threading.Event()
        for _ in range(round(S / 0.05)):
            if answer in self.out.read_bytes():
                return
            look.wait(0.05)
        raise AssertionError(self.out.read_bytes() + self.errors.read_bytes())


def test_streams_pass_through_and_the_code_is_the_commands(tmp_path):
    code = (
        "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); "
        "sys.stderr.write('err'); sys.exit(9)"
    )
    data = bytes(range(256)) * 1024
    program = Bridge(tmp_path, python(code), given=data)
    assert program.end() == 9
    assert program.out.read_bytes() == data[::-1]
    assert program.errors.read_bytes().endswith(b"err")


def test_output_comes_at_once_while_input_stays_open(tmp_path):
    code = "for line in open(0): print('got', line, end='', flush=True)"
    program = Bridge(tmp_path, python(code))
    program.type(b"one\r\n", b"got one\r\n")
    program.type(b"two\r\n", b"got two\r\n")
    program.process.stdin.close()
    assert program.end() == 0


def test_a_command_that_ends_does_not_wait_for_our_input(tmp_path):
    program = Bridge(tmp_path, python("print('done')"))
    assert program.end() == 0
    assert program.out.read_bytes() == b"done\r\n"


def test_the_time_limit_is_told(tmp_path):
    program = Bridge(tmp_path, python("import time; time.sleep(60)"), wall_s=2.0, given=b"")
    assert program.end() == 124
    assert b"limit on wall" in program.errors.read_bytes()


def test_a_missing_program_is_told(tmp_path):
    program = Bridge(tmp_path, ("no-such-program",), given=b"")
    assert program.end() != 0
    assert b"no-such-program" in program.errors.read_bytes()


def test_an_interrupt_ends_the_command_and_its_code_comes_back(tmp_path):
    code = "import time; print('up', flush=True); time.sleep(60)"
    # A terminal's Ctrl-C cannot be sent from here: the program raises the signal when told to.
    program = Bridge(tmp_path, python(code), env=os.environ | {"INTERRUPT_S": "4"})
    assert program.end() == 1
    assert program.out.read_bytes() == b"up\r\n"
