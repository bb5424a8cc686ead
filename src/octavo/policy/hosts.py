"""Hosts in one spelling, and the patterns that name them. Pure: nothing is looked up.

Read once, strictly, at the edge; afterwards hosts and ports are values and never text again. What
two programs might read differently is refused.
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from octavo.policy.addresses import Address, read_address

MOST: Final = 253
MOST_LABEL: Final = 63
LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\Z", re.ASCII)
NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z", re.ASCII)
"""A last label that makes a whole host an address of IPv4, for those who read generously."""
PORT: Final = re.compile(r"[1-9][0-9]{0,4}\Z", re.ASCII)
LOOPBACK_NAMES: Final = frozenset(
    {"localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6",
     "ip6-localhost", "ip6-loopback"}
)  # fmt: skip


class HostError(ValueError):
    """Not a host, port or pattern; the message says why, in a few words."""


class Host(Struct, frozen=True):
    """A host in its one spelling: a name in small ASCII letters, or an address."""

    name: str
    address: Address | None = None

    @property
    def loopback_name(self) -> bool:
        """`localhost` and its kin, which every machine resolves to itself."""
        return self.name in LOOPBACK_NAMES or self.name.endswith(".localhost")

    def __str__(self) -> str:
        return f"[{self.name}]" if ":" in self.name else self.name


class Target(Struct, frozen=True):
    """Where a connection is to go."""

    host: Host
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@lru_cache(1024)  # a command talks to a few hosts, often
def read_host(text: str) -> Host:
    """A host as a program sends it: a name, an address, IPv6 with or without brackets.

    Raises HostError.
    """
    if not text.isascii():
        raise HostError("a host name has to be ASCII")
    if text.startswith("[") or ":" in text:
        if text.startswith("["):
            if not text.endswith("]") or ":" not in text:
                raise HostError("brackets belong around an address of IPv6")
            text = text[1:-1]
        address = read_address(text)
        if address is None:
            raise HostError("not an address of IPv6")
        return Host(str(address), address)
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    check_length(name)
    for label in labels:
        check_label(label)
    if NUMBER.match(labels[-1]):
        address = read_address(name)
        if address is None:
            raise HostError("a host that ends in a number has to be an address of four numbers")
        return Host(str(address), address)
    return Host(name)


def check_length(name: str) -> None:
    if not name:
        raise HostError("there is no host")
    if len(name) > MOST:
        raise HostError(f"a host name has at most {MOST} letters")


def check_label(label: str) -> None:
    if len(label) > MOST_LABEL:
        raise HostError(f"a part of a host name has at most {MOST_LABEL} letters")
    if not LABEL.match(label):
        raise HostError("a host name has letters, digits, `-` and `_` between single dots")


def read_port(text: str) -> int:
    """1 to 65535, written plainly. Raises HostError."""
    if not PORT.match(text) or int(text) > 65_535:
        raise HostError("a port is a number from 1 to 65535")
    return int(text)


def read_target(text: str, default_port: int | None = None) -> Target:
    """`host:port`, `[v6]:port`; without a port only if there is one to assume. Raises HostError."""
    host, port = split_port(text)
    if port is not None:
        return Target(read_host(host), read_port(port))
    if default_port is None:
        raise HostError("a port is missing")
    return Target(read_host(host), default_port)


def split_port(text: str) -> tuple[str, str | None]:
    """The host with its brackets, and what stands behind the colon. Raises HostError."""
    if text.startswith("["):
        host, closed, rest = text.partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise HostError("brackets belong around an address of IPv6")
        return host + closed, rest[1:] if rest else None
    host, colon, port = text.partition(":")
    if ":" in port:
        raise HostError("an address of IPv6 belongs into brackets")
    return host, port if colon else None


# ---- patterns -----------------------------------------------------------------------------------


class Pattern(Struct, frozen=True):
    """Which hosts a line of a list names."""

    text: str
    """As written."""
    labels: tuple[str, ...] = ()
    """Of the host or of the part behind `*.`; a label may hold stars. Empty: every name."""
    address: Address | None = None
    subdomains: bool = False
    """Names below it, at any depth."""
    itself: bool = True
    port: int | None = None
    """None: any."""

    @property
    def exact(self) -> bool:
        """Names one host and no other."""
        return self.address is not None or (
            self.itself and not self.subdomains and bool(self.labels) and not self.globs
        )

    @property
    def everything(self) -> bool:
        return not self.labels and self.address is None

    @property
    def globs(self) -> bool:
        return any("*" in label for label in self.labels)

    def matches(self, target: Target) -> bool:
        """A wildcard never names an address."""
        return (self.port is None or self.port == target.port) and self.names(target.host)

    def names(self, host: Host) -> bool:
        """The same, whatever the port."""
        if self.address is not None or host.address is not None:
            return self.address is not None and self.address == host.address
        if not self.labels:
            return True
        labels = host.name.split(".")
        own = len(self.labels)
        if len(labels) == own:
            return self.itself and self._agrees(labels)
        return self.subdomains and len(labels) > own and self._agrees(labels[-own:])

    def _agrees(self, labels: list[str]) -> bool:
        return all(
            one == label if "*" not in one else in_label(one, label)
            for one, label in zip(self.labels, labels, strict=True)
        )


def in_label(pattern: str, label: str) -> bool:
    """Stars inside one part of a name. Time grows with the length only."""
    first, *middle, last = pattern.split("*")
    if len(label) < len(first) + len(last) or not label.startswith(first):
        return False
    at, end = len(first), len(label) - len(last)
    for part in middle:
        at = label.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return label.endswith(last)


def read_pattern(text: str) -> Pattern:
    """`h`, `*.h` (below it), `**.h` (it and below), `*`, `api*.h`; each with `:port` or without.

    Names in other alphabets become their ASCII form. Raises HostError.
    """
    if text.count(":") > 1 and not text.startswith("["):
        host, port = text, None  # a bare address of IPv6
    else:
        host, port = split_port(text)
    number = None if port is None or port == "*" else read_port(port)
    if host in ("*", "**"):
        return Pattern(text, port=number, subdomains=True)
    for prefix, itself in (("**.", True), ("*.", False)):
        if host.startswith(prefix):
            labels = pattern_labels(host.removeprefix(prefix))
            if all(set(label) == {"*"} for label in labels):
                raise HostError("a pattern needs a name behind its stars")
            return Pattern(text, labels, subdomains=True, itself=itself, port=number)
    if "*" in host:
        return Pattern(text, pattern_labels(host), port=number)
    found = read_host(ascii_name(host))
    if found.address is not None:
        return Pattern(text, address=found.address, port=number)
    return Pattern(text, tuple(found.name.split(".")), port=number)


def pattern_labels(name: str) -> tuple[str, ...]:
    """The parts of a name that may hold stars, in ASCII. Raises HostError."""
    if "*" not in name:
        found = read_host(ascii_name(name))
        if found.address is not None or ":" in name:
            raise HostError("a wildcard does not go with an address")
        return tuple(found.name.split("."))
    if not name.isascii():
        raise HostError("stars and letters beyond ASCII do not mix: write the `xn--` form")
    name = name.lower().removesuffix(".")
    check_length(name)
    labels = tuple(name.split("."))
    for label in labels:
        check_label(label.replace("*", "x"))
        if label.startswith("xn--") and "*" in label:
            raise HostError("a star inside an `xn--` part names nothing one could read")
    if NUMBER.match(labels[-1].replace("*", "")) or labels[-1].strip("*") == "":
        raise HostError("the last part of a pattern has to be a name")
    return labels


def ascii_name(name: str) -> str:
    """A name in its ASCII form (UTS 46). Raises HostError."""
    if name.isascii():
        return name
    import idna  # noqa: PLC0415 - hardly any list needs its tables

    try:
        return idna.encode(name, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError) as wrong:
        raise HostError(f"not a host name: {wrong}") from wrong


class PatternList:
    """Many patterns, found by name in as many steps as the name has parts."""

    def __init__(self, patterns: "tuple[Pattern, ...]" = ()) -> None:
        self.patterns = patterns
        self._by_name: dict[str, list[Pattern]] = {}
        self._others: list[Pattern] = []
        for one in patterns:
            if one.globs or one.everything:
                self._others.append(one)
            else:
                key = str(one.address) if one.address is not None else ".".join(one.labels)
                self._by_name.setdefault(key, []).append(one)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, target: Target, *, exact: bool = False) -> Pattern | None:
        """The most special pattern that names a target; `exact`: one that names no other host."""
        if not self.patterns:
            return None
        return next(
            (
                one
                for one in self._near(target.host)
                if one.matches(target) and (one.exact or not exact)
            ),
            None,
        )

    def _near(self, host: Host) -> "list[Pattern]":
        if host.address is not None:
            return self._by_name.get(str(host.address), [])
        found: list[Pattern] = []
        name = host.name
        while True:
            found += self._by_name.get(name, ())
            _, dot, name = name.partition(".")
            if not dot:
                return found + self._others
