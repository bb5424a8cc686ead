"""Start a plain, unconfined child on Windows; see `octavo.process.pipes`, its other half."""

import os
import sys
from collections.abc import Mapping
from typing import Final

import win32api

from octavo.process import argv_windows
from octavo.process.spec import ProcessSpec

assert sys.platform == "win32"

from octavo.process import pipes_windows
from octavo.process.pipes_windows import WindowsChild, WindowsStartError
from octavo.process.spawn_windows import FILE_NOT_FOUND, Command

SHELL: Final = "cmd.exe"


async def start(spec: ProcessSpec) -> WindowsChild:
    """Start a command on this machine, unconfined. The caller closes the child.

    Raises StartError when Windows refuses, UsageError for what no command line can carry.
    """
    cwd = spec.cwd or os.getcwd()
    return await pipes_windows.start(command_of(spec, dict(spec.env), cwd), spec.stdio)


def command_of(spec: ProcessSpec, variables: Mapping[str, str], cwd: str) -> Command:
    """The command as Windows takes it. Raises StartError for a missing program, UsageError."""
    comspec = os.path.join(win32api.GetSystemDirectory(), SHELL)
    try:
        application, line = argv_windows.resolved(
            spec.argv, cwd, variables, is_file=os.path.isfile, comspec=comspec
        )
    except argv_windows.NotFoundError as error:
        raise WindowsStartError(spec.argv[0], FILE_NOT_FOUND, str(error)) from error
    return Command(
        application=application,
        line=line,
        block=argv_windows.block(variables),
        cwd=cwd,
        name=spec.argv[0],
    )
