"""Connect to one of several checked addresses: a head start for each, one deadline for all. Hands.

Nobody but `octavo.proxy.gate` calls this: what is dialled has been judged.
"""

import asyncio
import errno
import socket
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, Literal

from octavo.policy.addresses import Address
from octavo.proxy.limits import Limits

Failure = Literal["dns", "busy", "refused", "unreachable", "timeout", "tls"]
WORDS: Final = {
    "dns": "the name could not be resolved",
    "busy": "too many names are being looked up",
    "refused": "the connection was refused",
    "unreachable": "the host could not be reached",
    "timeout": "no connection in time",
    "tls": "the server could not prove that it is the host",
}


class DialError(Exception):
    """No connection; `failure` says why. Never the fault of a rule."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(WORDS[failure])
        self.failure: Failure = failure


def ordered(addresses: Sequence[Address]) -> list[Address]:
    """IPv6 and IPv4 in turns, beginning with the kind that came first (RFC 8305, section 4)."""
    if not addresses:
        return []
    first = [one for one in addresses if one.version == addresses[0].version]
    second = [one for one in addresses if one.version != addresses[0].version]
    return [one for pair in zip_longest(first, second) for one in pair if one is not None]


async def dial(addresses: Sequence[Address], port: int, limits: Limits) -> socket.socket:
    """A connected socket, the caller's to close. Raises DialError."""
    try:
        async with asyncio.timeout(limits.connect_s):
            wanted = ordered(addresses)[: limits.addresses]
            if len(wanted) == 1:
                return await _connect(wanted[0], port)
            return await _race(wanted, port, limits.stagger_s)
    except TimeoutError:
        raise DialError("timeout") from None
    except OSError as wrong:
        refused = wrong.errno in (errno.ECONNREFUSED, errno.ECONNRESET)
        if wrong.errno == errno.ETIMEDOUT:
            raise DialError("timeout") from wrong
        raise DialError("refused" if refused else "unreachable") from wrong


async def _connect(address: Address, port: int) -> socket.socket:
    sock = socket.socket(
        socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM
    )
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: Sequence[Address], port: int, stagger_s: float) -> socket.socket:
    """The first that answers; the others are given up."""
    won: list[socket.socket] = []
    wrong: list[OSError] = []
    over = asyncio.Event()

    async def attempt(address: Address, failed: asyncio.Event) -> None:
        try:
            sock = await _connect(address, port)
        except OSError as error:
            wrong.append(error)
            failed.set()
            if len(wrong) == len(addresses):
                over.set()
            return
        won.append(sock)
        over.set()
        failed.set()

    tasks: list[asyncio.Task[None]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for number, address in enumerate(addresses):
                failed = asyncio.Event()
                tasks.append(group.create_task(attempt(address, failed), name=f"dial {number}"))
                if number + 1 < len(addresses):
                    await _pause(failed, stagger_s)
                if won:
                    break
            await over.wait()
            for task in tasks:
                task.cancel()
    except BaseException:
        for sock in won:
            sock.close()
        raise
    for sock in won[1:]:
        sock.close()
    if not won:
        raise wrong[0]
    return won[0]


async def _pause(failed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await failed.wait()
    except TimeoutError:
        return
