"""Start a command under a settled profile, on whatever system this is.

The doors and the library use this; which mechanism confines the command is decided below, and
told in the result.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from octavo.process.run import start
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.confined import Confined
from octavo.sandbox.request import is_limited, takes_gateway
from octavo.sandbox.session import RUNGS, Session, WindowsChoice

if sys.platform == "linux":
    from octavo.sandbox.warm import Platform
elif sys.platform == "darwin":
    from octavo.sandbox.seatbelt import Platform
else:
    from octavo.sandbox.elsewhere import Platform

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.child import Child
    from octavo.process.spec import ProcessSpec
    from octavo.sandbox.gate import Asker, Gate, Served
    from octavo.sandbox.wish import Wish

GATES: Final = {"linux": "network", "darwin": "port", "win32": "port"}.get(sys.platform)
"""How rules per host are held: a network for each command, with a way out of it, or a port of this
machine for each command, its only one. None: they are not."""
HOSTS_NOTE: Final = "rules per host cannot be held here: no host can be reached"


class Launcher:
    """Owns what it needs to start commands; `close` ends them all."""

    def __init__(self, session: Session, gate: "Callable[[], Gate] | None" = None) -> None:
        """`gate`: makes who serves rules per host, once one is needed; without, no host is reached."""
        self._make_gate = gate
        self._gate: Gate | None = None
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
        asker: "Asker | None" = None,
    ) -> Confined:
        """Start one command; the caller closes `child`.

        Raises SandboxUnavailable when the profile cannot be held here: nothing was started.
        StartError when the command itself cannot be started.
        """
        if profile.unrestricted:
            return await unconfined(spec, profile, limits)
        if self._platform is None:
            self._platform = Platform(self._session)
        confined = await self._served(spec, profile, wish, limits, asker)
        if confined is None:
            confined = await self._platform.start(spec, profile, wish, limits=limits)
            hosts = (HOSTS_NOTE,) if is_limited(profile) else ()
            confined.notes = (*hosts, *confined.notes)
        confined.notes = (*profile.warnings, *confined.notes)
        return confined

    async def _served(
        self,
        spec: "ProcessSpec",
        profile: "EffectiveProfile",
        wish: "Wish",
        limits: tuple[tuple[str, int], ...],
        asker: "Asker | None",
    ) -> Confined | None:
        """With a proxy as its only way out; None where no rule asks for that or this machine cannot
        hold it: then the command gets no way out at all."""
        if self._make_gate is None or GATES is None or not takes_gateway(profile):
            return None
        assert self._platform is not None
        gate = self._gate = self._gate or self._make_gate()
        if GATES == "port":
            ports: tuple[int, ...] = ()
            if sys.platform == "win32":
                ports = await self._platform.ports(profile)
            return await through_port(
                gate, self._platform, spec, profile, wish, limits, asker, ports=ports
            )
        offer = await gate.offer(profile, spec.env, asker)
        spec = replace(spec, env={**spec.env, **offer.variables})
        wish = replace(wish, gateway=offer.ways, readable=offer.readable)
        try:
            confined = await self._platform.start(spec, profile, wish, limits=limits)
        except SandboxUnavailable:
            return None
        outlet = gate.serve(confined.gateway, profile, confined.child, asker)
        confined.outlet = outlet
        confined.child = Outletting(confined.child, outlet)
        return confined

    def close(self) -> None:
        """End every command and every helper."""
        if self._platform is not None:
            self._platform.close()
            self._platform = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None


class Outletting:
    """A child whose way out ends with it."""

    def __init__(self, child: "Child", outlet: "Served") -> None:
        self._child = child
        self._outlet = outlet

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything but `close` is the child's
        return getattr(self._child, name)

    def close(self) -> None:
        """Release the child, and the way out after it."""
        self._child.close()
        self._outlet.end()


class Starts(Protocol):
    """A platform's side of the launcher."""

    async def start(
        self,
        spec: "ProcessSpec",
        profile: "EffectiveProfile",
        wish: "Wish",
        *,
        limits: tuple[tuple[str, int], ...],
    ) -> Confined: ...


async def through_port(
    gate: "Gate",
    platform: Starts,
    spec: "ProcessSpec",
    profile: "EffectiveProfile",
    wish: "Wish",
    limits: tuple[tuple[str, int], ...],
    asker: "Asker | None",
    *,
    ports: "Sequence[int]" = (),
) -> Confined:
    """With a port of its own as the command's only way out, one of `ports` where any are named.
    Raises as `start`."""
    opened = await gate.listen(profile, spec.env, asker, ports=ports)
    try:
        confined = await platform.start(
            replace(spec, env={**spec.env, **opened.variables}),
            profile,
            replace(wish, proxy_port=opened.port, readable=opened.readable),
            limits=limits,
        )
    except BaseException:
        opened.served.end()
        raise
    opened.served.attach(confined.child)
    confined.outlet = opened.served
    confined.child = Outletting(confined.child, opened.served)
    return confined


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
    return Confined(await start(spec), rung="none", notes=profile.warnings)


def session_for(
    home: str,
    environ: Mapping[str, str],
    rungs: tuple[str, ...] | None = None,
    *,
    windows: WindowsChoice | None = None,
) -> Session:
    """The usual session: journal in Octavo's home, $TMPDIR temporary, every mechanism allowed."""
    named = environ.get("TMPDIR", "")
    temporary = (os.path.realpath(named),) if named.startswith("/") else ()
    return Session(
        journal=os.path.join(home, "state", "mountpoints"),
        temporary=temporary,
        rungs=rungs or RUNGS,
        windows=windows,
    )
