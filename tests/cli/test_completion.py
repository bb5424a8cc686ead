"""`octavo completion SHELL`: a script the shell accepts, and answers to what it asks."""

import shutil
import subprocess

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(octavo, shell):
    done = octavo("completion", shell)
    assert done.returncode == 0
    assert "_OCTAVO_COMPLETE" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run(
            [shell, "-n"], input=done.stdout, text=True, capture_output=True, timeout=20
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("args", [[], ["nonsense"], ["powershell"]])
def test_another_shell_is_wrong_use(octavo, args):
    done = octavo("completion", *args)
    assert done.returncode == 2
    assert "bash" in done.stderr


def asked(octavo, words):
    env = {
        "_OCTAVO_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = octavo(env=env)
    return [line.split(",")[1] for line in done.stdout.splitlines()]


def test_commands_are_completed(octavo):
    from octavo.cli.main import COMMANDS

    assert asked(octavo, "octavo ") == list(COMMANDS)
    assert asked(octavo, "octavo do") == ["doctor"]


def test_options_are_completed(octavo):
    assert "--json" in asked(octavo, "octavo doctor --")
