"""The ways out of a command's own network: listening sockets that the application gets.

A socket belongs to the namespace it was made in. Nothing runs in between, and whatever comes in on
them comes from this one command.
"""

import _socket
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, relay_child, sysc
from octavo.sandbox.linux.view import Loopback

BACKLOG = 512
LOOPBACK_DEVICE = 1  # in every network that has just been made
NETLINK_ROUTE = 0
NEW_ROUTE = 24
REQUEST, ACKNOWLEDGE, EXCLUSIVE, CREATE = 1, 4, 0x200, 0x400
LOCAL_TABLE, BY_BOOT, SCOPE_HOST, KIND_LOCAL = 255, 3, 254, 2
DESTINATION, OUTGOING = 1, 4


def open_gateway(ways: "tuple[str, ...]") -> "list[int]":
    """Bring loopback up in a network that has just been made, and wait at each place there.

    The first way is the proxy's. Raises ConfineFailed without it; the others are a convenience,
    and what this kernel refuses is left out.
    """
    try:
        Loopback.up()
        found = [listening(ways[0])]
    except OSError as error:
        raise init.ConfineFailed("gateway", error) from error
    if len(ways) > 1:
        try:
            everywhere(_socket.AF_INET)
            if any(":" in way for way in ways):
                everywhere(_socket.AF_INET6)
        except OSError:
            return found
    for way in ways[1:]:
        try:
            found.append(listening(way))
        except OSError:
            continue
    return found


def listening(way: str) -> int:
    """A socket for "tcp ADDRESS PORT" or "udp ADDRESS PORT"."""
    kind, address, port = way.split()
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    form = _socket.SOCK_DGRAM if kind == "udp" else _socket.SOCK_STREAM
    made = _socket.socket(family, form | _socket.SOCK_CLOEXEC)
    try:
        made.bind((address, int(port)))
        if kind == "tcp":
            made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made.detach()


def everywhere(family: int) -> None:
    """Every address is this network's own: what is sent anywhere ends here."""
    body = bytes((family, 0, 0, 0, LOCAL_TABLE, BY_BOOT, SCOPE_HOST, KIND_LOCAL)) + bytes(4)
    body += attribute(OUTGOING, LOOPBACK_DEVICE.to_bytes(4, "little"))
    flags = REQUEST | ACKNOWLEDGE | EXCLUSIVE | CREATE
    numbers = ((16 + len(body), 4), (NEW_ROUTE, 2), (flags, 2), (1, 4), (0, 4))
    head = b"".join(number.to_bytes(size, "little") for number, size in numbers)
    link = _socket.socket(
        _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, NETLINK_ROUTE
    )
    try:
        link.sendto(head + body, (0, 0))
        said = link.recv(4096)
    finally:
        link.close()
    refused = -int.from_bytes(said[16:20], "little", signed=True)
    if refused:
        raise OSError(refused, "no route for every address")


def attribute(kind: int, value: bytes) -> bytes:
    return (4 + len(value)).to_bytes(2, "little") + kind.to_bytes(2, "little") + value


def hand_over(report: int, ways_out: "list[int]") -> None:
    """To the application, in order."""
    for fd in ways_out:
        relay_child.hand_over(report, relay_child.HANDED_GATEWAY, fd)


def flags(how: "init.Confinement") -> int:
    """What a command's clone needs besides."""
    return sysc.CLONE_NEWNET if how.gateway else 0
