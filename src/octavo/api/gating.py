"""Makes who serves rules per host, with the first command that has some: most have none."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from octavo.api.network import ManagedNetwork


def managed_network(home: str, environ: "Mapping[str, str]") -> "Callable[[], ManagedNetwork]":
    """Makes a proxy that nobody asks: what is not listed is refused. `home`: Octavo's own folder.
    `environ`: ours, with the secrets that are put into requests."""

    def made() -> "ManagedNetwork":
        from octavo.api.network import ManagedNetwork  # noqa: PLC0415 - see above

        return ManagedNetwork(f"{home}/proxy", environ)

    return made
