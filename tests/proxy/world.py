"""A proxy on loopback, servers behind it that do as they are told, and raw clients."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from octavo.policy.addresses import read_address
from octavo.policy.network import host_policy
from octavo.protocol.permissions import NetworkRules
from octavo.proxy.limits import Limits
from octavo.proxy.resolve import ScriptedResolver
from octavo.proxy.server import NetworkProxy

HERE = "127.0.0.1"
PUBLIC = (read_address(HERE),)
DEADLINE_S = 10
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def policy(*allow, deny=(), **more):
    return host_policy(NetworkRules(enabled=True, allow=allow, deny=tuple(deny), **more))


@asynccontextmanager
async def server(handler: Handler):
    """A server on loopback; its port."""

    async def guarded(reader, writer):
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    made = await asyncio.start_server(guarded, HERE, 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()


async def echo(reader, writer):
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def answering(data: bytes, *, seen: list[bytes] | None = None):
    """A handler that reads heads and bodies with a length, and answers each the same way."""

    async def handler(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    head += await reader.readexactly(int(line.partition(b":")[2]))
            if seen is not None:
                seen.append(head)
            writer.write(data)
            await writer.drain()

    return handler


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class World:
    proxy: NetworkProxy
    port: int
    resolver: ScriptedResolver
    denied: list = field(default_factory=list)
    records: list = field(default_factory=list)
    identity: str = "x1"

    async def open(self):
        return await asyncio.open_connection(HERE, self.port)

    @asynccontextmanager
    async def client(self):
        reader, writer = await self.open()
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield reader, writer
        finally:
            writer.close()

    async def say(self, data: bytes) -> bytes:
        """Send, and read until the proxy ends the connection."""
        async with self.client() as (reader, writer):
            writer.write(data)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b"reset"

    async def ask(self, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """One request, one answer with a length."""
        async with self.client() as (reader, writer):
            writer.write(data)
            return await answer(reader)

    async def get(self, url: str, method="GET", more=b"", body=b""):
        host = url.partition("://")[2].partition("/")[0]
        head = f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n".encode()
        return await self.ask(head + more + b"\r\n" + body)

    async def connect(self, reader, writer, target: str) -> int:
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    @property
    def reasons(self):
        return [one.decision.reason for one in self.proxy.decisions]


async def until(truth):
    """Let the loop turn until something is so."""
    async with asyncio.timeout(DEADLINE_S):
        while not truth():  # noqa: ASYNC110 - what is waited for is inside the program under test
            await asyncio.sleep(0)


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.rstrip().split(b"\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    body = await reader.readexactly(int(fields.get(b"content-length", 0)))
    return int(first.split()[1]), fields, body


def blocked(body: bytes):
    return json.loads(body)


@asynccontextmanager
async def world(*allow, hosts=(), deny=(), limits=None, public=PUBLIC, listen=True, **more):
    """`hosts`: names that resolve to loopback, or a table of what they resolve to."""
    table = hosts if isinstance(hosts, dict) else {name: [[HERE]] for name in hosts}
    resolver = ScriptedResolver({"ok.test": [[HERE]], **table})
    made = more.pop("policy", None) or policy(*allow, deny=deny, **more.pop("network", {}))
    denied, records = [], []
    more.setdefault("on_denied", lambda who, what: denied.append((who, what)))
    proxy = NetworkProxy(
        made,
        resolver=resolver,
        public=public,
        limits=limits or Limits(),
        on_record=records.append,
        **more,
    )
    listener = socket.create_server((HERE, 0))
    port = listener.getsockname()[1]
    async with proxy:
        if listen:
            proxy.open("x1")
            proxy.listen(listener, "x1")
        else:
            proxy.listen(listener, None)
        yield World(proxy, port, resolver, denied, records)
