"""A folder, a profile and what follows from them: how commands start, what the model is told."""

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from octavo.engine.context import Entry, Surroundings
from octavo.engine.session import Workspace
from octavo.policy.paths import printable
from octavo.policy.profile import EffectiveProfile
from octavo.process.spec import ProcessSpec
from octavo.protocol.errors import SandboxUnavailable, UsageError
from octavo.protocol.permissions import Access
from octavo.sandbox.confined import Confined
from octavo.sandbox.launcher import Launcher
from octavo.sandbox.wish import Wish
from octavo.tools.base import itself
from octavo.tools.launcher import ProfileAccess, SandboxLauncher

MOST_HASHED: Final = 8 << 20
"""Larger files are not worth the time: nobody reads one whole."""

if TYPE_CHECKING:
    from octavo.sandbox.gate import Asker


class Watched:
    """A launcher that remembers when the sandbox itself could not be set up."""

    def __init__(self, launcher: SandboxLauncher) -> None:
        self._launcher = launcher
        self.problem: SandboxUnavailable | None = None
        """The first time nothing could be started, because this machine cannot confine it."""

    def prepare(self) -> None:
        """See `octavo.tools.base.Launcher`."""
        self._launcher.prepare()

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """See `octavo.tools.base.Launcher`."""
        try:
            return await self._launcher.start(spec, escalated=escalated)
        except SandboxUnavailable as error:
            self.problem = self.problem or error
            raise


def workspace(
    profile: EffectiveProfile,
    *,
    cwd: str,
    launcher: Launcher,
    wish: Wish,
    environment: Mapping[str, str],
    shell: str,
    surroundings: Surroundings,
    asker: "Asker | None" = None,
) -> Workspace:
    """What a session needs to run commands in `cwd` under `profile`."""
    return Workspace(
        cwd=cwd,
        launcher=Watched(
            SandboxLauncher(launcher, profile, wish=replace(wish, watch_denials=True), asker=asker)
        ),
        access=ProfileAccess(profile),
        environment=dict(environment),
        shell=shell,
        surroundings=described(profile, surroundings),
        sandboxed=not profile.unrestricted,
        policy=policy_line(profile),
    )


def described(profile: EffectiveProfile, base: Surroundings) -> Surroundings:
    """The surroundings with what the profile allows."""
    writable = tuple(
        rule.path for rule in profile.rules if rule.access is Access.WRITE and not rule.protected
    )
    custom = profile.mode is None
    entries = tuple(
        Entry(path=rule.path, access=str(rule.access)) for rule in profile.rules if custom
    )
    denied = tuple(Entry(path=rule.path, access="none") for rule in profile.deny_globs)
    return replace(
        base,
        sandbox=profile.mode or profile.name,
        network=network_word(profile),
        writable=() if profile.unrestricted else writable,
        roots=(base.cwd, *profile.places.workspace_roots),
        entries=(*entries, *denied),
    )


def network_word(profile: EffectiveProfile) -> str:
    """off, on, or limited."""
    rules = profile.network
    if profile.unrestricted or (rules.enabled and not rules.allow and not rules.deny):
        return "on"
    return "limited" if rules.enabled else "off"


def policy_line(profile: EffectiveProfile) -> dict[str, Any]:
    """The profile as a sandbox policy of the published form; `custom` where it has none."""
    network = network_word(profile) == "on"
    if profile.unrestricted:
        return {"type": "danger-full-access"}
    if profile.mode == "read-only":
        return {"type": "read-only"}
    if profile.mode == "workspace-write":
        cwd = profile.places.cwd
        roots = [
            rule.path
            for rule in profile.rules
            if rule.access is Access.WRITE and rule.root and rule.path != cwd
        ]
        return {
            "type": "workspace-write",
            "writable_roots": roots,
            "network_access": network,
            "exclude_tmpdir_env_var": profile.tmpdir is None,
            "exclude_slash_tmp": profile.slash_tmp is None,
        }
    return {"type": "custom", "name": profile.name}


def short_hash(
    cwd: str, path: str, located: Callable[[str], tuple[str, str | None]] = itself
) -> str | None:
    """The content of a file, as twelve hexadecimal digits; None for what is no readable file."""
    try:
        named = located(os.path.join(cwd, path))[1] or ""
        if not os.path.isfile(named) or os.path.getsize(named) > MOST_HASHED:
            return None
        with open(named, "rb") as file:
            return sha256(file.read()).hexdigest()[:12]
    except (OSError, ValueError):
        return None


def real(path: str | os.PathLike[str] | None) -> str:
    """A folder without symlinks; the current one for None. Raises UsageError for a name no record
    and no request can carry."""
    found: str = os.path.realpath(os.getcwd() if path is None else path)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the name of this folder is not UTF-8: {printable(found)}",
            hint="rename it, or work in a folder around it",
        ) from None
    return found
