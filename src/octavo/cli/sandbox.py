"""`octavo sandbox`: the long way, with settings, profiles, limits, explanations and denials."""

import sys
from typing import Any, Final

import click

from octavo.cli.sandbox_ask import Ask
from octavo.cli.sandbox_run import explain_path, explain_plan, run_here, run_json

MODES: Final = ("read-only", "workspace-write", "danger-full-access")
PLATFORMS: Final = {"linux": "linux", "macos": "darwin", "windows": "win32"}
WINDOWS: Final = ("setup", "uninstall", "doctor")
"""Words that are commands of their own when they come first: `-- setup` runs a program."""
WINDOWS_TOO: Final = ("status", "undo", "smoke")
"""The same after `windows`."""
SUBCOMMAND: Final = "octavo.sandbox.subcommand"


class WithSubcommands(click.Command):
    """Runs commands, unless its first word names one of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = 0
        while args[at : at + 1] in (["-c"], ["--config"]):
            at += 2
        first, second = [*args[at : at + 2], "", ""][:2]
        if first in WINDOWS or (first == "windows" and second in WINDOWS_TOO):
            ctx.meta[SUBCOMMAND] = (args[at:], args[1:at:2])
            args = []
        elif first in PLATFORMS:
            check_platform(first, ctx)
            args = [*args[:at], *args[at + 1 :]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        if SUBCOMMAND not in ctx.meta:
            return super().invoke(ctx)
        from octavo.cli.sandbox_windows import command as group

        words, overrides = ctx.meta[SUBCOMMAND]
        inner = group.make_context(ctx.info_name, list(words), parent=ctx.parent, obj=overrides)
        with inner:
            return group.invoke(inner)


def check_platform(name: str, ctx: click.Context) -> None:
    if PLATFORMS[name] != sys.platform:
        raise click.UsageError(f"this is not {name}", ctx=ctx)


@click.command(
    "sandbox",
    cls=WithSubcommands,
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
)
@click.option(
    "-s",
    "--sandbox",
    "mode",
    metavar="MODE",
    help=f"{', '.join(MODES)}. Default: settings, else read-only.",
)
@click.option(
    "-P", "--permission-profile", metavar="PROFILE", help="A [permissions.NAME] of the settings."
)
@click.option(
    "-p", "--profile", "settings_profile", metavar="NAME", help="Also read NAME.config.toml."
)
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting, as TOML."
)
@click.option("-C", "--cd", "cwd", metavar="DIR", help="The command's folder. Default: this one.")
@click.option(
    "--add-dir", "add_dirs", multiple=True, metavar="DIR", help="One more writable folder."
)
@click.option(
    "--network",
    type=click.Choice(["off", "on", "none"]),
    help="off: a private loopback; none: no sockets.",
)
@click.option(
    "--allow",
    "allow_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Reach this host and no other that is not allowed too. Linux.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="memory, processes, cpu, wall, output, file-size, files.",
)
@click.option(
    "--git-write",
    is_flag=True,
    default=None,
    help="Let git commit work; hooks and settings stay closed.",
)
@click.option(
    "--unprotected", is_flag=True, help="Do not keep .git, .codex, .agents, .octavo read-only."
)
@click.option(
    "--unix-sockets",
    is_flag=True,
    help="Allow sockets on the file system (they ignore read-only mounts).",
)
@click.option(
    "--nested", is_flag=True, help="Let the command make namespaces of its own, as browsers do."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="One more node under /dev, for example dri.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Run, then print one JSON object with output, exit code, denials.",
)
@click.option(
    "--log-denials",
    is_flag=True,
    help="Say at the end what was refused, by which rule, and what would allow it.",
)
@click.option(
    "--explain", is_flag=True, help="Print the steps that would confine the command; run nothing."
)
@click.option(
    "--explain-path", metavar="PATH", help="Say what a command may do with PATH, and by which rule."
)
@click.option("--rung", "rungs", multiple=True, hidden=True, help="Try only these mechanisms.")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
def command(argv: tuple[str, ...], **options: object) -> int:
    """Run a command confined by the operating system.

    \b
    octavo sandbox -- make test                      reads everything, writes nothing
    octavo sandbox -s workspace-write -- make test   writes this folder and temporary ones
    octavo sandbox --explain-path ~/.ssh             asks without running anything

    \b
    On Windows: octavo sandbox setup | uninstall | doctor, and
    octavo sandbox windows status | undo | smoke; each has --help. `-- setup` runs a program.

    Exit code: the command's own (128 + n for signal n, 126/127 when it cannot be started, 124
    after --limit wall); 5 when the sandbox cannot be set up, and then nothing ran.
    """
    argv = without_platform(argv)
    ask = Ask(argv=argv, **options)  # type: ignore[arg-type]  # click checked the names and types
    if ask.explain_path is not None:
        return explain_path(ask)
    if not argv:
        raise click.UsageError("no command was given", ctx=click.get_current_context())
    if ask.explain:
        return explain_plan(ask)
    return run_json(ask) if ask.as_json else run_here(ask)


def without_platform(argv: tuple[str, ...]) -> tuple[str, ...]:
    """`sandbox linux -- CMD` as the reference takes it: the name must be this system's."""
    if not argv or argv[0] not in PLATFORMS:
        return argv
    check_platform(argv[0], click.get_current_context())
    return argv[1:]
