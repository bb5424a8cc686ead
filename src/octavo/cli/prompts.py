"""`octavo prompts list`: prompts kept in files, used as `/prompts:NAME words`."""

import os

import click

from octavo.cli.words import encodable, one_line


@click.group("prompts")
def command() -> None:
    """Show the prompts you keep in files."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_prompts(*, as_json: bool) -> None:
    """Every prompt: how it is called, what it is for."""
    import msgspec

    from octavo.api.sandbox import state_home
    from octavo.config.prompts import CALL, Prompt, load_prompts

    found = load_prompts(state_home(os.environ))
    for warning in found.warnings:
        click.echo(f"octavo: {one_line(warning)}", err=True)

    def line(prompt: Prompt) -> str:
        words = f" {prompt.hint}" if prompt.hint else ""
        about = f"  {prompt.description}" if prompt.description else ""
        return f"{CALL}{prompt.name}{words}{about}"

    for prompt in found.found:
        if as_json:
            click.echo(msgspec.json.encode(encodable(msgspec.to_builtins(prompt))).decode())
        else:
            click.echo(one_line(line(prompt)))
