"""What `octavo sandbox` does once its options are read."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from octavo.api.commands import CommandRunner, CompletedCommand
from octavo.api.sandbox import PermissionProfile, Sandbox, settle, state_home
from octavo.cli import limits as limit_words
from octavo.config.load import load_sandbox_settings, resolve_profile
from octavo.config.look import DiskLook
from octavo.process.child import StartError
from octavo.protocol.errors import SandboxUnavailable, UsageError
from octavo.sandbox.launcher import HOSTS_NOTE, Wish, session_for
from octavo.sandbox.request import is_limited, policy_of
from octavo.sandbox.spec import Refused

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.protocol.permissions import PermissionRules

WALL = 124


class Ask(Struct, frozen=True, kw_only=True):
    """The options, as given."""

    argv: tuple[str, ...]
    mode: str | None = None
    permission_profile: str | None = None
    settings_profile: str | None = None
    overrides: tuple[str, ...] = ()
    cwd: str | None = None
    add_dirs: tuple[str, ...] = ()
    network: str | None = None
    limits: tuple[str, ...] = ()
    git_write: bool | None = None
    unprotected: bool = False
    unix_sockets: bool = False
    nested: bool = False
    devices: tuple[str, ...] = ()
    as_json: bool = False
    log_denials: bool = False
    explain: bool = False
    explain_path: str | None = None
    rungs: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The command's folder, without symlinks. Raises UsageError when it is none."""
        named = self.cwd or os.getcwd()
        folder = os.path.realpath(named)
        if not os.path.isdir(folder):
            raise UsageError(f"-C {named}: not a folder")
        return folder

    @property
    def wish(self) -> Wish:
        return Wish(
            watch_denials=self.log_denials or self.as_json,
            nested_namespaces=self.nested,
            devices=self.devices,
            strict_network=self.network == "none",
        )


def rules_of(ask: Ask) -> "PermissionRules":
    """Settings and flags together."""
    settings = load_sandbox_settings(
        state_home(os.environ),
        cwd=ask.folder,
        profile=ask.settings_profile,
        overrides=ask.overrides,
    )
    rules = resolve_profile(
        settings,
        cwd=ask.folder,
        mode=ask.mode,
        permission_profile=ask.permission_profile,
        add_dirs=ask.add_dirs,
        network=None if ask.network is None else ask.network == "on",
        git_write=ask.git_write,
        protect=False if ask.unprotected else None,
    )
    if ask.unix_sockets:
        rules = replace(rules, network=replace(rules.network, unix_sockets=True))
    return rules


def profile_of(ask: Ask) -> "EffectiveProfile":
    return settle(rules_of(ask), ask.folder, os.environ)


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


def refused_plainly(profile: "EffectiveProfile", wish: Wish) -> Any:  # noqa: ANN401 - spec.Policy, which has no room here
    try:
        return policy_of(
            profile,
            notify=wish.watch_denials,
            nested=wish.nested_namespaces,
            devices=wish.devices,
            strict_network=wish.strict_network,
        )
    except Refused as refusal:
        raise SandboxUnavailable(str(refusal), hint=refusal.remedy) from refusal


def session(ask: Ask) -> Any:  # noqa: ANN401
    return session_for(state_home(os.environ), os.environ, ask.rungs or None)


def run_here(ask: Ask) -> int:
    """Run with this process's own stdin, stdout and stderr."""
    wanted = limit_words.parse(ask.limits)
    profile = profile_of(ask)
    for warning in profile.warnings:
        note(warning)
    if is_limited(profile):
        note(HOSTS_NOTE)
    if profile.unrestricted:
        return become(ask, bool(ask.limits))
    if sys.platform == "linux":
        from octavo.cli.sandbox_linux import run

        return run(ask, profile, wanted)
    elif sys.platform == "darwin":  # noqa: RET505 - the checker takes only a chain for platforms
        from octavo.cli.sandbox_macos import run as run_macos

        return run_macos(ask, profile, wanted)
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
        async with CommandRunner(rungs=ask.rungs or None) as runner:
            return await runner.run(
                ask.argv,
                sandbox=Sandbox(profile, wish=ask.wish),
                timeout=wanted.wall_s,
                cwd=ask.folder,
                merge_stderr=False,
                limits=wanted.limits,
            )

    done = asyncio.run(once())
    click.echo(msgspec.json.encode(as_object(done)))
    return WALL if done.limit == "wall" else done.exit_code


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


def note(text: str) -> None:
    click.echo(f"octavo: note: {text}", err=True)
