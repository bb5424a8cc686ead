"""`octavo sandbox` on Linux: the short way's launcher with everything switched on."""

import os
import sys
import time
from typing import TYPE_CHECKING

import click

assert sys.platform == "linux"

from octavo.api.commands import LIMIT_SIGNALS, kernel_limits
from octavo.cli.sandbox_ask import note, refused_plainly, session
from octavo.cli.words import one_line
from octavo.process.child import StartError
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox import ladder
from octavo.sandbox.here import SPAWN_FAILED, Watch, watcher
from octavo.sandbox.spec import Command, Unavailable
from octavo.sandbox.warm import new_judge

if TYPE_CHECKING:
    from octavo.cli.limits import Parsed
    from octavo.cli.sandbox_ask import Ask
    from octavo.policy.profile import EffectiveProfile
    from octavo.sandbox.denial import Judge
    from octavo.sandbox.ladder import Ran

WALL, LIMIT = 124, 7


def run(ask: "Ask", profile: "EffectiveProfile", wanted: "Parsed") -> int:
    """Run with our own stdin, stdout and stderr; afterwards say what was refused."""
    policy = refused_plainly(profile, ask.wish)
    command = Command(
        ask.argv,
        ask.folder,
        ladder.environment(os.environ, policy),
        limits=kernel_limits(wanted.limits),
    )
    judge = new_judge(profile) if policy.notify else None
    began = time.monotonic()
    watch = watcher(
        Watch(
            wall_s=wanted.wall_s,
            output_bytes=wanted.limits.output_bytes,
            network=policy.network,
            unix=policy.unix,
            nested=policy.nested,
        ),
        judge,
        clock=lambda: round((time.monotonic() - began) * 1000),
    )
    try:
        ran = ladder.run(policy, command, session(ask), watch)
    except Unavailable as problem:
        raise SandboxUnavailable("; ".join(problem.reasons), hint=problem.remedy) from problem
    for text in ran.plan.notes:
        note(text)
    if ran.plan.weaker:
        note(f"weaker sandbox ({ran.plan.rung}): " + "; ".join(ran.plan.weaker))
    report_denials(judge)
    return exit_code(ask, ran)


def report_denials(judge: "Judge | None") -> None:
    if judge is None:
        return
    for denial in judge.denials:
        click.echo(f"octavo: denied: {one_line(str(denial))}", err=True)
    if not judge.denials:
        click.echo("octavo: nothing was denied", err=True)


def exit_code(ask: "Ask", ran: "Ran") -> int:
    record = ran.ended.record
    if record is not None and record.kind == SPAWN_FAILED:
        error = OSError(record.errno, os.strerror(record.errno))
        problem = StartError(ask.argv[0], error)
        click.echo(f"octavo: {problem}", err=True)
        return problem.shell_code
    limit = ran.ended.limit
    if limit is None and record is not None:
        limit = LIMIT_SIGNALS.get(record.value & 0x7F)
    if limit is not None and any(word.startswith(limit + "=") for word in ask.limits):
        click.echo(f"octavo: ended by the limit on {limit}", err=True)
        return WALL if limit == "wall" else LIMIT
    return ran.ended.exit_code
