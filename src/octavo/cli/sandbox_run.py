"""What `octavo sandbox` does once its options are read."""

import asyncio
import os
import sys
from typing import Final

import click
import msgspec

from octavo.api.commands import CommandRunner, CompletedCommand
from octavo.api.sandbox import PermissionProfile, Sandbox
from octavo.cli import limits as limit_words
from octavo.cli.sandbox_ask import Ask, note, profile_of, refused_plainly, rules_of, session
from octavo.cli.words import encodable
from octavo.config.look import DiskLook
from octavo.process.child import StartError
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.launcher import GATES, HOSTS_NOTE
from octavo.sandbox.request import is_limited

WALL: Final = 124
LIMIT: Final = 7


def explain_path(ask: Ask) -> int:
    """One sentence: what a command may do with the path, and by which rule."""
    assert ask.explain_path is not None
    explanation = profile_of(ask).explain(ask.explain_path, DiskLook())
    if ask.as_json:
        click.echo(msgspec.json.encode(explanation))
    else:
        click.echo(explanation.sentence)
    return 0


def explain_plan(ask: Ask) -> int:
    """The steps, in order, of the strongest mechanism that holds the policy."""
    profile = profile_of(ask)
    if profile.unrestricted:
        click.echo("danger-full-access: no sandbox at all; the command is started as it is")
        return 0
    if sys.platform == "linux":
        from octavo.cli.explain_linux import explain

        return explain(ask.argv, refused_plainly(profile, ask.wish), session(ask))
    elif sys.platform == "darwin":  # noqa: RET505 - the checker takes only a chain for platforms
        from octavo.cli.sandbox_macos import explain as explain_macos

        return explain_macos(ask, profile)
    else:
        raise SandboxUnavailable(f"this version has no sandbox for {sys.platform}")


def run_here(ask: Ask) -> int:
    """Run with this process's own stdin, stdout and stderr."""
    wanted = limit_words.parse(ask.limits)
    profile = profile_of(ask)
    for warning in profile.warnings:
        note(warning)
    if is_limited(profile) and profile.network.enabled and GATES and not profile.unrestricted:
        from octavo.cli.sandbox_hosts import run_with_hosts

        return run_with_hosts(ask, wanted)
    if is_limited(profile):
        note(HOSTS_NOTE)
    if profile.unrestricted and sys.platform != "win32":  # there nothing becomes another program
        return become(ask, bool(ask.limits))
    if sys.platform == "linux":
        from octavo.cli.sandbox_linux import run

        return run(ask, profile, wanted)
    elif sys.platform == "darwin":  # noqa: RET505 - the checker takes only a chain for platforms
        from octavo.cli.sandbox_macos import run as run_macos

        return run_macos(ask, profile, wanted)
    elif sys.platform == "win32":
        from octavo.cli.sandbox_bridge_windows import run as run_windows

        return run_windows(ask, profile, wanted)
    else:
        raise SandboxUnavailable(f"this version has no sandbox for {sys.platform}")


def become(ask: Ask, has_limits: bool) -> int:  # noqa: FBT001 - one caller, just above
    """danger-full-access: no set-up of any kind; this process becomes the command."""
    if has_limits:
        raise SandboxUnavailable("limits are held by the sandbox, and danger-full-access has none")
    os.chdir(ask.folder)
    sys.stdout.flush()
    try:
        os.execvp(ask.argv[0], ask.argv)
    except OSError as error:
        raise StartError(ask.argv[0], error) from error


def run_json(ask: Ask) -> int:
    """Run with the output captured, and print one object."""
    wanted = limit_words.parse(ask.limits)
    profile = PermissionProfile(rules_of(ask), cwd=ask.folder)

    async def once() -> CompletedCommand:
        async with CommandRunner(
            rungs=ask.rungs or None, profile=ask.settings_profile, overrides=ask.overrides
        ) as runner:
            return await runner.run(
                ask.argv,
                sandbox=Sandbox(profile, wish=ask.wish),
                timeout=wanted.wall_s,
                cwd=ask.folder,
                merge_stderr=False,
                limits=wanted.limits,
            )

    done = asyncio.run(once())
    click.echo(msgspec.json.encode(encodable(msgspec.to_builtins(as_object(done)))))
    if done.limit is not None:
        return WALL if done.limit == "wall" else LIMIT
    return done.exit_code


def as_object(done: CompletedCommand) -> dict[str, object]:
    return {
        "argv": done.argv,
        "exit_code": done.exit_code,
        "signal": done.signal,
        "stdout": done.output.text,
        "stderr": done.stderr.text if done.stderr else "",
        "omitted_bytes": done.output.omitted_bytes
        + (done.stderr.omitted_bytes if done.stderr else 0),
        "denials": done.denials,
        "duration_ms": done.duration_ms,
        "limit": done.limit,
        "rung": done.rung,
        "notes": done.notes,
    }
