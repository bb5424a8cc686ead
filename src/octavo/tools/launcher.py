"""The real launcher and the real access of a thread: one settled profile for both."""

from typing import TYPE_CHECKING

from octavo.config.look import DiskLook
from octavo.policy.profile import EffectiveProfile, hides
from octavo.process.spec import ProcessSpec
from octavo.protocol.permissions import Access as Level
from octavo.sandbox.confined import Confined
from octavo.sandbox.hints import hinted
from octavo.sandbox.launcher import Launcher as Platform
from octavo.sandbox.launcher import unconfined
from octavo.sandbox.wish import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.sandbox.gate import Asker


class SandboxLauncher:
    """Starts commands of one thread under its profile, in a session that stays warm.

    `platform` belongs to the caller, who closes it. `limits` are kernel limits by name.
    """

    def __init__(
        self,
        platform: Platform,
        profile: EffectiveProfile,
        *,
        wish: Wish | None = None,
        limits: "Mapping[str, int] | None" = None,
        asker: "Asker | None" = None,
    ) -> None:
        self._asker = asker
        self._platform = platform
        self._profile = profile
        self._wish = wish or Wish(watch_denials=True)
        self._limits = tuple((limits or {}).items())

    def prepare(self) -> None:
        """Start what the first command needs, while there is time for it."""
        self._platform.prepare(self._profile)

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """Start a command under the profile, or with none when `escalated`.

        Raises StartError, SandboxUnavailable (nothing was started).
        """
        if escalated:
            return await unconfined(spec, self._profile, ())
        confined = await self._platform.start(
            spec, self._profile, wish=self._wish, limits=self._limits, asker=self._asker
        )
        confined.hints = lambda output: hinted(self._profile, output)
        return confined


class ProfileAccess:
    """What a settled profile says about paths on this machine's disk."""

    def __init__(self, profile: EffectiveProfile) -> None:
        self._profile = profile
        self._look = DiskLook()

    @property
    def name(self) -> str:
        return self._profile.name

    @property
    def network(self) -> bool:
        network = self._profile.network
        return network.enabled and not (network.allow or network.deny)

    @property
    def read_only(self) -> bool:
        return not any(rule.access is Level.WRITE for rule in self._profile.rules)

    @property
    def hides(self) -> bool:
        return hides(self._profile)

    @property
    def hidden(self) -> tuple[str, ...]:
        rules = (*self._profile.rules, *self._profile.deny_globs)
        return tuple(rule.path for rule in rules if rule.access is Level.NONE)

    def reads(self, path: str) -> bool:
        return self._level(path) is not Level.NONE

    def writes(self, path: str) -> bool:
        return self._level(path) is Level.WRITE

    def _level(self, path: str) -> Level:
        try:
            return self._profile.access_links(path, self._look)
        except ValueError:  # a NUL character: no such file
            return Level.NONE
