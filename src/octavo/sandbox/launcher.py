"""Start a command under a settled profile, on whatever system this is.

The doors and the library use this; which mechanism confines the command is decided below, and
told in the result.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.confined import Confined
from octavo.sandbox.request import is_limited
from octavo.sandbox.session import RUNGS, Session

if sys.platform == "linux":
    from octavo.sandbox.warm import Platform
elif sys.platform == "darwin":
    from octavo.sandbox.seatbelt import Platform
else:
    from octavo.sandbox.elsewhere import Platform
if sys.platform != "win32":
    from octavo.process import pipes

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.spec import ProcessSpec
    from octavo.sandbox.wish import Wish

HOSTS_NOTE: Final = "rules per host need the managed proxy, which this version does not have: no host can be reached"


class Launcher:
    """Owns what it needs to start commands; `close` ends them all."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._platform: Platform | None = None

    def prepare(self, profile: "EffectiveProfile") -> None:
        """Start what the first command needs, while there is time: it takes a few milliseconds
        here, and some more in a helper. Changes nothing on the machine."""
        if sys.platform == "linux" and not profile.unrestricted:
            if self._platform is None:
                self._platform = Platform(self._session)
            self._platform.prepare()

    async def start(
        self,
        spec: "ProcessSpec",
        profile: "EffectiveProfile",
        *,
        wish: "Wish",
        limits: tuple[tuple[str, int], ...] = (),
    ) -> Confined:
        """Start one command; the caller closes `child`.

        Raises SandboxUnavailable when the profile cannot be held here: nothing was started.
        StartError when the command itself cannot be started.
        """
        if profile.unrestricted:
            return await unconfined(spec, profile, limits)
        if self._platform is None:
            self._platform = Platform(self._session)
        confined = await self._platform.start(spec, profile, wish, limits=limits)
        hosts = (HOSTS_NOTE,) if is_limited(profile) else ()
        confined.notes = (*profile.warnings, *hosts, *confined.notes)
        return confined

    def close(self) -> None:
        """End every command and every helper."""
        if self._platform is not None:
            self._platform.close()
            self._platform = None


async def unconfined(
    spec: "ProcessSpec", profile: "EffectiveProfile", limits: tuple[tuple[str, int], ...]
) -> Confined:
    """danger-full-access: no sandbox is set up at all, so there is nothing to hold a limit either."""
    if limits:
        raise SandboxUnavailable(
            f"limits ({', '.join(name for name, _ in limits)}) are held by the sandbox, and "
            "danger-full-access has none",
            hint="leave the limits out, or use another mode",
        )
    if sys.platform == "win32":
        raise SandboxUnavailable("this version does not start commands on Windows")
    else:  # noqa: RET506 - the checker takes only an else for the other platforms
        return Confined(await pipes.start(spec), rung="none", notes=profile.warnings)


def session_for(
    home: str, environ: Mapping[str, str], rungs: tuple[str, ...] | None = None
) -> Session:
    """The usual session: journal in Octavo's home, $TMPDIR temporary, every mechanism allowed."""
    named = environ.get("TMPDIR", "")
    temporary = (os.path.realpath(named),) if named.startswith("/") else ()
    return Session(
        journal=os.path.join(home, "state", "mountpoints"),
        temporary=temporary,
        rungs=rungs or RUNGS,
    )
