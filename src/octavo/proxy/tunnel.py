"""A tunnel: bytes both ways, once the first of them were looked at. Hands.

A client that speaks TLS has to name the host it asked for, or a listed host in front of many
others would let through to all of them. What the server says first is passed on at once.
"""

import asyncio

from octavo.policy.hosts import Target
from octavo.policy.network import Protocol
from octavo.proxy.execution import Execution
from octavo.proxy.gate import Gate
from octavo.proxy.hello import UNRECOGNIZED_NAME, Hello, HelloError, read_hello
from octavo.proxy.wire import Wire, finish


async def tunnel(
    gate: Gate,
    client: Wire,
    server: Wire,
    execution: Execution,
    target: Target,
    protocol: Protocol,
) -> None:
    """Until both directions have ended, either side is lost, or the execution ends. Closes both."""
    over = asyncio.Event()

    def stop() -> None:
        over.set()
        client.stop_filling()

    task = asyncio.current_task()
    assert task is not None
    execution.tunnels[task] = (target, protocol)
    try:
        server.relay_to(client, stop)
        if checked(execution, target):
            agrees, name = await named(client, target, gate.limits.hello_s)
            if not agrees:
                gate.renamed(execution, target, protocol, name)
                client.write(UNRECOGNIZED_NAME)
                server.abort()
                await finish(client, server, linger_s=1.0)
                return
        client.relay_to(server, stop)
        await over.wait()
        await finish(client, server, linger_s=gate.limits.linger_s)
    finally:
        del execution.tunnels[task]
        client.abort()
        server.abort()


def checked(execution: Execution, target: Target) -> bool:
    """Is there a name that TLS would have to agree with?"""
    if target.host.address is not None:
        return False
    return execution.policy().any_server_name.match(target) is None


async def named(client: Wire, target: Target, hello_s: float) -> tuple[bool, str | None]:
    """May the client's bytes go on; and the name inside TLS, if that is why not."""
    try:
        hello = await first_words(client, hello_s)
    except (HelloError, TimeoutError):
        return False, None
    if hello is None or hello.name is None:
        return True, None
    return hello.name.removesuffix(".") == target.host.name, hello.name


async def first_words(client: Wire, hello_s: float) -> Hello | None:
    """What a client says first, which stays collected; None when it says nothing at all.

    Raises HelloError, TimeoutError.
    """
    while not client.buffer:
        if not await client.fill():
            return None
    until = client.within(hello_s)
    while (hello := read_hello(client.buffer)) is None:
        if not await client.fill(until):
            raise HelloError("it ends in the middle")
    return hello
