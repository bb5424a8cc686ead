"""Inside, when descriptors have to be passed out: a terminal of its own, the listener.

The outside reads them from the report socket, each with a record that says which it is.
"""

import _socket
import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, status, stdio, sysc
from octavo.sandbox.linux.status import Record

HANDED_TERMINAL, HANDED_LISTENER, HANDED_GATEWAY = 1, 2, 5


def confine(how: "init.Confinement", report: int, terminals: "tuple[int, ...]") -> None:
    """Open a terminal for these descriptors, restrict this process, pass on what was opened.

    Raises ConfineFailed. The socket is made first: the filter would refuse to look at it.
    """
    channel = _socket.socket(fileno=os.dup(report))
    if terminals:
        try:
            master = stdio.own_terminal(sysc.ioctl, terminals)
        except OSError as error:
            raise init.ConfineFailed("terminal", error) from error
        hand(channel, HANDED_TERMINAL, master)
    listener = init.confine(how)
    if listener >= 0:
        hand(channel, HANDED_LISTENER, listener)
    os.close(channel.detach())


def hand_over(report: int, what: int, fd: int) -> None:
    """The same as `hand`, over the report's descriptor."""
    channel = _socket.socket(fileno=os.dup(report))
    hand(channel, what, fd)
    os.close(channel.detach())


def hand(channel: "_socket.socket", what: int, fd: int) -> None:
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
    channel.sendmsg([Record(status.READY, index=what).encode()], ancillary)
    os.close(fd)
