"""What the tests start on Windows: small programs of Python, with an environment that can run them."""

import os
import sys
from collections.abc import Sequence

from octavo.process import argv_windows as argv

CMD = "C:\\windows\\system32\\cmd.exe"


def env(**more: str) -> dict[str, str]:
    """The least a program needs, and `more`."""
    names = ("SYSTEMROOT", "PATH", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "WINEDEBUG")
    return {name: os.environ[name] for name in names if name in os.environ} | more


def python(code: str, *words: str) -> tuple[str, ...]:
    """Run this with the Python that runs the tests."""
    return (sys.executable, "-I", "-S", "-c", code, *words)


def command(words: Sequence[str], cwd: str, variables: dict[str, str] | None = None):
    """As `spawn_windows.start` takes it."""
    from octavo.process.spawn_windows import Command

    given = env() if variables is None else variables
    application, line = argv.resolved(words, cwd, given, is_file=os.path.isfile, comspec=CMD)
    return Command(
        application=application,
        line=line,
        block=argv.block(given),
        cwd=cwd,
        name=words[0],
    )
