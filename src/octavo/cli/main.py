"""The table of commands, each loaded when it is asked for, and errors as one line each."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from octavo._version import __version__
from octavo.cli.report import INTERRUPTED, complain, guarded

COMMANDS: Final = {
    "exec": ("octavo.cli.exec:command", "Do one piece of work and end."),
    "review": ("octavo.cli.review:command", "Have changes reviewed."),
    "resume": ("octavo.cli.resume:command", "Go on with a thread."),
    "fork": ("octavo.cli.resume:fork", "Begin a new thread where another one is."),
    "sessions": ("octavo.cli.threads:sessions", "List threads, or search them."),
    "archive": ("octavo.cli.threads:archive", "Put a thread aside."),
    "unarchive": ("octavo.cli.threads:unarchive", "Bring a thread back."),
    "delete": ("octavo.cli.threads:delete", "Remove a thread for good."),
    "app-server": (
        "octavo.cli.appserver:command",
        "Serve editors and clients in other languages.",
    ),
    "mcp": ("octavo.cli.mcp:command", "Add, show and remove MCP servers."),
    "mcp-server": ("octavo.cli.mcp_server:command", "Offer the agent as tools over MCP."),
    "replay": ("octavo.cli.replay:command", "Play a recorded session again, and compare."),
    "undo": ("octavo.cli.undo:undo", "Put files back as they were before a turn."),
    "redo": ("octavo.cli.undo:redo", "Take an undo back."),
    "keep": ("octavo.cli.overlay:keep", "Bring the changes of an overlay into the folder."),
    "drop": ("octavo.cli.overlay:drop", "Throw the changes of an overlay away."),
    "diff": ("octavo.cli.undo:diff", "Show what a thread changed."),
    "audit": ("octavo.cli.audit:audit", "Check and read the record of what was done."),
    "sandbox": ("octavo.cli.sandbox:command", "Run a command inside the sandbox."),
    "network": ("octavo.cli.network:command", "Say what rules per host would do."),
    "apply-patch": ("octavo.cli.apply_patch:command", "Change files as a patch says, or none."),
    "demo": (
        "octavo.cli.demo:command",
        "Watch a recorded session; everything but the model is real.",
    ),
    "doctor": (
        "octavo.cli.doctor:command",
        "Say what this machine can enforce, and what would help.",
    ),
    "models": ("octavo.cli.models:command", "List known models; ask a server what it can do."),
    "execpolicy": ("octavo.cli.execpolicy:group", "Say what rule files decide about a command."),
    "hooks": ("octavo.cli.hooks:command", "Show the hooks of this folder; let them run or not."),
    "skills": ("octavo.cli.skills:command", "List the skills of this folder."),
    "prompts": ("octavo.cli.prompts:command", "List the prompts you keep in files."),
    "debug": ("octavo.cli.debug:command", "Show the settings in force, or their schema."),
    "completion": ("octavo.cli.completion:command", "Print a completion script for your shell."),
}
ALIASES: Final = {"e": "exec"}


class LazyGroup(click.Group):
    """Lists every command without loading any; loads the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`-c` before a command's name is the same as after it."""
        name, command, rest = super().resolve_command(ctx, args)
        given = [word for one in ctx.params.get("overrides", ()) for word in ("-c", one)]
        if given and command is not None:
            at, inner = 0, command
            if isinstance(command, click.Group) and rest:
                at, inner = 1, command.get_command(ctx, rest[0]) or command
            if not takes_settings(inner):
                raise click.UsageError(f"`octavo {name}` takes no -c", ctx)
            rest = [*rest[:at], *given, *rest[at:]]
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="octavo %(version)s")
@click.option(
    "-c",
    "--config",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, as TOML or plain text.",
)
def cli(overrides: tuple[str, ...]) -> None:
    """A coding agent that runs on your machine, inside a sandbox the operating system enforces.

    Exit codes of our own: 1 the work failed, 2 wrong use, 3 wrong settings, 4 forbidden by policy, 5 no sandbox
    here (nothing ran), 7 a limit was reached, 70 a defect. Everything else comes from the command.
    """


def takes_settings(command: click.Command) -> bool:
    """Has it `-c` itself, or words that are passed on to one that has?"""
    return any(parameter.name in ("overrides", "words") for parameter in command.params)


def run(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code. Nothing but one line per error reaches a person."""
    return guarded(lambda: clicked(argv))


def clicked(argv: Sequence[str]) -> int:
    """The same, with click's own endings understood."""
    try:
        result = cli.main(args=list(argv), prog_name="octavo", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message(), err=True)
        return problem.exit_code
    except click.ClickException as problem:
        return complain(problem.format_message(), hint_of(problem), problem.exit_code)
    return result if isinstance(result, int) else 0


def hint_of(problem: click.ClickException) -> str | None:
    context = getattr(problem, "ctx", None)
    return None if context is None else f"{context.command_path} --help"
