"""Systems without a launcher for the library: every confined command is refused, with the reason."""

import sys
from typing import TYPE_CHECKING

from octavo.protocol.errors import SandboxUnavailable

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.spec import ProcessSpec
    from octavo.sandbox.confined import Confined
    from octavo.sandbox.wish import Wish


class Platform:
    """Refuses. See `launcher.Launcher`."""

    def __init__(self, session: object) -> None:
        self._session = session

    async def start(
        self,
        spec: "ProcessSpec",
        profile: "EffectiveProfile",
        wish: "Wish",
        *,
        limits: tuple[tuple[str, int], ...],
    ) -> "Confined":
        raise SandboxUnavailable(
            f"this version has no sandbox for {sys.platform}, so {spec.argv[0]!r} was not run",
            hint="use Linux or macOS, or danger-full-access if you accept no sandbox at all",
        )

    def close(self) -> None:
        """Nothing to end."""
