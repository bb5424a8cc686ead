"""`octavo debug`: the settings in force with their origin, and the schema of the file."""

import os

import click
import msgspec


@click.group("debug")
def command() -> None:
    """Show the settings in force, or their schema."""


@command.command("config-schema")
def schema() -> None:
    """The JSON schema of config.toml, for editors."""
    from octavo.config.schema_json import config_schema

    click.echo(msgspec.json.format(msgspec.json.encode(config_schema()), indent=2))


@command.command("config")
@click.option("-p", "--profile", metavar="NAME", help="With NAME.config.toml over the usual ones.")
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
@click.option("--strict-config", "strict", is_flag=True, help="Unknown keys are errors.")
def config(*, profile: str | None, overrides: tuple[str, ...], strict: bool) -> None:
    """Every setting somebody chose, its value, and where: layer, file, line."""
    from octavo.api.sandbox import state_home
    from octavo.config.settings import load_settings

    loaded = load_settings(
        home=state_home(os.environ),
        cwd=os.getcwd(),
        environ=os.environ,
        overrides=overrides,
        profile=profile,
        strict=strict,
    )
    for warning in loaded.warnings:
        click.echo(f"octavo: {warning}", err=True)
    for keys, value in chosen(loaded.stack.merged.table):
        where = loaded.origin(*keys)
        place = where.file or ""
        if where.line is not None:
            place += f":{where.line}"
        shown = hidden(keys) or msgspec.json.encode(value, enc_hook=str).decode()
        click.echo(f"{'.'.join(keys)} = {shown}    ({where.layer} {place})".replace(" )", ")"))


def chosen(table: object, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    """All values of a table, with their keys."""
    if not isinstance(table, dict):
        return [(above, table)]
    return [one for key, value in table.items() for one in chosen(value, (*above, str(key)))]


def hidden(keys: tuple[str, ...]) -> str:
    """What is not shown: tokens, and headers that may carry one."""
    secret = any("token" in key and "limit" not in key for key in keys) or "http_headers" in keys
    return "..." if secret else ""
