"""Who serves the one way out of a command whose profile names hosts: a seam, filled by the api.

The sandbox makes a network for the command with nothing in it but waiting sockets; whoever is
given here decides about each connection that comes in on them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from octavo.policy.network import Decision as Refusal
    from octavo.policy.profile import EffectiveProfile
    from octavo.policy.rules import RuleSet
    from octavo.process.child import Child
    from octavo.protocol.approvals import Decision
    from octavo.sandbox.denial import Denial

HOST: Final = "127.0.0.1"
PORT: Final = 3128
"""Where a command finds its way out, in a network of its own (see `linux.gateway`)."""


class Offer(Struct, frozen=True, kw_only=True):
    """What a command has to be started with."""

    ways: tuple[str, ...]
    """Where to wait inside: "tcp ADDRESS PORT" or "udp ADDRESS PORT", the proxy's own first."""
    variables: Mapping[str, str]
    """What makes programs take the way out; joins the command's environment."""
    readable: tuple[str, ...] = ()
    """Files that it has to be able to read."""


class Served(Protocol):
    """The way out of one command."""

    def denials(self) -> "tuple[Denial, ...]":
        """What was refused so far."""
        ...

    def named(self, denials: "tuple[Denial, ...]") -> "tuple[Denial, ...]":
        """What others saw, with names in place of addresses that stand for them."""
        ...

    def attach(self, child: "Child") -> None:
        """The command, where it was not there from the start."""
        ...

    def end(self) -> None:
        """The command is over; returns at once."""
        ...


class Asker(Protocol):
    """What a thread says about hosts that its profile does not list."""

    @property
    def asks(self) -> bool:
        """Somebody can be asked; else what is not listed is refused."""
        ...

    def rules(self) -> "RuleSet":
        """The rule files in force."""
        ...

    async def permit(self, refused: "Refusal") -> "Decision":
        """May this host be reached after all?"""
        ...

    def noted(self, decided: "Refusal", failure: str | None) -> None:
        """A connection was decided about; `failure`: it was allowed and did not come about."""
        ...


class Opened(Struct, frozen=True, kw_only=True):
    """A port of this machine that serves one command, before there is the command."""

    port: int
    variables: Mapping[str, str]
    """What makes programs take the way out, with the command's own password for it."""
    readable: tuple[str, ...] = ()
    served: Served


class Gate(Protocol):
    """Serves the ways out of commands."""

    async def offer(
        self,
        profile: "EffectiveProfile",
        environment: Mapping[str, str],
        asker: Asker | None = None,
    ) -> Offer:
        """What a command gets; starts what is needed for it. Raises SandboxUnavailable."""
        ...

    async def listen(
        self,
        profile: "EffectiveProfile",
        environment: Mapping[str, str],
        asker: Asker | None = None,
        *,
        ports: Sequence[int] = (),
    ) -> Opened:
        """A port for one command, where commands have no network of their own: one of `ports`, or
        any where none are named. As `offer`; also when all of them are taken."""
        ...

    def serve(
        self,
        gateway: tuple[int, ...],
        profile: "EffectiveProfile",
        child: "Child",
        asker: Asker | None = None,
    ) -> Served:
        """Serve a command's sockets, which are the gate's from now on, in the order of the ways."""
        ...

    def close(self) -> None:
        """End all of it; returns at once."""
        ...
