"""`octavo resume` and `octavo fork`: until there is a terminal UI, the same as under `exec`."""

import click

from octavo.cli.exec import command as execute

PASS_ON = {"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


@click.command(context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[ID] PROMPT [OPTIONS]")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> int:
    """Go on with a thread, by id or name, or with --last.

    There is no terminal UI yet: this does the same as `octavo exec resume` and needs a PROMPT. All
    options of `octavo exec` may be given.
    """
    return passed_on(context, "resume", words)


@click.command(context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="ID PROMPT [OPTIONS]")
@click.pass_context
def fork(context: click.Context, words: tuple[str, ...]) -> int:
    """Begin a new thread where another one is.

    There is no terminal UI yet: this does the same as `octavo exec fork` and needs a PROMPT. All
    options of `octavo exec` may be given.
    """
    return passed_on(context, "fork", words)


def passed_on(context: click.Context, name: str, words: tuple[str, ...]) -> int:
    with execute.make_context(context.info_name, [name, *words], parent=context.parent) as inner:
        code: int = execute.invoke(inner)
        return code
