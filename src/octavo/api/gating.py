"""Makes who serves rules per host, with the first command that has some: most have none."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octavo.api.network import ManagedNetwork


def managed_network() -> "ManagedNetwork":
    """A proxy that nobody asks: what is not listed is refused."""
    from octavo.api.network import ManagedNetwork  # noqa: PLC0415 - see above

    return ManagedNetwork()
