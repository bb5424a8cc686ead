"""All servers of a session: started side by side, each as slow or broken as it likes to be."""

import asyncio
from collections.abc import Iterable, Iterator

from octavo.mcp.base import World
from octavo.mcp.names import Name, named
from octavo.mcp.server import Heard, Server, unheard
from octavo.protocol.errors import UsageError
from octavo.protocol.mcp import McpServer, McpTool


class Fleet:
    """The servers that are switched on, by name."""

    def __init__(
        self,
        settings: Iterable[McpServer],
        world: World,
        group: asyncio.TaskGroup,
        *,
        heard: Heard = unheard,
    ) -> None:
        """All begin to start at once; their tasks belong to the group."""
        self._heard = heard
        self._named: dict[tuple[str, str], Name] | None = None
        self.servers = {
            one.name: Server(one, world, group, heard=self._hear) for one in settings if one.enabled
        }

    async def ready(self) -> None:
        """Until each has started or failed."""
        for server in self.servers.values():
            await server.ready()

    def server(self, name: str) -> Server:
        """One of them. Raises UsageError."""
        if name not in self.servers:
            known = ", ".join(self.servers) or "none"
            raise UsageError(f"there is no MCP server {name!r}", hint=f"There are: {known}.")
        return self.servers[name]

    def tools(self) -> Iterator[tuple[Name, Server, McpTool]]:
        """What models may call now, in the order of their names."""
        pairs = {(one.settings.name, tool.name): (one, tool)
                 for one in self.servers.values() for tool in one.tools}  # fmt: skip
        if self._named is None:
            self._named = named(pairs)
        for pair, name in sorted(self._named.items(), key=lambda entry: entry[1]):
            if pair in pairs:
                yield name, *pairs[pair]

    async def close(self) -> None:
        """End them all."""
        async with asyncio.TaskGroup() as group:
            for server in self.servers.values():
                group.create_task(server.close(), name=f"close mcp {server.settings.name}")

    def _hear(self, server: Server) -> None:
        self._named = None
        self._heard(server)
