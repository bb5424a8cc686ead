"""Servers for the tests of the MCP client: real programs, each started for one test."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["*"]
else:
    import octavo.mcp.flow  # noqa: F401 - loaded in a worker thread otherwise: see the conftest above
    from octavo.mcp.base import World
    from octavo.mcp.fleet import Fleet
    from octavo.process import pipes
    from octavo.protocol.mcp import McpServer, StdioTransport

sys.path.insert(0, str(Path(__file__).parent))
TINY = Path(__file__).with_name("tiny_server.py")


@pytest.fixture
def tiny():
    """Settings of a tiny server: `tiny("name", tools=[...], start="crash")`."""

    def settings(name="tiny", *, env=None, env_vars=(), sandbox=False, how=None, **more):
        given = {key: more.pop(key) for key in ("tools", "start", "log", "pages") if key in more}
        transport = StdioTransport(
            command=sys.executable,
            args=("-I", "-S", str(TINY), json.dumps(given)),
            env=env or {},
            env_vars=env_vars,
            sandbox=sandbox,
        )
        return McpServer(name=name, transport=transport, **more)

    return settings


@pytest.fixture
def world(tmp_path):
    """What servers get from a session: `world(elicit=...)`."""

    def made(**more):
        async def start(spec, _transport):
            child = await pipes.start(spec)
            made.children.append(child)
            return child

        made.children = []
        given = {"cwd": str(tmp_path), "environ": dict(os.environ), "start": start} | more
        return World(**given)

    return made


@pytest.fixture
def fleet(world):
    """`async with fleet(server, ...) as servers`: started, and ended with the block."""

    @asynccontextmanager
    async def running(*settings, heard=lambda _server: None, **more):
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            servers = Fleet(settings, world(**more), group, heard=heard)
            try:
                yield servers
            finally:
                await servers.close()

    return running
