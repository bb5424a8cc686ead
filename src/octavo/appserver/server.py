"""The server: one engine, the threads it has loaded, the clients that are connected."""

import asyncio
import platform
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from octavo._version import __version__
from octavo.api.commands import CommandRunner
from octavo.api.engine import Engine
from octavo.appserver import (
    about,
    absent,
    accounts,
    files,
    goals,
    listing,
    running,
    settings,
    threads,
    turns,
    watching,
)
from octavo.appserver.connection import Connection
from octavo.appserver.errors import MethodError, invalid
from octavo.appserver.host import Host
from octavo.appserver.methods import Table, parsed, unknown
from octavo.appserver.params import Initialize
from octavo.rpc.messages import INTERNAL_ERROR, METHOD_NOT_FOUND, Request
from octavo.rpc.streams import Transport

PROTOCOL: Final = "0.169.0"
"""The release whose protocol this is; clients look at the number after their own name."""
TABLE = Table()
for room in (
    about,
    accounts,
    threads,
    turns,
    goals,
    settings,
    listing,
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

    async def serve(self, transport: Transport) -> None:
        """One client, until it has gone."""
        await Connection(transport, self.call, self.now_ms).serve()

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
        info, able = asked.client_info, asked.capabilities
        connection.client = info.name
        if able is not None:
            connection.experimental = able.experimental_api
            connection.unwanted = frozenset(able.opt_out_notification_methods or ())
        system = f"{platform.system()} {platform.release()}; {platform.machine()}"
        return {
            "userAgent": f"{info.name}/{PROTOCOL} ({system}) octavo/{__version__} "
            f"({info.name}; {info.version})",
            "codexHome": self.home,
            "platformFamily": "windows" if sys.platform == "win32" else "unix",
            "platformOs": {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux"),
        }


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
