"""`octavo app-server`: the door for editors and for clients in other languages."""

import asyncio
import os
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from octavo.appserver.server import Server

STDIO: Final = "stdio://"


class Group(click.Group):
    """Serves when no subcommand is named."""


@click.group("app-server", cls=Group, invoke_without_command=True)
@click.option("--listen", default=STDIO, show_default=True, metavar="URL",
              help="stdio://, unix://PATH, or off.")  # fmt: skip
@click.option("--stdio", is_flag=True, help="The same as --listen stdio://.")
@click.option("-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE",
              help="One setting, as TOML or plain text.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, listen: str, overrides: tuple[str, ...], *, stdio: bool) -> int:
    """Serve threads over JSON-RPC, one JSON object per line.

    Ends with exit code 0 when standard input ends. Methods are listed in docs/protocols.md.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    where = STDIO if stdio else listen
    return asyncio.run(serve(where, overrides))


@command.command("generate-json-schema")
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR")
@click.option("--experimental", is_flag=True, help="Accepted; everything is in the schema anyway.")
def generate(out: str, *, experimental: bool) -> int:
    """Write the JSON schema of every method's parameters into DIR."""
    from octavo.appserver.schema import write_schema

    write_schema(out)
    return 0


async def serve(where: str, overrides: tuple[str, ...]) -> int:
    """Serve until the clients have gone, or somebody stops us."""
    from octavo.api.sandbox import state_home
    from octavo.api.world import SystemClock
    from octavo.appserver.server import run
    from octavo.rpc.streams import Streams, stdio

    async def over_stdio(server: "Server") -> None:
        await server.serve(await stdio())

    async def over_socket(server: "Server") -> None:
        listen = getattr(asyncio, "start_unix_server", None)  # not on Windows
        if listen is None:
            raise click.UsageError("sockets on the file system are not served here: use stdio://")
        path = where.removeprefix("unix://")

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.serve(Streams(reader, writer))

        old = os.umask(0o077)  # the socket is for this user alone
        try:
            listening = await listen(connected, path)
        finally:
            os.umask(old)
        try:
            async with listening:
                await listening.serve_forever()
        finally:
            os.unlink(path)

    if where == STDIO:
        work = over_stdio
    elif where.startswith("unix://") and len(where) > len("unix://"):
        work = over_socket
    else:
        raise click.UsageError(f"--listen {where}: not understood; stdio:// or unix://PATH")
    clock = SystemClock()
    await run(work, now_ms=clock.now_ms, home=state_home(os.environ), overrides=overrides)
    return 0
