"""Open what a command on Windows reads and writes, and start it with that: pipes or a terminal.

No event loop: the runner in the other account uses it too, and has to be there quickly.
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field

from octavo.process.spec import Pipes, Terminal

assert sys.platform == "win32"

from octavo.process import spawn_windows
from octavo.process.handles_windows import Channel, open_null, pipe_to_read, pipe_to_write
from octavo.process.pty_windows import PseudoConsole
from octavo.process.spawn_windows import Command, Job, Started


@dataclass(slots=True, kw_only=True)
class Ends:
    """Our ends of what a command reads and writes, by name."""

    channels: dict[str, Channel] = field(default_factory=dict)
    console: PseudoConsole | None = None


def open_and_start(
    command: Command,
    stdio: Pipes | Terminal,
    *,
    job: Job,
    token: int | None,
    desktop: str | None,
    undo: ExitStack,
) -> tuple[Ends, Started]:
    """Open what the command reads and writes, and start it; what is ours is closed by `undo`."""
    if isinstance(stdio, Terminal):
        console = PseudoConsole(stdio.rows, stdio.cols)
        undo.callback(console.close)
        started = spawn_windows.start(
            command, job=job, console=console.value, token=token, desktop=desktop
        )
        return Ends(console=console), started
    channels: dict[str, Channel] = {}
    with ExitStack() as theirs:
        if stdio.stdin:
            channels["stdin"], given = pipe_to_write()
            undo.callback(channels["stdin"].close)
        else:
            given = open_null()
        theirs.callback(given.close)
        handles = [given.value]
        for name in ("stdout",) if stdio.merge_stderr else ("stdout", "stderr"):
            channels[name], other = pipe_to_read()
            undo.callback(channels[name].close)
            theirs.callback(other.close)
            handles.append(other.value)
        three = (handles[0], handles[1], handles[-1])
        started = spawn_windows.start(command, job=job, stdio=three, token=token, desktop=desktop)
    return Ends(channels=channels), started
