"""The short way: one command in one sandbox, no servers. The whole of `octavo sandbox`.

One clone; the child builds the view, restricts itself and starts the command; this process stays
outside to pass signals on, restore the terminal and remove mount points.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import shared, status, stdio
from octavo.sandbox.linux.single import Ended, forwarded_signals, inner_of, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from octavo.sandbox.linux.relay import Watcher
    from octavo.sandbox.linux.shared import Command, Plan
    from octavo.sandbox.linux.status import Record

STANDARD = (0, 1, 2)


def run(plan: "Plan", command: "Command", watch: "Watcher | None" = None) -> Ended:
    """Run one command to its end with this process's own stdin, stdout and stderr.

    `watch` adds deadlines, output caps and the listener for refused calls. A record of kind
    STEP_FAILED or CONFINE_FAILED means that nothing was started.
    """
    terminals = tuple(fd for fd in STANDARD if is_terminal(fd))
    relayed = tuple(fd for fd in STANDARD if fd not in terminals and stdio.needs_relay(fd))
    if watch is None and not terminals and not relayed:
        return run_plain(plan, command)
    from octavo.sandbox.linux import relay  # noqa: PLC0415 - only when bytes pass through us

    return relay.run(plan, command, terminals, relayed, watch)


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def run_plain(plan: "Plan", command: "Command") -> Ended:
    """Nothing passes through this process: it only waits."""
    read, write = os.pipe()
    pid, pidfd = start(plan, command, write, ours=(read,))
    os.close(write)
    with forwarded_signals(pid, inner_of(plan)):
        record = last_record(read, plan)
        os.waitpid(pid, 0)
    os.close(read)
    os.close(pidfd)
    return Ended(record)


def last_record(fd: int, plan: "Plan") -> "Record | None":
    """Read reports until the one that ends the story."""
    started = plan.rung != "bubblewrap"
    while True:
        record = status.decode(os.read(fd, status.SIZE))
        if record is not None and record.kind == status.READY:
            started = started or record.index == status.INSIDE
        elif record is not None and record.kind == status.STOPPED:
            continue
        else:
            return record if started or record is not None else shared.never_inside()
