"""The library's side of starting confined commands on Windows; everywhere else they are refused."""

import sys
from typing import TYPE_CHECKING

from octavo.protocol.errors import SandboxUnavailable

if sys.platform == "win32":
    from octavo.sandbox.backends import windows_platform

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.spec import ProcessSpec
    from octavo.sandbox.confined import Confined
    from octavo.sandbox.session import Session
    from octavo.sandbox.wish import Wish

    if sys.platform == "win32":
        from octavo.sandbox.win32.launch import Platform as Windows


class Platform:
    """See `launcher.Launcher`."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        if sys.platform == "win32":
            self._made: Windows | None = None

    async def start(
        self,
        spec: "ProcessSpec",
        profile: "EffectiveProfile",
        wish: "Wish",
        *,
        limits: tuple[tuple[str, int], ...],
    ) -> "Confined":
        if sys.platform == "win32":
            return await self._windows().start(spec, profile, wish, limits=limits)
        else:  # noqa: RET505 - the checker takes only an else for the other platforms
            raise SandboxUnavailable(
                f"this version has no sandbox for {sys.platform}, so {spec.argv[0]!r} was not run",
                hint="use Linux or macOS, or danger-full-access if you accept no sandbox at all",
            )

    def close(self) -> None:
        """Commands belong to their callers; wait for what is left to do after the last of them."""
        if sys.platform == "win32" and self._made is not None:
            self._made.close()

    if sys.platform == "win32":

        async def ports(self, profile: "EffectiveProfile") -> tuple[int, ...]:
            """Where a proxy may wait for a command with rules per host. Raises SandboxUnavailable."""
            return await self._windows().ports(profile)

        def _windows(self) -> "Windows":
            if self._made is None:
                self._made = windows_platform(self._session)
            return self._made
