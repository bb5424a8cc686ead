"""Start a program and let it go: no pipes, no deadline, nobody waits for it.

It leads a session of its own and outlives us. Its entry is collected by a thread that does nothing
else, so that it does not stay behind as a zombie.
"""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from octavo.process.child import StartError

if sys.platform == "win32":
    FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    FLAGS = 0


def start_detached(argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> None:
    """Raises StartError when the system refuses: no such program, folder, permission."""
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            creationflags=FLAGS,
        )
    except (OSError, ValueError) as wrong:
        error = wrong if isinstance(wrong, OSError) else OSError(str(wrong))
        raise StartError(argv[0], error) from wrong
    threading.Thread(target=_collect, args=(process,), daemon=True).start()


def _collect(process: "subprocess.Popen[bytes]") -> None:
    with suppress(OSError):
        process.wait()
