"""What a program says about confinement: a mode or a profile of its own, and asks about paths."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Self

from msgspec.structs import replace

from octavo.config.home import find_home, places_for
from octavo.config.look import DiskLook
from octavo.policy.paths import inward
from octavo.policy.profile import EffectiveProfile, Explanation, effective, from_mapping, preset
from octavo.protocol.errors import UsageError
from octavo.protocol.permissions import Access, NetworkRules, PermissionRules, RuleRef
from octavo.sandbox.wish import Wish

PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class PermissionProfile:
    """Which paths and hosts a command may use. Ask it before anything runs.

    >>> profile = PermissionProfile.from_mapping({"filesystem": {":root": "read", ":cwd": "write"}})
    >>> profile.access("notes.txt")
    <Access.WRITE: 'write'>
    """

    def __init__(
        self, rules: PermissionRules, *, cwd: str | os.PathLike[str] | None = None
    ) -> None:
        self.rules = rules
        """As written, with special roots still in it."""
        self._cwd = None if cwd is None else os.path.realpath(cwd)

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, object], *, cwd: str | os.PathLike[str] | None = None
    ) -> Self:
        """From a mapping of the shape of a `[permissions.NAME]` table.

        `filesystem` maps `:root`, `:cwd`, `:tmpdir`, `:minimal`, absolute, `~/` and `./` paths to
        "read", "write" or "none"; `network` is a bool or `{"allow": [hosts], "deny": [hosts]}`.
        Relative paths lie in `cwd`, which defaults to this process's. Raises UsageError.
        """
        return cls(from_mapping(mapping), cwd=cwd)

    def access(self, path: str | os.PathLike[str]) -> Access:
        """What a command may do with a path; symlinks are followed and both ends count."""
        return self.settled().access_links(os.fspath(path), DiskLook())

    def explain(self, path: str | os.PathLike[str]) -> Explanation:
        """The same with the rule that decided; printing it gives one sentence."""
        return self.settled().explain(os.fspath(path), DiskLook())

    def settled(
        self, cwd: str | None = None, environ: Mapping[str, str] | None = None
    ) -> EffectiveProfile:
        """Every path absolute and decided, for one folder. Raises PolicyError for contradictions."""
        folder = cwd or self._cwd or os.path.realpath(os.getcwd())
        return settle(self.rules, folder, os.environ if environ is None else environ)


class Sandbox:
    """How a command is confined. Make one with the class methods; it can be used many times."""

    def __init__(self, profile: PermissionProfile, *, wish: Wish | None = None) -> None:
        self.profile = profile
        self.wish = wish or Wish()

    @classmethod
    def read_only(cls, *, network: bool = False) -> Self:
        """Reads everything, writes nothing."""
        return cls(PermissionProfile(preset("read-only", network=network)))

    @classmethod
    def workspace_write(
        cls,
        *,
        writable_roots: Sequence[str | os.PathLike[str]] = (),
        network: bool = False,
        git_write: bool = False,
        protect: bool = True,
    ) -> Self:
        """Writes the command's folder, temporary folders and `writable_roots` (absolute).

        `.git`, `.codex`, `.agents` and `.octavo` in them stay read-only unless `protect` is
        false; `git_write` lets `git commit` work while hooks and settings stay closed.
        """
        roots = [os.path.abspath(root) for root in writable_roots]
        rules = preset(
            "workspace-write",
            network=network,
            writable_roots=roots,
            git_write=git_write,
            protect=protect,
        )
        return cls(PermissionProfile(rules))

    @classmethod
    def danger_full_access(cls) -> Self:
        """No sandbox at all."""
        return cls(PermissionProfile(preset("danger-full-access")))

    @classmethod
    def from_profile(
        cls,
        profile: PermissionProfile,
        *,
        nested_namespaces: bool = False,
        devices: Sequence[str] = (),
        strict_network: bool = False,
    ) -> Self:
        """A profile of your own. `devices` are further names under /dev, for example "dri".

        `nested_namespaces` lets browsers sandbox themselves; `strict_network` refuses even a
        private loopback.
        """
        wish = Wish(
            nested_namespaces=nested_namespaces,
            devices=tuple(devices),
            strict_network=strict_network,
        )
        return cls(profile, wish=wish)

    def with_network(self, network: bool | Sequence[str]) -> "Sandbox":  # noqa: FBT001 - a value
        """The same with the network on, off, or reaching these hosts besides those of the profile:
        `HOST`, `HOST:PORT`, `*.HOST` and the other patterns of a profile.

        Raises UsageError where every host is reached already, or there is no sandbox to hold it.
        """
        rules = self.profile.rules
        ref = RuleRef(text="network=", source="program")
        if rules.unrestricted:
            if network is True:
                return self
            raise UsageError("network: danger-full-access has no sandbox to hold it")
        if isinstance(network, bool):
            found = NetworkRules(enabled=network, ref=ref)
        elif isinstance(network, str):
            raise UsageError("network is a list of hosts", hint='network=["example.org:443"]')
        elif rules.network.enabled and not rules.network.by_host:
            raise UsageError("network: the sandbox lets every host be reached already")
        else:
            allow = (*rules.network.allow, *network)
            found = replace(rules.network, enabled=bool(allow), allow=allow, ref=ref)
        profile = PermissionProfile(replace(rules, network=found), cwd=self.profile._cwd)
        return Sandbox(profile, wish=self.wish)


def settle(
    rules: PermissionRules, cwd: str, environ: Mapping[str, str], *, home: str | None = None
) -> EffectiveProfile:
    """The profile for one folder and environment. `home`: an Octavo home that the environment
    does not name, closed to commands like that one. Raises PolicyError for contradictions."""
    places = places_for(
        cwd=cwd,
        user_home=user_home(environ),
        environ=environ,
        platform=sys.platform,
    )
    # our own program is obeyed later, outside the sandbox: as closed as our own settings
    own = (PACKAGE,) if home is None else (home, PACKAGE)
    known = dict.fromkeys((*places.own_homes, *map(inward, own)))
    places = replace(places, own_homes=tuple(known))
    return effective(rules, places, look=DiskLook())


def user_home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def state_home(environ: Mapping[str, str]) -> str:
    """Octavo's home folder, which may be missing. Raises ConfigError for one that is named and is not there."""
    return find_home(environ, user_home(environ))
