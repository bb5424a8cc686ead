"""Programs that only fail, first on PATH while the network is off and nothing else discourages.

They hold nobody: a program found by its whole path is not stopped.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from octavo.sandbox.windows.environment import STALE_STUBS, STUB_TEXT, STUBS

assert sys.platform == "win32"

from octavo.sandbox.win32.winapi import CallError

FOLDER: Final = ".sandbox-stubs"


def write_stubs(home: str) -> str:
    """Their folder, below our home; written where something is missing or different.

    Raises CallError.
    """
    folder = os.path.join(home, FOLDER)
    # bytes, not text: without both characters at each line's end cmd reads it as one line
    wanted = STUB_TEXT.encode("ascii")
    try:
        os.makedirs(folder, exist_ok=True)
        for name in STUBS:
            file = Path(folder, name)
            if not (file.is_file() and file.read_bytes() == wanted):
                file.write_bytes(wanted)
        for name in STALE_STUBS:
            with suppress(FileNotFoundError):
                Path(folder, name).unlink()
    except OSError as error:
        raise CallError("writing stubs", error.winerror or 0, path=folder) from error
    return folder
