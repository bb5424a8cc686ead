"""`octavo mcp`: which MCP servers the agent may use, and logging in to them.

Changes go to config.toml in the home folder and leave its comments alone.
"""

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from octavo.cli.words import one_line
from octavo.protocol.errors import OctavoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.cli.mcp_show import Shown
    from octavo.config.settings import Loaded
    from octavo.mcp.tokens import Tokens
    from octavo.protocol.mcp import AuthStatus, McpServer

LETTERS = "letters, numbers, '-', '_', ':', '@', '/', '.'"
CONFIG = click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")
SECRETS = click.option("--show-secrets", is_flag=True, help="Show values that are masked.")


@click.group("mcp")
def command() -> None:
    """Add, show and remove the MCP servers that the agent may use."""


@command.command("add")
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[-- COMMAND...]")
@click.option("--env", "variables", multiple=True, metavar="KEY=VALUE",
              help="A variable for the command.")  # fmt: skip
@click.option("--url", metavar="URL", help="The address of a server (streamable HTTP).")
@click.option("--bearer-token-env-var", "token_variable", metavar="VARIABLE",
              help="The variable that holds its token.")  # fmt: skip
@click.option("--oauth-client-id", "client_id", metavar="ID",
              help="The client to log in as, where one is registered.")  # fmt: skip
@click.option("--oauth-resource", "resource", metavar="URL",
              help="What a login is for, where that is not the address.")  # fmt: skip
def add(
    name: str,
    words: tuple[str, ...],
    variables: tuple[str, ...],
    url: str | None,
    token_variable: str | None,
    client_id: str | None,
    resource: str | None,
) -> None:
    """Add a server called NAME, or put another in its place: a command, or --url.

    octavo mcp add files -- npx -y some-server /folder
    """
    if bool(words) == (url is not None):
        raise click.UsageError("give either a command after -- or --url URL")
    remote = {
        "--bearer-token-env-var": token_variable,
        "--oauth-client-id": client_id,
        "--oauth-resource": resource,
    }
    entry: dict[str, Any]
    if url is None:
        for option, value in remote.items():
            if value is not None:
                raise click.UsageError(f"{option} means something only together with --url")
        given = {"args": list(words[1:]), "env": dict(pair(one) for one in variables)}
        entry = {"command": words[0], **{key: value for key, value in given.items() if value}}
    else:
        if variables:
            raise click.UsageError("--env is for a command, not for --url")
        oauth = None if client_id is None else {"client_id": client_id}
        keys = {"bearer_token_env_var": token_variable, "oauth": oauth, "oauth_resource": resource}
        entry = {"url": url, **{key: value for key, value in keys.items() if value is not None}}
    write(name, entry)
    click.echo(f"Added global MCP server '{name}'.")
    if url is not None and token_variable is None:
        click.echo(f"If it asks for a login: octavo mcp login {name}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove the server called NAME from config.toml."""
    checked(name)
    if write(name, None):
        click.echo(f"Removed global MCP server '{name}'.")
    else:
        click.echo(f"No MCP server named '{name}' found.")


@command.command("list")
@CONFIG
@JSON
@SECRETS
def list_servers(*, overrides: tuple[str, ...], as_json: bool, show_secrets: bool) -> None:
    """Show every server that the settings here have."""
    from octavo.cli.mcp_show import HTTP, STDIO, table

    loaded, servers = here(overrides)
    states = asyncio.run(auth_of(loaded, servers))
    shown = [
        (shown_as(loaded, one, show_secrets=show_secrets), states[one.name]) for one in servers
    ]
    if as_json:
        echo_json([{**one.json(), **one.limits(), "auth_status": auth} for one, auth in shown])
        return
    if not shown:
        example = "octavo mcp add my-tool -- my-command"
        click.echo(f"No MCP servers configured yet. Try `{example}`.")
        return
    tables = [
        table(head, [one.row(auth) for one, auth in shown if one.stdio == stdio])
        for head, stdio in ((STDIO, True), (HTTP, False))
        if any(one.stdio == stdio for one, _ in shown)
    ]
    click.echo("\n\n".join("\n".join(lines) for lines in tables))


@command.command("get")
@click.argument("name")
@CONFIG
@JSON
@SECRETS
def get(name: str, *, overrides: tuple[str, ...], as_json: bool, show_secrets: bool) -> None:
    """Show the server called NAME."""
    loaded, servers = here(overrides)
    shown = shown_as(loaded, named(servers, name), show_secrets=show_secrets)
    if as_json:
        tools = shown.table.enabled_tools
        lists = {
            "enabled_tools": None if tools is None else list(tools),
            "disabled_tools": list(shown.table.disabled_tools) or None,
        }
        echo_json({**shown.json(), **lists, **shown.limits()})
        return
    for line in shown.text("octavo"):
        click.echo(one_line(line))


@command.command("login")
@click.argument("name")
@CONFIG
@click.option("--scopes", metavar="SCOPE,SCOPE", help="What to ask for, in place of the settings.")
def login(name: str, *, overrides: tuple[str, ...], scopes: str | None) -> None:
    """Log in to the server called NAME, in your browser."""
    from octavo.mcp.login import login as log_in

    loaded, servers = here(overrides)
    settings = loaded.settings
    wanted = tuple(one.strip() for one in (scopes or "").split(",") if one.strip())
    asyncio.run(
        log_in(
            named(servers, name),
            tokens_of(loaded),
            open_browser=browse,
            callback_port=settings.mcp_oauth_callback_port,
            callback_url=settings.mcp_oauth_callback_url,
            scopes=wanted,
            environ=os.environ,
        )
    )
    click.echo(f"Logged in to MCP server '{name}'.")


@command.command("logout")
@click.argument("name")
@CONFIG
def logout(name: str, *, overrides: tuple[str, ...]) -> None:
    """Forget the login to the server called NAME."""
    from octavo.mcp.login import logout as log_out

    loaded, servers = here(overrides)
    if asyncio.run(log_out(named(servers, name), tokens_of(loaded))):
        click.echo(f"Logged out of MCP server '{name}'.")
    else:
        click.echo(f"There is no login to MCP server '{name}'.")


# ---- helpers ----------------------------------------------------------------------------------


def pair(written: str) -> tuple[str, str]:
    """One `--env`."""
    key, equals, value = written.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--env {written}: expected KEY=VALUE")
    return key, value


def checked(name: str) -> None:
    """Raises OctavoError for a name no server can have."""
    from octavo.config.mcp import NAME

    if NAME.fullmatch(name) is None:
        raise OctavoError(f"invalid server name '{name}' (use {LETTERS})")


def write(name: str, entry: "Mapping[str, object] | None") -> bool:
    """Change config.toml; whether anything was different. Raises OctavoError."""
    from octavo.api.sandbox import state_home
    from octavo.config.edit import Edit, apply_edits
    from octavo.config.load import MAIN_FILE
    from octavo.config.mcp import servers_in

    checked(name)
    if entry is not None:
        servers_in({name: entry})  # an error about this one, before the rest of the file is read
    file = os.path.join(state_home(os.environ), MAIN_FILE)
    return apply_edits(file, (Edit(keys=("mcp_servers", name), value=entry),)).changed


def here(overrides: tuple[str, ...]) -> "tuple[Loaded, tuple[McpServer, ...]]":
    """The settings in force, and their servers by name; what is doubtful goes to stderr."""
    from octavo.api.sandbox import state_home
    from octavo.config.mcp import reader_of, servers_in
    from octavo.config.settings import load_settings

    loaded = load_settings(
        home=state_home(os.environ), cwd=os.getcwd(), environ=os.environ, overrides=overrides
    )
    reader = reader_of(loaded)
    servers = servers_in(loaded.settings.mcp_servers, reader, base=loaded.cwd)
    for warning in reader.warnings:
        click.echo(f"octavo: {one_line(warning)}", err=True)
    return loaded, servers


def named(servers: "tuple[McpServer, ...]", name: str) -> "McpServer":
    """One of them. Raises OctavoError."""
    for one in servers:
        if one.name == name:
            return one
    raise OctavoError(f"No MCP server named '{name}' found.")


def shown_as(loaded: "Loaded", server: "McpServer", *, show_secrets: bool) -> "Shown":
    """A server as it is written, for people and programs."""
    import msgspec

    from octavo.cli.mcp_show import Shown
    from octavo.config.mcp import ServerTable

    written = loaded.settings.mcp_servers[server.name]
    table: ServerTable = msgspec.convert(written, ServerTable)
    return Shown(server.name, table, open_secrets=show_secrets)


def tokens_of(loaded: "Loaded") -> "Tokens":
    """Where logins are kept."""
    from octavo.mcp.tokens import Tokens

    return Tokens(loaded.home, loaded.settings.mcp_oauth_credentials_store)


async def auth_of(loaded: "Loaded", servers: "tuple[McpServer, ...]") -> "dict[str, AuthStatus]":
    """How we are known to each server; those that have to be asked are asked side by side."""
    from octavo.mcp.login import auth_status
    from octavo.protocol.mcp import StdioTransport

    tokens = tokens_of(loaded)
    async with asyncio.TaskGroup() as group:
        tasks = {
            one.name: group.create_task(auth_status(one, tokens, environ=os.environ))
            for one in servers
            if one.enabled or isinstance(one.transport, StdioTransport)
        }
    off: AuthStatus = "unknown"  # it is switched off: nobody asks it
    return {one.name: tasks[one.name].result() if one.name in tasks else off for one in servers}


def browse(url: str) -> None:
    """Show an address, and open it where there is something to open it with."""
    click.echo(f"Open this address in your browser to log in:\n{url}")
    graphical = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if graphical:
        click.launch(url)


def echo_json(value: object) -> None:
    """Indented, as the published command has it."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
