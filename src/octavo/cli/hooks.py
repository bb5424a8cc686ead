"""`octavo hooks`: which programs hear of what the agent does, and which of them may run."""

import os
from typing import TYPE_CHECKING

import click

from octavo.cli.words import encodable, one_line
from octavo.protocol.errors import UsageError

if TYPE_CHECKING:
    from octavo.config.hooks import FoundHook, Hooks
    from octavo.config.settings import Loaded

CONFIG = click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)


@click.group("hooks")
def command() -> None:
    """Show the hooks of this folder, and let them run or not."""


@command.command("list")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_hooks(*, overrides: tuple[str, ...], as_json: bool) -> None:
    """Every hook: its number, whether it runs, what it is, where it is written."""
    _, hooks = here(overrides)
    for number, one in enumerate(hooks.found, 1):
        click.echo(as_object(one) if as_json else line(number, one))


@command.command("trust")
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Every hook that waits for a review.")
@click.argument("which", nargs=-1)
def trust(which: tuple[str, ...], *, overrides: tuple[str, ...], everything: bool) -> None:
    """Let hooks run as they are now: by number or key, or all. Look at them first.

    A hook that changes afterwards, or a script it names, waits for a new review.
    """
    from octavo.config.hook_trust import approved, set_trust

    loaded, hooks = here(overrides)
    chosen = selected(hooks, which, everything=everything)
    if everything:
        chosen = [one for one in chosen if one.standing in ("untrusted", "modified")]
    set_trust(loaded.home, approved([(one.hook, one.fingerprint) for one in chosen], loaded.cwd))
    for one in chosen:
        click.echo(f"runs from now on: {described(one)}")


@command.command("untrust")
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Every hook you ever trusted here.")
@click.argument("which", nargs=-1)
def untrust(which: tuple[str, ...], *, overrides: tuple[str, ...], everything: bool) -> None:
    """Keep hooks from running, by number or key, or all."""
    from octavo.config.hook_trust import set_trust

    loaded, hooks = here(overrides)
    chosen = selected(hooks, which, everything=everything)
    set_trust(loaded.home, {one.hook.key: None for one in chosen})
    for one in chosen:
        click.echo(f"does not run any more: {described(one)}")


def here(overrides: tuple[str, ...]) -> "tuple[Loaded, Hooks]":
    """The hooks of the current folder; what is doubtful about them goes to stderr."""
    from octavo.api.sandbox import state_home
    from octavo.config.hooks import load_hooks
    from octavo.config.settings import load_settings

    loaded = load_settings(
        home=state_home(os.environ), cwd=os.getcwd(), environ=os.environ, overrides=overrides
    )
    hooks = load_hooks(loaded)
    for warning in hooks.warnings:
        click.echo(f"octavo: {one_line(warning)}", err=True)
    return loaded, hooks


def selected(hooks: "Hooks", which: tuple[str, ...], *, everything: bool) -> "list[FoundHook]":
    """The hooks a person means. Raises UsageError."""
    if everything == bool(which):
        raise UsageError("say which hooks, or --all", hint="octavo hooks list shows numbers")
    open_ones = [one for one in hooks.found if one.standing != "managed"]
    if everything:
        return open_ones
    return [found(hooks, word) for word in which]


def found(hooks: "Hooks", word: str) -> "FoundHook":
    """One hook, by number or key."""
    for number, one in enumerate(hooks.found, 1):
        if word in (str(number), one.hook.key):
            if one.standing == "managed":
                raise UsageError(f"hook {word} is your administrator's: it always runs")
            return one
    raise UsageError(f"there is no hook {word!r} here", hint="octavo hooks list shows them")


def line(number: int, one: "FoundHook") -> str:
    """A hook as a person reads it."""
    return f"{number:>3}  {one.standing:<9}  {described(one)}"


def described(one: "FoundHook") -> str:
    """Event, what it is about, the command, and where it is written."""
    hook = one.hook
    about = f" [{hook.matcher}]" if hook.matcher else ""
    extra = " (in the background)" if hook.background else ""
    extra += " (blocks when it fails)" if hook.on_failure == "block" else ""
    return one_line(f"{hook.event}{about}: {hook.command}{extra}  ({hook.source})")


def as_object(one: "FoundHook") -> str:
    """A hook as a program reads it."""
    import msgspec

    hook = one.hook
    value = {
        "key": hook.key,
        "standing": one.standing,
        "event": hook.event,
        "matcher": hook.matcher,
        "command": hook.command,
        "timeout_s": hook.timeout_s,
        "async": hook.background,
        "on_failure": hook.on_failure,
        "source": hook.source,
        "fingerprint": one.fingerprint,
    }
    return msgspec.json.encode(encodable(value)).decode()
