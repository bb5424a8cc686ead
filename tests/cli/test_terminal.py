"""A person at a terminal: size, keys, stopping and going on, modes put back; with a real one."""

import os
import select
import signal
import subprocess
import sys
import termios
import time

import pytest

if sys.platform != "linux":
    pytest.skip("the relay under test is Linux's", allow_module_level=True)

import fcntl
import pty
import struct

pytestmark = pytest.mark.linux

PATIENCE_S = 15


class Person:
    """Types into a terminal on which the program runs, and reads what it shows."""

    def __init__(self, octavo, *args, rows=30, cols=100, shell=None):
        self.master, slave = pty.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(slave)
        self.screen = b""
        argv = [octavo.program, "sandbox", *args] if shell is None else shell
        self.running = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, cwd=octavo.cwd,
            env=octavo.environ(TERM="dumb", PS1="$ ", HOME=str(octavo.home)),
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )  # fmt: skip
        self.slave = slave

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.running.kill()
        self.running.wait(PATIENCE_S)
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def keys(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            self.screen += os.read(self.master, 65536)
        except OSError:  # everybody else has closed the terminal
            return False
        return True

    def until(self, word):
        """What was shown before the word; the rest stays to be read."""
        end = time.monotonic() + PATIENCE_S
        while word.encode() not in self.screen:
            if time.monotonic() > end or not self.read(max(0.0, end - time.monotonic())):
                pytest.fail(f"{word!r} never came; shown last: {self.screen[-200:]!r}")
        found, _, self.screen = self.screen.partition(word.encode())
        return found.decode(errors="replace")

    def end(self):
        """(exit code, everything shown until then). A person keeps looking until it is over."""
        end = time.monotonic() + PATIENCE_S
        while self.running.poll() is None:
            self.read(0.02)
            if time.monotonic() > end:
                pytest.fail(f"it never ended; shown last: {self.screen[-200:]!r}")
        while self.read(0):
            pass
        return self.running.returncode, self.screen.decode(errors="replace")

    @property
    def modes(self):
        return termios.tcgetattr(self.slave)


WAYS = pytest.mark.parametrize("way", [[], ["--log-denials"], ["-s", "workspace-write"]])


@WAYS
def test_the_command_sees_the_size_of_the_terminal(octavo, way):
    with Person(octavo, *way, "--", "stty", "size", rows=33, cols=77) as person:
        code, shown = person.end()
    assert code == 0
    assert "33 77" in shown


def test_the_command_has_a_terminal_of_its_own(octavo):
    script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo x > /dev/tty && echo tty"
    with Person(octavo, "--", "sh", "-c", script) as person:
        code, shown = person.end()
    assert code == 0
    assert "/dev/pts/" in shown
    assert "all" in shown
    assert "tty" in shown.rpartition("all")[2]


def test_a_new_size_reaches_the_command(octavo):
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
    with Person(octavo, "--", "bash", "-c", script) as person:
        person.until("ready")
        person.resize(11, 44)
        os.kill(person.running.pid, signal.SIGWINCH)
        person.until("11 44")
        assert person.end()[0] == 0


def test_keys_reach_the_command_as_lines_and_are_echoed_once(octavo):
    with Person(octavo, "--", "sh", "-c", "echo ready; read line; echo got:$line") as person:
        person.until("ready")
        person.keys("hello\n")
        code, shown = person.end()
    assert code == 0
    assert "got:hello" in shown
    assert shown.count("hello") == 2


def test_end_of_file_from_the_keyboard_ends_the_input(octavo):
    with Person(octavo, "--", "sh", "-c", "echo ready; cat; echo end") as person:
        person.until("ready")
        person.keys("\x04")
        code, shown = person.end()
    assert code == 0
    assert "end" in shown


@WAYS
def test_control_c_reaches_the_command(octavo, way):
    with Person(octavo, *way, "--", "sh", "-c", "echo ready; exec sleep 30") as person:
        person.until("ready")
        person.keys("\x03")
        code, _ = person.end()
        assert code == 130
        assert person.modes == person.before


def test_a_command_may_handle_control_c_itself(octavo):
    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.01; done"
    with Person(octavo, "--", "sh", "-c", script) as person:
        person.until("ready")
        person.keys("\x03")
        code, shown = person.end()
    assert code == 5
    assert "caught" in shown


def test_control_backslash_is_a_quit(octavo):
    with Person(octavo, "--", "sh", "-c", "echo ready; exec sleep 30") as person:
        person.until("ready")
        person.keys("\x1c")
        assert person.end()[0] == 128 + signal.SIGQUIT


@WAYS
@pytest.mark.parametrize("script", ["exit 3", "stty raw -echo; exit 3", "kill -9 $$"])
def test_the_modes_of_the_terminal_are_put_back(octavo, way, script):
    with Person(octavo, *way, "--", "sh", "-c", script) as person:
        code, _ = person.end()
        assert code == (137 if "kill" in script else 3)
        assert person.modes == person.before


def test_the_modes_are_put_back_when_the_sandbox_itself_is_killed_from_outside(octavo):
    with Person(octavo, "--", "sh", "-c", "echo ready; exec sleep 30") as person:
        person.until("ready")
        with open(f"/proc/{person.running.pid}/task/{person.running.pid}/children") as file:
            inner = int(file.read().split()[0])
        os.kill(inner, signal.SIGKILL)
        code, _ = person.end()
        assert code == 137
        assert person.modes == person.before


def test_all_output_of_a_command_that_ends_at_once_is_shown(octavo):
    with Person(octavo, "--", "seq", "20000") as person:
        person.until("20000")
        assert person.end()[0] == 0


def test_the_end_of_the_output_is_shown_like_its_beginning(octavo):
    for _ in range(3):
        with Person(octavo, "--", "seq", "20000") as person:
            assert "\r\r" not in person.end()[1]


NOT_ON_INPUT = "defect: the foreground is set on descriptor 0, terminal or not: exit 126"


def test_without_a_terminal_for_input_the_output_still_is_one(octavo):
    script = "test -t 1 && echo terminal; cat; test -t 0 || echo not"
    line = f"{octavo.program} sandbox -- sh -c '{script}' </dev/null"
    with Person(octavo, shell=["sh", "-c", line]) as person:
        code, shown = person.end()
    assert code == 0
    assert "terminal" in shown
    assert "not" in shown


def test_input_from_a_pipe_and_output_to_a_terminal(octavo):
    shell = [
        "sh",
        "-c",
        f"echo piped | {octavo.program} sandbox -- sh -c 'cat; test -t 1 && echo terminal'",
    ]
    with Person(octavo, shell=shell) as person:
        code, shown = person.end()
    assert code == 0
    assert "piped" in shown
    assert "terminal" in shown


# under a shell with job control ------------------------------------------------------------------


@pytest.fixture
def shell(octavo):
    argv = ["bash", "--norc", "--noprofile", "-i"]
    with Person(octavo, shell=argv) as person:
        person.until("$ ")
        yield person


@pytest.mark.slow
def test_control_z_stops_and_fg_goes_on(octavo, shell):
    shell.keys(f"{octavo.program} sandbox -- sh -c 'echo re''ady; read line; echo got:$line'\n")
    shell.until("ready")
    shell.keys("\x1a")
    shell.until("Stopped")
    shell.until("$ ")
    shell.keys("echo in''between; jobs\n")
    shell.until("inbetween")
    shell.until("Stopped")
    shell.keys("fg\n")
    shell.until("sandbox")
    shell.keys("again\n")
    shell.until("got:again")
    shell.until("$ ")
    shell.keys("echo co''de $?\n")
    shell.until("code 0")


@pytest.mark.slow
def test_a_stopped_job_can_be_killed(octavo, shell):
    shell.keys(f"{octavo.program} sandbox -- sh -c 'echo re''ady; exec sleep 42.{os.getpid()}'\n")
    shell.until("ready")
    shell.keys("\x1a")
    shell.until("Stopped")
    shell.keys("kill -9 %1; wait; echo go''ne\n")
    shell.until("gone")
    end = time.monotonic() + PATIENCE_S
    while (
        subprocess.run(
            ["pgrep", "-f", f"sleep 42.{os.getpid()}"], stdout=subprocess.DEVNULL
        ).returncode
        == 0
    ):
        assert time.monotonic() < end
        select.select([], [], [], 0.01)


@pytest.mark.slow
def test_a_job_in_the_background_runs_without_touching_the_terminal(octavo, shell):
    shell.keys(f"{octavo.program} sandbox -- sh -c 'echo wo''rk' & wait; echo af''ter\n")
    shell.until("work")
    shell.until("after")
    shell.keys("stty -a | grep -c ' echo '\n")
    shell.until("1\r\n")


@pytest.mark.slow
def test_after_control_c_the_shell_is_as_before(octavo, shell):
    shell.keys(f"{octavo.program} sandbox -- sh -c 'echo re''ady; exec sleep 30'\n")
    shell.until("ready")
    shell.keys("\x03")
    shell.until("$ ")
    shell.keys("echo co''de $?\n")
    shell.until("code 130")
