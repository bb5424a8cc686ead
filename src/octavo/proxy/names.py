"""Names that stand for addresses inside one command's network, and where to wait for them. Pure.

A program that knows nothing of proxies asks for a name, gets an address out of 127.64.0.0/10, and
connects to it. The address says which name was meant. Which of them leads anywhere is decided when
somebody connects, by the same policy as everything else.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from octavo.policy.addresses import read_address
from octavo.policy.hosts import Host, HostError, Pattern, Target, read_host
from octavo.policy.network import HostPolicy, judge
from octavo.proxy.dns import NoRoom, NotFound

FIRST: Final = int(ipaddress.IPv4Address("127.64.0.1"))
MOST_NAMES: Final = 4096
"""Of one command."""
LOOPBACK: Final = bytes((127, 0, 0, 1))
USUAL_PORTS: Final = (22, 80, 443)
PRIVILEGED: Final = 1024
"""Below, nothing that a command starts could want to listen: a port can be taken on every address."""
MOST_WAYS: Final = 32
NAME_SERVERS: Final = 3
"""So many does the C library ask."""


class Resolv(Struct, frozen=True):
    """What programs do to find an address."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    """Whom they ask."""
    search: tuple[str, ...] = ()
    """Domains they try behind short names."""


def read_resolv(text: str) -> Resolv:
    """What `/etc/resolv.conf` says. Lines that say nothing are left out, as the C library does."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "nameserver" and rest and read_address(rest[0]) is not None:
            servers.append(rest[0])
        elif word in ("search", "domain") and rest:
            search = tuple(one.lower().strip(".") for one in rest if one.strip("."))
    return Resolv(tuple(servers[:NAME_SERVERS]) or ("127.0.0.1",), search)


def ways(policy: HostPolicy, resolv: Resolv) -> tuple[str, ...]:
    """Where to wait besides the proxy's own port: "udp ADDRESS PORT" for names, "tcp ADDRESS PORT".

    Low ports are taken on every address. A higher one is the command's own, so it is taken only on
    the address of each host that is listed with it.
    """
    low = {port for _, port in with_ports(policy) if port < PRIVILEGED}
    fixed = fixed_names(policy)
    high = [(at(host, fixed), port) for host, port in high_ports(policy)]
    found = [f"udp {server} 53" for server in resolv.servers]
    found += [f"tcp 0.0.0.0 {port}" for port in sorted({*USUAL_PORTS, *low})]
    found += [f"tcp {address} {port}" for address, port in high]
    return tuple(dict.fromkeys(found))[:MOST_WAYS]


def with_ports(policy: HostPolicy) -> list[tuple[Host, int]]:
    """Hosts that are listed one by one with a port. What is the command's own is not among them."""
    patterns = [one for one in policy.allow.patterns if one.exact and one.port is not None]
    found = [(host_of(one), one.port or 0) for one in patterns]
    found += policy.ruled_ports()
    return [(host, port) for host, port in found if not own(host) and not is_version_6(host)]


def host_of(pattern: Pattern) -> Host:
    """The one host of an exact pattern."""
    if pattern.address is not None:
        return Host(str(pattern.address), pattern.address)
    return Host(".".join(pattern.labels))


def own(host: Host) -> bool:
    """Is it the command itself?"""
    return host.loopback_name or (host.address is not None and host.address.is_loopback)


def is_version_6(host: Host) -> bool:
    return host.address is not None and host.address.version == 6


def high_ports(policy: HostPolicy) -> list[tuple[Host, int]]:
    """Those with a port that a command could want for itself; as many as there may be ways."""
    return [one for one in with_ports(policy) if one[1] >= PRIVILEGED][:MOST_WAYS]


def fixed_names(policy: HostPolicy) -> list[str]:
    """Names whose addresses are known from the start: those listed with a higher port."""
    named = (host.name for host, _ in high_ports(policy) if host.address is None)
    return list(dict.fromkeys(named))


def at(host: Host, fixed: Sequence[str]) -> str:
    """Where inside a host is waited for."""
    return host.name if host.address is not None else text_of(FIRST + fixed.index(host.name))


def text_of(number: int) -> str:
    return str(ipaddress.IPv4Address(number))


class Names:
    """The names of one command. Grows with what it asks for, up to a bound."""

    def __init__(self, policy: HostPolicy, search: Sequence[str] = ()) -> None:
        self._policy = policy
        self._search = tuple("." + one for one in search)
        self._names: list[str] = fixed_names(policy)
        self._places = {name: place for place, name in enumerate(self._names)}
        self._ports: dict[str, set[int]] = {}
        for host, port in with_ports(policy):
            self._ports.setdefault(host.name, set(USUAL_PORTS)).add(port)

    def find(self, name: str) -> bytes:
        """The address that stands for a name. Raises NotFound, NoRoom."""
        try:
            host = read_host(name)
        except HostError as wrong:
            raise NotFound from wrong
        if host.address is not None:
            raise NotFound
        if host.loopback_name:
            return LOOPBACK
        if self._made_up(host) and not self._listed(host):
            raise NotFound
        return (FIRST + self._place(host.name)).to_bytes(4, "big")

    def target(self, address: str, port: int) -> Target | None:
        """Where a connection to an address was meant to go; None: to the command itself."""
        found = read_address(address)
        if found is None:
            return None
        place = int(found) - FIRST
        if found.version == 4 and 0 <= place < len(self._names):
            return Target(read_host(self._names[place]), port)
        return None if found.is_loopback else Target(Host(str(found), found), port)

    def _made_up(self, host: Host) -> bool:
        """Is it what the C library makes of a short name, or of an address?"""
        behind = host.name.endswith(self._search) or "." not in host.name
        return behind or host.name.endswith(".arpa")

    def _listed(self, host: Host) -> bool:
        ports = self._ports.get(host.name, USUAL_PORTS)
        return any(judge(self._policy, Target(host, port), "tcp").allowed for port in ports)

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            if len(self._names) >= MOST_NAMES:
                raise NoRoom
            place = self._places[name] = len(self._names)
            self._names.append(name)
        return place
