"""Connections and questions caught inside a command's network. Hands.

The sockets were made in there and handed out; what comes in on them is this command's.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from octavo.policy.hosts import Target
from octavo.proxy.accepting import TURN, accept_each
from octavo.proxy.dns import MOST, answer
from octavo.proxy.names import Names

QUESTIONS_PER_S: Final = 1000
"""More wait for the next second."""
AT_ONCE: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: the other side hears of a refusal, not of an end."""


async def serve_names(sock: socket.socket, names: Names) -> None:
    """Answer questions until cancelled. An answer that cannot be sent is asked for again."""
    loop = asyncio.get_running_loop()
    second, asked = loop.time(), 0
    while True:
        try:
            data, sender = await loop.sock_recvfrom(sock, MOST + 1)
        except OSError:  # about an earlier answer, which nobody waited for
            if sock.fileno() < 0:
                return
            continue
        said = answer(data, names.find)
        if said is not None:
            with suppress(OSError):
                await loop.sock_sendto(sock, said, sender)
        asked += 1
        if asked % TURN == 0:
            await asyncio.sleep(0)
        if asked >= QUESTIONS_PER_S:
            await asyncio.sleep(max(0.0, second + 1 - loop.time()))
            second, asked = loop.time(), 0


async def serve_captured(
    sock: socket.socket, names: Names, take: Callable[[socket.socket, Target], None]
) -> None:
    """Accept until cancelled; `take` owns each connection, with where it was meant to go."""

    def caught(conn: socket.socket) -> None:
        address, port = conn.getsockname()[:2]
        target = names.target(address, port)
        if target is None:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            conn.close()
        else:
            take(conn, target)

    await accept_each(sock, caught)
