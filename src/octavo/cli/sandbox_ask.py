"""The options of `octavo sandbox`, and what they come to together with the settings."""

import os
from typing import TYPE_CHECKING

import click
from msgspec import Struct
from msgspec.structs import replace

from octavo.api.sandbox import settle, state_home
from octavo.cli.words import one_line
from octavo.config.load import load_sandbox_settings, resolve_profile
from octavo.config.note import write as note_settings
from octavo.config.note_key import NOTE, settings_key
from octavo.protocol.errors import SandboxUnavailable, UsageError
from octavo.protocol.permissions import RuleRef
from octavo.sandbox.launcher import session_for
from octavo.sandbox.request import policy_of
from octavo.sandbox.session import RUNGS, Session
from octavo.sandbox.spec import Policy, Refused
from octavo.sandbox.wish import Wish

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.protocol.permissions import NetworkRules, PermissionRules


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
    allow_hosts: tuple[str, ...] = ()
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
        """Raises UsageError for a device that is none."""
        for name in self.devices:
            inside = name and ".." not in name.split("/") and not name.startswith("/")
            if not inside or not os.path.exists(f"/dev/{name}"):
                raise UsageError(f"--device {name!r}: expected the name of something below /dev")
        return Wish(
            watch_denials=self.log_denials or self.as_json,
            nested_namespaces=self.nested,
            devices=self.devices,
            strict_network=self.network == "none",
        )


def rules_of(ask: Ask) -> "PermissionRules":
    """Settings and flags together."""
    home = state_home(os.environ)
    key = key_before_reading(home)
    settings = load_sandbox_settings(
        home, cwd=ask.folder, profile=ask.settings_profile, overrides=ask.overrides
    )
    if key is not None and ask.settings_profile is None and not ask.overrides:
        note_settings(os.path.join(home, NOTE), key, settings)
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
    if ask.allow_hosts:
        rules = replace(rules, network=with_hosts(rules.network, ask))
    if ask.unix_sockets:
        rules = replace(rules, network=replace(rules.network, unix_sockets=True))
    return rules


def with_hosts(network: "NetworkRules", ask: Ask) -> "NetworkRules":
    """These hosts besides those of the settings. Raises UsageError, ConfigError."""
    if ask.network is not None:
        raise UsageError(f"--network {ask.network} and --allow: give one of them")
    if network.enabled and not (network.allow or network.deny):
        raise UsageError("--allow: the settings allow every host already")
    return replace(
        network,
        enabled=True,
        allow=(*network.allow, *ask.allow_hosts),
        ref=network.ref if network.allow else RuleRef(text="--allow", source="flag"),
    )


def key_before_reading(home: str) -> tuple[object, ...] | None:
    """Of the file that is about to be read; None when there is none."""
    try:
        return settings_key(home)
    except OSError:  # reading it says what is wrong, if anything is
        return None


def profile_of(ask: Ask) -> "EffectiveProfile":
    return settle(rules_of(ask), ask.folder, os.environ)


def refused_plainly(profile: "EffectiveProfile", wish: Wish) -> Policy:
    try:
        return policy_of(profile, wish)
    except Refused as refusal:
        raise SandboxUnavailable(str(refusal), hint=refusal.remedy) from refusal


def session(ask: Ask) -> Session:
    unknown = [rung for rung in ask.rungs if rung not in RUNGS]
    if unknown:
        raise UsageError(f"--rung {unknown[0]!r}: expected one of {', '.join(RUNGS)}")
    return session_for(state_home(os.environ), os.environ, ask.rungs or None)


def note(text: str) -> None:
    click.echo(f"octavo: note: {one_line(text)}", err=True)
