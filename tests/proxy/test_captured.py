"""Who floods a socket of the proxy does not keep others from their turn."""

import asyncio
import socket

from octavo.proxy.captured import QUESTIONS_PER_S, serve_captured, serve_names
from octavo.proxy.names import Names
from proxy.world import DEADLINE_S, HERE, policy, world

ASKED = 200


async def turns(work, done):
    """How often somebody else has a turn while `work` does what is ready."""
    count = 0
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(work)
        while not done():
            count += 1
            await asyncio.sleep(0)
        task.cancel()
    return count


async def test_questions_that_wait_already():
    assert ASKED < QUESTIONS_PER_S
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answers,
    ):
        answers.bind((HERE, 0))
        answers.setblocking(False)
        for _ in range(ASKED):
            asks.sendto(b"x" * 12, answers.getsockname())

        def all_read():
            try:
                return not answers.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return True

        assert await turns(serve_names(answers, Names(policy())), all_read) >= ASKED // 20


async def test_connections_that_wait_already():
    with socket.create_server((HERE, 0), backlog=ASKED) as listening:
        listening.setblocking(False)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(ASKED)]
        work = serve_captured(listening, Names(policy()), lambda sock, _: sock.close())
        try:
            # they are the command's own loopback, and are let go at once
            assert await turns(work, lambda: gone(clients[-1])) >= ASKED // 20
        finally:
            for one in clients:
                one.close()


def gone(client):
    try:
        return client.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def test_connections_to_the_proxy_that_wait_already():
    async with world() as found:
        clients = [socket.create_connection((HERE, found.port)) for _ in range(100)]
        count = 0
        while found.proxy.connections < 100:
            count += 1
            await asyncio.sleep(0)
        assert count >= 5
        for one in clients:
            one.close()
