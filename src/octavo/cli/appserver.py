"""`octavo app-server`: the door for editors and for clients in other languages."""

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from octavo.appserver.server import Server

STDIO: Final = "stdio://"


class Group(click.Group):
    """Serves when no subcommand is named."""


@click.group("app-server", cls=Group, invoke_without_command=True)
@click.option("--listen", default=STDIO, show_default=True, metavar="URL",
              help="stdio://, unix://PATH, or ws://IP:PORT.")  # fmt: skip
@click.option("--ws-token-file", metavar="FILE",
              help="Clients over ws:// have to send this token: Authorization: Bearer TOKEN.")  # fmt: skip
@click.option("--ws-token-sha256", metavar="HEX", help="The same, by the token's SHA-256.")
@click.option("--stdio", is_flag=True, help="The same as --listen stdio://.")
@click.option("-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE",
              help="One setting, as TOML or plain text.")  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    listen: str,
    overrides: tuple[str, ...],
    *,
    stdio: bool,
    ws_token_file: str | None,
    ws_token_sha256: str | None,
) -> int:
    """Serve threads over JSON-RPC, one JSON object per line.

    Ends with exit code 0 when standard input ends. Methods are listed in docs/protocols.md.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    where = STDIO if stdio else listen
    token = None
    if ws_token_file or ws_token_sha256:
        from octavo.rpc.websocket import digest_of

        token = digest_of(file=ws_token_file, sha256=ws_token_sha256)
    return asyncio.run(serve(where, overrides, token))


@command.command("generate-json-schema")
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR")
@click.option("--experimental", is_flag=True, help="Accepted; everything is in the schema anyway.")
def generate(out: str, *, experimental: bool) -> int:
    """Write the JSON schema of every method's parameters into DIR."""
    from octavo.appserver.schema import write_schema

    write_schema(out)
    return 0


@command.command("generate-ts")
@click.option("--out", required=True, type=click.Path(file_okay=False), metavar="DIR")
@click.option("--experimental", is_flag=True, help="Accepted; everything is there anyway.")
def generate_ts(out: str, *, experimental: bool) -> int:
    """Write TypeScript declarations of every method's parameters and results into DIR."""
    from octavo.appserver.typescript import write_types

    write_types(out)
    return 0


async def serve(where: str, overrides: tuple[str, ...], token: bytes | None = None) -> int:
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

    async def over_websocket(server: "Server") -> None:
        from octavo.rpc import websocket

        def ready(url: str) -> None:
            click.echo(f"listening on {url}", err=True)

        await websocket.serve(where, server.serve, token=token, ready=ready)

    if token is not None and not where.startswith("ws://"):
        raise click.UsageError("a token is for ws:// only")
    if where == STDIO:
        work = over_stdio
    elif where.startswith("ws://"):
        work = over_websocket
    elif where.startswith("unix://") and len(where) > len("unix://"):
        work = over_socket
    else:
        raise click.UsageError(
            f"--listen {where}: not understood; stdio://, unix://PATH or ws://IP:PORT"
        )
    clock = SystemClock()
    stopped = stoppable()
    try:
        await run(work, now_ms=clock.now_ms, home=state_home(os.environ), overrides=overrides)
    except asyncio.CancelledError:
        if not stopped:
            raise
        return 128 + stopped[0]
    return 0


def stoppable() -> list[int]:
    """SIGTERM and SIGINT end this task in good order from now on; the list gets the signal."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen: list[int] = []

    def stop(number: int) -> None:
        seen.append(number)
        if task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows: Ctrl-C is KeyboardInterrupt
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, int(number))
    return seen
