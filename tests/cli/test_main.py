"""The front of the program: version, help, wrong commands, a pipe that breaks."""

import subprocess

import pytest

from octavo import __version__
from octavo.cli.main import COMMANDS
from octavo.cli.words import one_line


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_one_line(octavo, option):
    done = octavo(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"octavo {__version__}\n", "")


def test_the_long_way_says_the_same_version(octavo):
    assert octavo("--version", "ignored").stdout == f"octavo {__version__}\n"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_and_the_exit_codes(octavo, option):
    done = octavo(option)
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name}" in done.stdout
    for word in ("2 wrong use", "3 wrong settings", "4 forbidden", "5 no sandbox", "7 a limit"):
        assert word in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(octavo, name):
    done = octavo(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: octavo {name}")


def test_an_unknown_command_is_wrong_use(octavo):
    done = octavo("nonsense")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "octavo: No such command 'nonsense'."


def test_without_a_command_there_is_help_and_wrong_use(octavo):
    done = octavo()
    assert done.returncode == 2
    assert r"\n" not in done.stdout + done.stderr
    assert "Usage: octavo" in done.stdout + done.stderr


def test_python_can_run_the_package(octavo):
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "octavo", "--version"], capture_output=True, text=True, timeout=20,
        env=octavo.environ(), cwd=octavo.cwd,
    )  # fmt: skip
    assert done.stdout == f"octavo {__version__}\n", done.stderr


@pytest.mark.parametrize(("text", "shown"), [
    ("plain ü", "plain ü"), ("two\nlines", r"two\nlines"), ("\x1b[31m", r"\x1b[31m"), ("\udcff", r"\udcff"),
])  # fmt: skip
def test_a_message_is_one_line_whatever_a_path_contains(text, shown):
    assert one_line(text) == shown
