"""The MCP servers of one session: from settings to running servers to tools for the model.

Loaded only where the settings have servers. They begin to start when the session is made, side by
side; the first request to the model waits for them, each no longer than its own deadline.
"""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octavo._version import __version__
from octavo.api.providers import CA_VARIABLES
from octavo.config.load import MAIN_FILE
from octavo.config.mcp import reader_of, servers_in
from octavo.config.settings import Loaded
from octavo.mcp.base import Elicitor, McpError, Reply, World, decline
from octavo.mcp.fleet import Fleet
from octavo.mcp.login import auth_status
from octavo.mcp.server import Server
from octavo.mcp.tokens import Tokens
from octavo.process.child import Child
from octavo.process.run import start
from octavo.process.spec import ProcessSpec
from octavo.protocol.approvals import McpApproval
from octavo.protocol.errors import ConfigError, OctavoError
from octavo.protocol.events import Event, McpServerUpdated, Warned
from octavo.protocol.mcp import (
    HttpTransport,
    McpPrompt,
    McpResource,
    McpServer,
    McpStatus,
    McpTemplate,
    McpTool,
    StdioTransport,
)
from octavo.sandbox.confined import Confined
from octavo.tools.base import Launcher
from octavo.tools.mcp import McpTools, Offer, Progress

if TYPE_CHECKING:
    from octavo.tools.registry import Source

STATUS_S: Final = 30.0
"""For all servers to say what they offer, when somebody wants to see it."""


class McpSession:
    """Running servers, as the tools and the doors need them.

    Make it in the loop that runs the session; `close` ends the servers. Implements
    `octavo.tools.mcp.Servers`.
    """

    def __init__(
        self,
        servers: Sequence[McpServer],
        world: World,
        group: asyncio.TaskGroup,
        *,
        warnings: Sequence[str] = (),
    ) -> None:
        self.warnings = tuple(warnings)
        """What is doubtful in their settings, one sentence each."""
        self.source: Source = McpTools(self)
        """The tools for a registry."""
        self._settings = {one.name: one for one in servers}
        self._world = world
        self._publish: Callable[[Event], None] | None = None
        self._early: list[Event] | None = []
        """Warnings until the first turn, when somebody listens."""
        self._fleet = Fleet(servers, world, group, heard=self._heard)

    def speak_through(self, publish: Callable[[Event], None]) -> None:
        """Where news go from now on."""
        self._publish = publish
        for name, server in self._fleet.servers.items():
            publish(McpServerUpdated(name=name, state=server.state, error=server.error))

    async def required(self) -> None:
        """Wait for the servers that a session needs. Raises McpError when one of them failed."""
        for server in self._fleet.servers.values():
            if server.settings.required:
                await server.ready()
                if server.state != "ready":
                    raise McpError(
                        f"a required server is missing: {server.error or server.settings.name}",
                        hint="Repair it, or take `required` out of its settings.",
                    )

    async def ready(self) -> None:
        """Before a request to the model: until each server has started or failed."""
        await self._fleet.ready()
        early, self._early = self._early, None
        for event in early or ():
            self._tell(event)

    async def close(self) -> None:
        """End them all."""
        self._publish = None
        await self._fleet.close()

    def _heard(self, server: Server) -> None:
        name, state = server.settings.name, server.state
        self._tell(McpServerUpdated(name=name, state=state, error=server.error))
        if state == "failed" and server.error is not None:
            warning = Warned(message=server.error)
            if self._early is None:
                self._tell(warning)
            else:
                self._early.append(warning)

    def _tell(self, event: Event) -> None:
        if self._publish is not None:
            self._publish(event)

    # ---- for the tools ----------------------------------------------------------------------

    def offers(self) -> Sequence[Offer]:
        """See `octavo.tools.mcp.Servers`."""
        return [Offer(name, server.settings, tool) for name, server, tool in self._fleet.tools()]

    def instructions(self, server: str) -> str:
        """See `octavo.tools.mcp.Servers`."""
        return self._fleet.server(server).instructions

    def names(self) -> Sequence[str]:
        """See `octavo.tools.mcp.Servers`."""
        return [name for name, one in self._fleet.servers.items() if one.state == "ready"]

    async def call(
        self,
        server: str,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, Any] | None = None,
        hear: Progress = lambda _text: None,
    ) -> Reply:
        """Call a tool. Raises McpError, UsageError for a server that there is not."""
        found = self._fleet.server(server)
        return await found.call(tool, arguments, meta=meta, progress=hear)

    async def resources(
        self, server: str, cursor: str | None = None
    ) -> tuple[Sequence[McpResource], str | None]:
        """A page of what can be read. Raises McpError, UsageError."""
        return await self._fleet.server(server).ask(lambda one: one.resource_page(cursor))

    async def templates(
        self, server: str, cursor: str | None = None
    ) -> tuple[Sequence[McpTemplate], str | None]:
        """A page of addresses with gaps. Raises McpError, UsageError."""
        return await self._fleet.server(server).ask(lambda one: one.template_page(cursor))

    async def read(self, server: str, uri: str) -> Sequence[Mapping[str, Any]]:
        """The contents of a resource. Raises McpError, UsageError."""
        return await self._fleet.server(server).ask(lambda one: one.read(uri))

    # ---- for the doors ----------------------------------------------------------------------

    async def prompts(self, server: str) -> tuple[McpPrompt, ...]:
        """The texts a server has ready. Raises McpError, UsageError."""
        return await self._fleet.server(server).ask(lambda one: one.prompts())

    async def prompt(
        self, server: str, name: str, arguments: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], ...]:
        """The messages of one of them. Raises McpError, UsageError."""
        return await self._fleet.server(server).ask(lambda one: one.prompt(name, dict(arguments)))

    async def statuses(self, *, detail: bool = True) -> tuple[McpStatus, ...]:
        """How each server is, by name, and what it offers; without its resources unless
        `detail`. A server that does not answer in time has none."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._status(one, detail=detail), name=f"status {name}")
                for name, one in sorted(self._fleet.servers.items())
            ]
        return tuple(task.result() for task in tasks)

    async def _status(self, server: Server, *, detail: bool) -> McpStatus:
        await server.ready()
        tools: dict[str, McpTool] = {tool.name: tool for tool in server.tools}
        resources: tuple[McpResource, ...] = ()
        templates: tuple[McpTemplate, ...] = ()
        try:
            async with asyncio.timeout(STATUS_S):
                if detail and server.state == "ready":
                    resources = await server.ask(lambda one: one.resources())
                    templates = await server.ask(lambda one: one.templates())
        except (TimeoutError, McpError):
            pass  # what it offers is unknown; that it runs is not
        return McpStatus(
            name=server.settings.name,
            state=server.state,
            error=server.error,
            tools=tools,
            resources=resources,
            templates=templates,
            auth=await auth_status(
                server.settings,
                self._world.tokens,
                environ=self._world.environ,
                verify=self._world.verify,
            ),
        )


def session_for(
    loaded: Loaded,
    group: asyncio.TaskGroup,
    *,
    home: str,
    environ: Mapping[str, str],
    launcher: Launcher,
    elicit: Elicitor | None = None,
) -> McpSession | None:
    """The servers of these settings, starting; None where all are off.

    `launcher` starts what has to run inside the sandbox. Raises ConfigError.
    """
    reader = reader_of(loaded)
    found = servers_in(loaded.settings.mcp_servers, reader, base=loaded.cwd)
    servers = [one for one in found if one.enabled]
    if not servers:
        return None
    world = World(
        cwd=loaded.cwd,
        environ=environ,
        start=starter(launcher),
        elicit=elicit or decline,
        tokens=Tokens(home, loaded.settings.mcp_oauth_credentials_store),
        verify=certificates(servers, environ),
        version=__version__,
    )
    return McpSession(servers, world, group, warnings=reader.warnings)


async def look(
    loaded: Loaded, *, home: str, environ: Mapping[str, str], detail: bool = True
) -> tuple[McpStatus, ...]:
    """How the servers of these settings are, without a thread: they are started, asked, and ended.

    Those that run inside a sandbox are not started. Raises ConfigError.
    """
    async with asyncio.TaskGroup() as group:
        session = session_for(loaded, group, home=home, environ=environ, launcher=Nothing())
        if session is None:
            return ()
        try:
            return await session.statuses(detail=detail)
        finally:
            await session.close()


class Nothing:
    """A launcher where there is no thread, and so no sandbox."""

    def prepare(self) -> None:
        """See `Launcher`."""

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """See `Launcher`. Raises McpError."""
        raise McpError("it runs inside the sandbox of a thread, and there is none here")


def starter(launcher: Launcher) -> Callable[[ProcessSpec, StdioTransport], Awaitable[Child]]:
    """Starts programs: inside the sandbox where their settings say so, else as they are."""

    async def started(spec: ProcessSpec, transport: StdioTransport) -> Child:
        if transport.sandbox:
            return (await launcher.start(spec)).child
        return await start(spec)

    return started


def certificates(
    servers: Sequence[McpServer], environ: Mapping[str, str]
) -> "ssl.SSLContext | bool":
    """What servers at https addresses are checked against. Raises ConfigError."""
    named = next((value for name in CA_VARIABLES if (value := environ.get(name))), None)
    secure = any(
        isinstance(one.transport, HttpTransport) and one.transport.url.startswith("https:")
        for one in servers
    )
    if named is None or not secure:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=named)
    except OSError as wrong:
        why = "no certificate in it" if isinstance(wrong, ssl.SSLError) else wrong.strerror
        raise ConfigError(f"cannot use the certificate file {named}: {why}") from wrong
    return context


def written_in(loaded: Loaded, server: str, path: str) -> bool:
    """Is the server described in this file?"""
    where = loaded.origin("mcp_servers", server).file
    return where is not None and os.path.realpath(where) == os.path.realpath(path)


def remember_for(
    loaded: Loaded, home: str, warn: Callable[[str], None]
) -> Callable[[McpApproval], Awaitable[None]]:
    """Writes "always" for a tool into the user's settings; where its server is not from there, it
    holds for the thread only and the user is told."""

    async def remember(request: McpApproval) -> None:
        from octavo.config.edit import set_value  # noqa: PLC0415 - loads a library, seldom used

        path = str(Path(home, MAIN_FILE))
        server = request.server
        if not written_in(loaded, server, path):
            warn(
                f"the server {server} is not from {path}: {request.tool} is allowed in this thread"
            )
            return
        keys = ("mcp_servers", server, "tools", request.tool, "approval_mode")
        try:
            await asyncio.to_thread(set_value, path, keys, "approve")
        except OctavoError as error:
            warn(f"{request.tool} is allowed in this thread only: {error}")

    return remember
