"""What would happen to a connection, without making it: for `octavo network test`. Hands.

Names are looked up as the proxy would look them up; nothing is dialled and nobody is asked.
"""

import asyncio
from collections.abc import Collection

from msgspec import Struct

from octavo.policy.addresses import Address
from octavo.policy.hosts import HostError, Target, read_target
from octavo.policy.network import (
    Decision,
    HostPolicy,
    Protocol,
    judge,
    judge_addresses,
    judge_method,
)
from octavo.protocol.errors import UsageError
from octavo.proxy.limits import LIMITS
from octavo.proxy.resolve import Resolver, SystemResolver, own_addresses

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ssh": 22, "git": 9418}
PLAIN = frozenset({"http", "ws"})


class Explanation(Struct, frozen=True, kw_only=True):
    """One verdict and all that led to it."""

    target: str
    """In its one spelling."""
    decision: Decision
    addresses: tuple[str, ...] = ()
    """What the name resolves to; looked up only if the lists let it through."""
    resolved: bool = True
    """False: it could not be resolved, which is no matter of rules."""


def aimed_at(text: str) -> tuple[Target, Protocol]:
    """A target from an address bar's text: a URL, `host:port` or `host` (443). Raises UsageError."""
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "https", text
    port = PORTS.get(scheme.lower())
    if port is None:
        known = ", ".join(PORTS)
        raise UsageError(f"{scheme}:// is nothing the proxy knows", hint=f"use one of {known}")
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    try:
        target = read_target(rest.rpartition("@")[2], port)
    except HostError as wrong:
        raise UsageError(f"{text}: {wrong}") from wrong
    return target, "http" if scheme.lower() in PLAIN else "https_connect"


async def explain(
    policy: HostPolicy,
    text: str,
    *,
    method: str | None = None,
    resolver: Resolver | None = None,
    public: Collection[Address] = (),
) -> Explanation:
    """The verdict for a URL or host, with the rule and the smallest grant. Raises UsageError."""
    target, protocol = aimed_at(text)
    decision = judge(policy, target, protocol)
    if not decision.allowed:
        return Explanation(target=str(target), decision=decision)
    addresses: tuple[Address, ...] = ()
    if target.host.address is not None:
        addresses = (target.host.address,)
    else:
        try:
            async with asyncio.timeout(LIMITS.dns_s):
                addresses = tuple(await (resolver or SystemResolver())(target.host.name))
        except TimeoutError:
            addresses = ()
    wrong = judge_addresses(
        policy, target, protocol, addresses, own=own_addresses(addresses), public=public
    )
    if wrong is None:
        asked = (method or "GET") if protocol == "http" else None
        wrong = judge_method(policy, target, protocol, asked, inspected=False)
    return Explanation(
        target=str(target),
        decision=wrong or decision,
        addresses=tuple(str(one) for one in addresses),
        resolved=bool(addresses),
    )
