"""`octavo completion SHELL`: the script that makes the shell complete our commands."""

from typing import Final

import click
from click.shell_completion import get_completion_class

SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print a completion script for SHELL.

    \b
    bash:  eval "$(octavo completion bash)"
    zsh:   eval "$(octavo completion zsh)"
    fish:  octavo completion fish | source
    """
    from octavo.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "octavo", "_OCTAVO_COMPLETE").source())
