"""Accept connections until cancelled, a few in a row, and lose none on the way. Hands.

The loop's own `sock_accept` can take a connection at the moment it is cancelled, and then nobody
has it; where there is another way, we look ourselves.
"""

import asyncio
import itertools
import socket
import sys
from collections.abc import Callable
from typing import Final

TURN: Final = 16
"""So many in a row, then others have their turn: what is ready is taken without waiting."""
PAUSE_S: Final = 0.05
"""When the machine is out of descriptors."""
Take = Callable[[socket.socket], None]
"""Owns a connection from now on; it does not block."""


async def accept_each(sock: socket.socket, take: Take) -> None:
    """Until cancelled, or until the socket is closed."""
    if sys.platform == "win32":
        await _through_loop(sock, take)
    else:
        await _looking(sock, take)


async def _looking(sock: socket.socket, take: Take) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    descriptor = sock.fileno()
    loop.add_reader(descriptor, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            if _some(sock, take):
                continue
            if sock.fileno() < 0:
                return
            loop.remove_reader(descriptor)  # it would be called all the time
            await asyncio.sleep(PAUSE_S)
            loop.add_reader(descriptor, ready.set)
    finally:
        loop.remove_reader(descriptor)


def _some(sock: socket.socket, take: Take) -> bool:
    """Take what is there, up to a turn; False when the machine has nothing left to give."""
    for _ in range(TURN):
        try:
            found, _ = sock.accept()
        except BlockingIOError:
            return True
        except ConnectionAbortedError:
            continue
        except OSError:
            return False
        found.setblocking(False)  # noqa: FBT003 - the method's own signature
        take(found)
    return True


async def _through_loop(sock: socket.socket, take: Take) -> None:
    loop = asyncio.get_running_loop()
    for number in itertools.count(1):
        if number % TURN == 0:
            await asyncio.sleep(0)
        try:
            found, _ = await loop.sock_accept(sock)
        except OSError:
            if sock.fileno() < 0:
                return
            await asyncio.sleep(PAUSE_S)
            continue
        take(found)
