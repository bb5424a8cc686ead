"""How long the proxy waits and how much it holds. Values."""

from msgspec import Struct
from msgspec.structs import replace


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds and counts; each has a bound."""

    first_byte_s: float = 10.0
    head_s: float = 30.0
    """For a whole head, however it drips."""
    idle_s: float = 30.0
    """Between two requests of a connection."""
    body_s: float = 300.0
    """Without a byte of a body; tunnels may be silent as long as their execution lives."""
    hello_s: float = 10.0
    """For the rest of a TLS hello that has begun."""
    dns_s: float = 2.0
    lookups: int = 4
    """At the same time, for one execution."""
    connect_s: float = 10.0
    stagger_s: float = 0.25
    """Head start of one address before the next is tried as well."""
    addresses: int = 8
    """Of one name that are tried."""
    linger_s: float = 30.0
    """To send what is left when the other side of a connection has gone."""
    ask_s: float = 3_600.0
    """For somebody to answer a question."""
    connections: int = 512
    """Of one execution."""
    connections_total: int = 2_048
    questions: int = 32
    """Open at the same time, for one execution."""
    kept: int = 200
    """Decisions that are remembered."""


LIMITS = Limits()


def fitting(limits: Limits, descriptors: int | None) -> Limits:
    """As many connections as a program can have open that wants a third for itself.

    Each takes two descriptors; no command gets more than half of all connections.
    """
    if descriptors is None:
        return limits
    total = min(limits.connections_total, descriptors // 3)
    return replace(limits, connections_total=total, connections=min(limits.connections, total // 2))
