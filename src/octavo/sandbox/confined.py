"""A started command with the way it is confined: what every launcher returns."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from octavo.process.child import Child
    from octavo.sandbox.denial import Denial
    from octavo.sandbox.gate import Served


def no_hints(_output: str) -> "tuple[Denial, ...]":
    """Nothing is read out of the output."""
    return ()


class Confined:
    """A started command, how it is confined, and what was refused so far."""

    def __init__(
        self,
        child: "Child",
        *,
        rung: str,
        notes: tuple[str, ...] = (),
        denials: "Callable[[], tuple[Denial, ...]]" = tuple,
        reached: "Callable[[], str | None] | None" = None,
        gateway: tuple[int, ...] = (),
    ) -> None:
        self.outlet: Served | None = None
        """Serves its way out, where a proxy is that."""
        self.gateway = gateway
        """Sockets that are the command's only ways out; whoever serves them owns them."""
        self._reached = reached
        self.hints: Callable[[str], tuple[Denial, ...]] = no_hints
        """What the output of a command that failed tells of refusals nobody reported."""
        self.child = child
        """Whoever holds it closes it."""
        self.rung = rung
        """Which mechanism confines it; "none" for danger-full-access."""
        self.notes = notes
        """What was left out of the policy, and what this machine cannot hold."""
        self._denials = denials

    def reached(self) -> "str | None":
        """The limit on the whole command that it ran into; None when there is none. Before close."""
        return self._reached() if self._reached is not None else None

    def denials(self) -> "tuple[Denial, ...]":
        """What was refused; complete once the command is gone."""
        if self.outlet is None:
            return self._denials()
        return (*self.outlet.named(self._denials()), *self.outlet.denials())
