"""Connections are taken or left to the system, never lost between the two."""

import asyncio
import errno
import socket
import sys

import pytest

from octavo.proxy.accepting import TURN, accept_each
from proxy.world import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there the loop accepts")


def listening():
    made = socket.create_server(("127.0.0.1", 0), backlog=256)
    made.setblocking(False)
    return made


async def test_every_connection_is_taken_and_none_blocks():
    with listening() as sock:
        taken = []
        task = asyncio.ensure_future(accept_each(sock, taken.append))
        callers = [socket.create_connection(sock.getsockname()) for _ in range(3 * TURN + 1)]
        await until(lambda: len(taken) == len(callers))
        assert not any(one.getblocking() for one in taken)
        task.cancel()
        for one in (*callers, *taken):
            one.close()


async def test_what_comes_while_it_is_cancelled_is_refused_when_the_socket_closes():
    sock = listening()
    taken = []
    task = asyncio.ensure_future(accept_each(sock, taken.append))
    await asyncio.sleep(0)
    with socket.create_connection(sock.getsockname()) as caller:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        sock.close()
        caller.settimeout(5)
        assert taken == []
        with pytest.raises(ConnectionResetError):
            caller.recv(1)


class Poor:
    """A socket on a machine that is out of descriptors twice, then is not."""

    def __init__(self, sock):
        self._sock = sock
        self.failures = 2

    def fileno(self):
        return self._sock.fileno()

    def accept(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return self._sock.accept()


async def test_when_nothing_is_left_it_waits_and_goes_on():
    with listening() as sock:
        poor, taken = Poor(sock), []
        task = asyncio.ensure_future(accept_each(poor, taken.append))
        with socket.create_connection(sock.getsockname()):
            await until(lambda: taken)
        assert poor.failures == 0
        taken[0].close()
        task.cancel()
