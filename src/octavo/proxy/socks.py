"""SOCKS 5 (RFC 1928, 1929), the client's side of it read strictly: bytes in, values out. A mind.

One connection out, nothing else: BIND and UDP are refused, and so is version 4.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from octavo.policy.hosts import Host, HostError, Target, read_host

VERSION: Final = 5
PLAIN: Final = 0x00
PASSWORD: Final = 0x02
NO_METHOD: Final = b"\x05\xff"
CONNECT: Final = 1
MOST: Final = 1024
"""Bytes of all messages together; the longest possible are 257 + 513 + 262."""

OK: Final = 0x00
FAILED: Final = 0x01
REFUSED: Final = 0x02
"""By the rules."""
UNREACHABLE: Final = 0x04
CONNECTION_REFUSED: Final = 0x05
EXPIRED: Final = 0x06
NO_COMMAND: Final = 0x07
NO_ADDRESS: Final = 0x08

VERSION_4_REFUSED: Final = b"\x00\x5b" + bytes(6)


class SocksError(Exception):
    """Not SOCKS as it has to be. `answer`: what to say before the connection is closed."""

    def __init__(self, message: str, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer


class Greeting(Struct, frozen=True):
    """Which ways of authentication a client offers."""

    methods: bytes


class Password(Struct, frozen=True):
    """Who it says it is."""

    user: str
    password: str


def reply(code: int) -> bytes:
    """The answer to a request; which address was bound is nobody's business."""
    return bytes((VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0))


def read_greeting(data: bytes | bytearray) -> tuple[Greeting, int] | None:
    """The first message and its length; None until it is whole. Raises SocksError."""
    if data[:1] not in (b"", b"\x05"):
        raise SocksError("not SOCKS 5")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    if data[1] == 0:
        raise SocksError("no method is offered", NO_METHOD)
    return Greeting(bytes(data[2 : 2 + data[1]])), 2 + data[1]


def read_password(data: bytes | bytearray) -> tuple[Password, int] | None:
    """Name and password; None until they are whole. Raises SocksError."""
    if data[:1] not in (b"", b"\x01"):
        raise SocksError("not a password message", b"\x01\x01")
    if len(data) < 2 or len(data) < 3 + data[1]:
        return None
    name_end = 2 + data[1]
    end = name_end + 1 + data[name_end]
    if len(data) < end:
        return None
    user, password = bytes(data[2:name_end]), bytes(data[name_end + 1 : end])
    return Password(user.decode("latin-1"), password.decode("latin-1")), end


def read_request(data: bytes | bytearray) -> tuple[Target, int] | None:
    """Where to connect; None until it is known. Raises SocksError."""
    if data[:1] not in (b"", b"\x05"):
        raise SocksError("not SOCKS 5", reply(FAILED))
    if len(data) >= 2 and data[1] != CONNECT:
        raise SocksError("only CONNECT", reply(NO_COMMAND))
    if len(data) >= 3 and data[2] != 0:
        raise SocksError("not a request", reply(FAILED))
    if len(data) < 5:
        return None
    size = {1: 4, 3: 1 + data[4], 4: 16}.get(data[3])
    if size is None:
        raise SocksError("not a kind of address", reply(NO_ADDRESS))
    end = 4 + size + 2
    if len(data) < end:
        return None
    try:
        host = _host(data[3], bytes(data[4 : 4 + size]))
    except (HostError, UnicodeDecodeError) as wrong:
        raise SocksError(f"not a host: {wrong}", reply(FAILED)) from wrong
    port = int.from_bytes(data[end - 2 : end])
    if port == 0:
        raise SocksError("not a port", reply(FAILED))
    return Target(host, port), end


def _host(kind: int, data: bytes) -> Host:
    if kind == 1:
        return read_host(str(IPv4Address(data)))
    if kind == 4:
        return read_host(str(IPv6Address(data)))
    text = data[1:].decode("ascii")
    if text.startswith("["):
        raise HostError("no brackets here")
    return read_host(text)
