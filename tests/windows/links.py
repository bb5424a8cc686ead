"""Links to folders. Wine makes none by itself, but follows those of the system below it."""

import atexit
import contextlib
import os
import subprocess

import pytest


def link(target: str, path: str) -> None:
    """Make one; it is gone when the tests have ended."""
    with contextlib.suppress(OSError):
        os.symlink(target, path, target_is_directory=True)
    if not os.path.lexists(path):
        if not os.path.exists("Z:\\bin\\ln"):
            pytest.skip("no links can be made here")
        unix("/bin/ln", "-s", below(target), below(path))
        # Wine could not remove it, and pytest complains of folders it cannot empty
        atexit.register(unix, "/bin/rm", below(path))
    if not os.path.exists(path):
        pytest.skip("no links can be made here")


def unix(*words: str) -> None:
    """Run a program of the system below Wine."""
    start = ["cmd", "/c", "start", "/wait", "/unix", *words]
    subprocess.run(start, check=True, timeout=30, stdin=subprocess.DEVNULL)


def below(path: str) -> str:
    """A path as the system below Wine has it."""
    plain = path.replace("\\", "/")
    if plain[:2].upper() == "Z:":
        return plain[2:]
    return f"{os.environ.get('WINEPREFIX', '')}/drive_c{plain[2:]}"
