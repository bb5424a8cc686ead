"""`octavo app-server`: the door for editors and for clients in other languages."""

import asyncio
from functools import partial
from typing import Final

import click

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
        if not where.startswith("ws://"):
            raise click.UsageError("a token is for ws:// only")
    return served(where, overrides, token)


def served(where: str, overrides: tuple[str, ...], token: bytes | None) -> int:
    """Serve until the clients have gone, or somebody stops us."""
    if where == STDIO:
        from octavo.appserver.stdio import serve

        return serve(overrides)
    from octavo.appserver.listening import serve_socket, serve_websocket

    if where.startswith("ws://"):
        say = partial(click.echo, err=True)
        return asyncio.run(serve_websocket(where, overrides, token, say))
    if where.startswith("unix://") and len(where) > len("unix://"):
        return asyncio.run(serve_socket(where.removeprefix("unix://"), overrides))
    raise click.UsageError(
        f"--listen {where}: not understood; stdio://, unix://PATH or ws://IP:PORT"
    )


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
