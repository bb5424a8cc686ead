"""Which addresses are not the public Internet, in every spelling. Pure: values, no look-ups.

An own table, because `ipaddress.is_global` judges several blocks differently from one Python to
the next. An address of IPv6 that carries one of IPv4 is judged by what it carries.
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

Address = IPv4Address | IPv6Address
Kind = Literal[
    "unspecified", "loopback", "private", "link-local", "metadata", "multicast", "reserved",
    "own interface",
]  # fmt: skip
LOCAL_KINDS: Final = frozenset({"loopback", "private", "own interface"})
"""What `allow_local_binding` opens. The rest is opened by an exact entry and by nothing else."""


def _v4(kind: Kind, *blocks: str) -> tuple[tuple[IPv4Network, Kind], ...]:
    return tuple((IPv4Network(block), kind) for block in blocks)


def _v6(kind: Kind, *blocks: str) -> tuple[tuple[IPv6Network, Kind], ...]:
    return tuple((IPv6Network(block), kind) for block in blocks)


# The first row that holds an address decides, so single addresses stand before their blocks.
IPV4: Final = (
    *_v4("unspecified", "0.0.0.0/8"),
    *_v4("metadata", "169.254.169.254/32", "169.254.170.2/32", "168.63.129.16/32",
         "100.100.100.200/32", "192.0.0.192/32"),
    *_v4("loopback", "127.0.0.0/8"),
    *_v4("link-local", "169.254.0.0/16"),
    *_v4("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
    *_v4("multicast", "224.0.0.0/4"),
    *_v4("reserved", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
         "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
)  # fmt: skip

IPV6: Final = (
    *_v6("unspecified", "::/128"),
    *_v6("metadata", "fd00:ec2::/32", "fd20:ce::254/128"),
    *_v6("loopback", "::1/128"),
    *_v6("link-local", "fe80::/10"),
    *_v6("private", "fc00::/7", "fec0::/10"),
    *_v6("multicast", "ff00::/8"),
    # 2001::/23 holds Teredo, ORCHID and other experiments: nothing that serves the public
    *_v6("reserved", "2001::/23", "2001:db8::/32", "3fff::/20", "64:ff9b:1::/48"),
)  # fmt: skip
PUBLIC_V6: Final = IPv6Network("2000::/3")
"""All that is given out for the public; whatever lies outside is something else."""

CARRIERS: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4: right behind the prefix
    (IPv6Network("::/96"), 0),  # compatible
)
"""Blocks of IPv6 that carry an address of IPv4, and how far it lies from the right end."""


def carried(address: Address) -> IPv4Address | None:
    """The address of IPv4 inside one of IPv6; None when there is none."""
    if isinstance(address, IPv4Address) or int(address) < 2:  # "::" and "::1" are themselves
        return None
    for block, shift in CARRIERS:
        if address in block:
            return IPv4Address(int(address) >> shift & 0xFFFF_FFFF)
    return None


def plain(address: Address) -> Address:
    """Without the `::ffff:` in front: what the system connects to is the address of IPv4."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def kind_of(address: Address, own: Collection[Address] = ()) -> Kind | None:
    """What an address is if it is not public; None if it is.

    `own`: addresses of this machine's own interfaces, however public they look.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "link-local"
    inner = carried(address)
    if inner is not None:
        return kind_of(inner, own)
    kind = _listed(address)
    if kind is None and plain(address) in own:
        return "own interface"
    return kind


@lru_cache(4096)
def _listed(address: Address) -> Kind | None:
    if isinstance(address, IPv4Address):
        return next((kind for block, kind in IPV4 if address in block), None)
    for block, kind in IPV6:
        if address in block:
            return kind
    return None if address in PUBLIC_V6 else "reserved"


def read_address(text: str) -> Address | None:
    """An address as it is written in full: four decimal numbers, or IPv6 without brackets and zone.

    None for anything else, the old spellings (`127.1`, `0x7f.1`) among it.
    """
    if "%" in text or not text.isascii():
        return None
    try:
        return plain(ip_address(text))
    except ValueError:
        return None
