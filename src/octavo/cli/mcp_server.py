"""`octavo mcp-server`: the door for programs that speak the Model Context Protocol."""

import asyncio
import os
import signal
from contextlib import suppress

import click

STOPPED = 128 + signal.SIGTERM


@click.command("mcp-server")
@click.option("-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE",
              help="One setting, as TOML or plain text.")  # fmt: skip
def command(overrides: tuple[str, ...]) -> int:
    """Offer the agent as tools over standard input and output (Model Context Protocol).

    Ends with exit code 0 when standard input ends. See docs/mcp-server.md.
    """
    return asyncio.run(serve(overrides))


async def serve(overrides: tuple[str, ...]) -> int:
    """Serve until the client has gone, or somebody stops us."""
    from octavo.api.engine import Engine
    from octavo.api.sandbox import state_home
    from octavo.mcpserver.server import run
    from octavo.rpc.streams import stdio

    me = asyncio.current_task()
    assert me is not None
    with suppress(NotImplementedError):  # Windows has no such signal to wait for
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    try:
        await run(
            lambda: Engine.open(
                originator="octavo_mcp_server", home=state_home(os.environ), overrides=overrides
            ),
            await stdio(),
        )
    except asyncio.CancelledError:  # its turns have ended
        return STOPPED
    return 0
