"""`octavo sandbox`, `--explain` and `doctor` on macOS."""

import os
import sys
from typing import TYPE_CHECKING, Final

import click

assert sys.platform == "darwin"

from octavo.api.commands import kernel_limits
from octavo.cli.facts import Fact
from octavo.cli.sandbox_ask import note
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.backends import macos
from octavo.sandbox.seatbelt import denials_of, new_tag, plan_for

if TYPE_CHECKING:
    from octavo.cli.limits import Parsed
    from octavo.cli.sandbox_ask import Ask
    from octavo.policy.profile import EffectiveProfile

WALL: Final = 124
GRACE_S: Final = 2.0


def explain(ask: "Ask", profile: "EffectiveProfile") -> int:
    """Print the Seatbelt profile and its parameters. Nothing is run."""
    plan = plan_for(profile, ask.wish)
    click.echo(plan.profile)
    for key, value in plan.parameters.items():
        click.echo(f"; {key} = {value!r}")
    for text in plan.notes:
        click.echo(f"; note: {text}")
    return 0


def run(ask: "Ask", profile: "EffectiveProfile", wanted: "Parsed") -> int:
    """Run with our own stdin, stdout and stderr; afterwards say what was refused."""
    if kernel_limits(wanted.limits) or wanted.limits.output_bytes is not None:
        raise SandboxUnavailable("only --limit wall is held on macOS in this version")
    launch, denials = macos()
    tag = new_tag() if ask.log_denials else ""
    plan = plan_for(profile, ask.wish, tag=tag)
    for text in plan.notes:
        note(text)
    log = denials.LogStream() if ask.log_denials else None
    if log is not None and not log.start():
        note(f"the system log cannot be read, so denials are not listed: {log.problem}")
    running = launch.start(
        plan,
        ask.argv,
        env=dict(os.environ),
        cwd=ask.folder,
        stdin=0,
        stdout=1,
        stderr=2,
        new_session=False,
    )
    with running:
        code = running.wait(wanted.wall_s)
        if code is None:
            running.end(GRACE_S)
            click.echo("octavo: ended by the limit on wall", err=True)
            code = WALL
    if log is not None:
        for denial in denials_of(plan, denials.select(log.stop(), tag=tag, pids=())):
            click.echo(f"octavo: denied: {denial}", err=True)
    return int(code)


def facts() -> list[Fact]:
    """Can Seatbelt be used by this process?"""
    launch, _ = macos()
    problem = launch.probe()
    if problem is None:
        return [Fact(name="sandbox", state="ok", text="Seatbelt is used")]
    return [
        Fact(
            name="sandbox",
            state="problem",
            text=problem,
            remedy="run Octavo outside other sandboxes",
        )
    ]
