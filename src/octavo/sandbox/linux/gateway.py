"""The one way out of a command's own network: a listening socket that the application gets.

A socket belongs to the namespace it was made in. Nothing runs in between, and whatever comes in on
it comes from this one command.
"""

import _socket
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, sysc
from octavo.sandbox.linux.view import Loopback

PORT = 3128
"""On 127.0.0.1 of a network that nobody else is in."""
BACKLOG = 512


def open_gateway() -> int:
    """Bring loopback up in a network that has just been made, and listen. Raises ConfineFailed."""
    try:
        Loopback.up()
        listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            listening.bind(("127.0.0.1", PORT))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise init.ConfineFailed("gateway", error) from error
    return listening.detach()


def flags(how: "init.Confinement") -> int:
    """What a command's clone needs besides."""
    return sysc.CLONE_NEWNET if how.gateway else 0
