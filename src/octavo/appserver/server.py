"""The server: one engine, the threads it has loaded, the clients that are connected."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from octavo.api.commands import CommandRunner
from octavo.api.engine import Engine
from octavo.appserver import (
    about,
    absent,
    accounts,
    files,
    goals,
    listing,
    mcp_calls,
    running,
    settings,
    threads,
    turns,
    watching,
)
from octavo.appserver.connection import Connection
from octavo.appserver.errors import MethodError, invalid
from octavo.appserver.hello import Initialize, welcome
from octavo.appserver.host import Host
from octavo.appserver.methods import Table, parsed, unknown
from octavo.rpc.messages import INTERNAL_ERROR, METHOD_NOT_FOUND, Request
from octavo.rpc.streams import Transport

TABLE = Table()
for room in (
    about,
    accounts,
    threads,
    turns,
    goals,
    settings,
    listing,
    mcp_calls,
    files,
    watching,
    running,
    absent,
):
    room.declare(TABLE)


class Server:
    """Serves any number of clients with one engine."""

    def __init__(
        self, engine: Engine, group: asyncio.TaskGroup, now_ms: Callable[[], int], home: str
    ) -> None:
        self.engine = engine
        self.group = group
        self.now_ms = now_ms
        self.home = home
        self.hosts: dict[str, Host] = {}
        self._runner: CommandRunner | None = None

    async def serve(self, transport: Transport, asked: Initialize | None = None) -> None:
        """One client, until it has gone; `asked` was answered already."""
        connection = Connection(transport, self.call, self.now_ms)
        if asked is not None:
            introduced(connection, asked)
        await connection.serve()

    async def call(self, connection: Connection, request: Request) -> Any:  # noqa: ANN401 - JSON
        """Carry out one request. Raises MethodError, OctavoError."""
        if request.method == "initialize":
            return self._initialize(connection, request)
        if connection.client is None:
            raise invalid("Not initialized")
        method = TABLE.methods.get(request.method)
        if method is None:
            raise unknown(request.method, TABLE.methods)
        if method.tier == "cloud":
            raise invalid(f"{method.name} belongs to the vendor's cloud and is not offered here")
        if method.tier == "absent":
            raise MethodError(METHOD_NOT_FOUND, f"{method.name} is not carried out by this server")
        do: Callable[..., Awaitable[Any]] = method.do
        try:
            return await do(self, connection, parsed(method, request))
        except (OSError, ValueError, RuntimeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise MethodError(INTERNAL_ERROR, text) from error

    def host(self, thread_id: str) -> Host:
        """A thread that is loaded. Raises MethodError."""
        found = self.hosts.get(thread_id)
        if found is None:
            raise invalid(f"thread not found: {thread_id}")
        return found

    def runner(self) -> CommandRunner:
        """Runs commands without a model."""
        if self._runner is None:
            self._runner = running.new_runner()
        return self._runner

    async def close(self) -> None:
        """End all threads and commands."""
        if self._runner is not None:
            self._runner.close()
        for host in list(self.hosts.values()):
            await host.close()
        self.hosts.clear()

    def _initialize(self, connection: Connection, request: Request) -> dict[str, str]:
        if connection.client is not None:
            raise invalid("Already initialized")
        asked = parsed(TABLE.methods["initialize"], request)
        assert isinstance(asked, Initialize)
        introduced(connection, asked)
        return welcome(asked, self.home)


def introduced(connection: Connection, asked: Initialize) -> None:
    """The client has said who it is and what it wants."""
    able = asked.capabilities
    connection.client = asked.client_info.name
    if able is not None:
        connection.experimental = able.experimental_api
        connection.unwanted = frozenset(able.opt_out_notification_methods or ())


async def run(
    serve: Callable[[Server], Awaitable[None]],
    *,
    now_ms: Callable[[], int],
    home: str,
    **options: Any,  # noqa: ANN401 - as `Engine.open` takes them
) -> None:
    """Open an engine and serve until `serve` returns."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            Engine.open(originator="octavo_app_server", **options)
        )
        try:
            async with asyncio.TaskGroup() as group:
                server = Server(engine, group, now_ms, home)
                try:
                    await serve(server)
                finally:
                    await server.close()
        except BaseExceptionGroup as problems:
            if len(problems.exceptions) > 1:
                raise
            raise problems.exceptions[0] from None
