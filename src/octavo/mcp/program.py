"""The program of a stdio server: how it is started, and that it ends with whoever owns it.

Loads nothing of the protocol library, so that the program starts while that is being loaded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from octavo.mcp.base import McpError, World
from octavo.mcp.environment import environment_of
from octavo.process.child import Child, end, within
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.mcp import HttpTransport, StdioTransport

LEAVE_S: Final = 1.0
"""For a program to end by itself once its stdin is closed."""
GRACE_S: Final = 1.0
"""After it was asked to end."""


@asynccontextmanager
async def program(
    transport: StdioTransport | HttpTransport, world: World
) -> AsyncIterator[Child | None]:
    """A running program, which ends with the block; None for servers at an address.

    Raises OctavoError when it cannot be started.
    """
    if isinstance(transport, HttpTransport):
        yield None
        return
    async with owned(await world.start(spec_of(transport, world), transport)) as child:
        yield child


@asynccontextmanager
async def owned(child: Child) -> AsyncIterator[Child]:
    """The program ends with the block: its stdin is closed, then it is asked, then ended."""
    try:
        yield child
    finally:
        try:
            child.close_stdin()
            if not await within(LEAVE_S, child.gone()):
                await end(child, grace_s=GRACE_S)
        finally:
            child.close()


def spec_of(transport: StdioTransport, world: World) -> ProcessSpec:
    """How a program is started. Raises UsageError for what no system could start."""
    return ProcessSpec(
        argv=(transport.command, *transport.args),
        env=environment_of(transport, world.environ),
        cwd=transport.cwd or world.cwd,
        stdio=Pipes(stdin=True),
    )


async def no_programs(_spec: ProcessSpec, _transport: StdioTransport) -> Child:
    """For those who only talk to servers at an address."""
    raise McpError("no programs are started here")
