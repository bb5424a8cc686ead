"""The server name in the first message of TLS (RFC 8446, 4.1.2; RFC 6066, 3). A mind.

Only that one value is read; a hello that cannot be read is told apart from one without a name.
"""

from typing import Final

from msgspec import Struct

HANDSHAKE: Final = 0x16
CLIENT_HELLO: Final = 1
SERVER_NAME: Final = 0
RECORD: Final = 16 * 1024 + 256
MOST: Final = 64 * 1024
"""Bytes of a hello; those with keys for the time after quantum computers have some 2,000."""
UNRECOGNIZED_NAME: Final = b"\x15\x03\x03\x00\x02\x02\x70"
"""The alert a client shows its user."""
INTERNAL_ERROR: Final = b"\x15\x03\x03\x00\x02\x02\x50"


class Hello(Struct, frozen=True):
    """What a client sends first."""

    tls: bool
    name: str | None = None
    """In small letters; None when it names no server."""


class HelloError(ValueError):
    """It begins as TLS does and is not."""


def read_hello(data: bytes | bytearray) -> Hello | None:
    """What the first bytes are; None until one can tell. Raises HelloError."""
    if data[:1] and data[0] != HANDSHAKE:
        return Hello(tls=False)
    if len(data) >= 2 and data[1] != 3:
        return Hello(tls=False)
    message = _message(data)
    return None if message is None else Hello(tls=True, name=_name(message))


def _message(data: bytes | bytearray) -> bytes | None:
    """The handshake message without its header, put together from records."""
    found, at = bytearray(), 0
    while len(data) >= at + 5:
        size = int.from_bytes(data[at + 3 : at + 5])
        if data[at] != HANDSHAKE or data[at + 1] != 3 or not 0 < size <= RECORD:
            raise HelloError("not a record of a handshake")
        found += data[at + 5 : at + 5 + size]
        if found and found[0] != CLIENT_HELLO:
            raise HelloError("not the hello of a client")
        if len(found) >= 4:
            wanted = 4 + int.from_bytes(found[1:4])
            if wanted > MOST:
                raise HelloError("the hello is too long")
            if len(found) >= wanted:
                return bytes(found[4:wanted])
        at += 5 + size
    if len(data) > 2 * MOST:
        raise HelloError("the hello is too long")
    return None


class _Bytes:
    """Vectors with their length in front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise HelloError("the hello ends too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width)))

    @property
    def over(self) -> bool:
        return self.at == len(self.data)


def _name(message: bytes) -> str | None:
    rest = _Bytes(message)
    rest.take(2 + 32)  # version, random
    for width in (1, 2, 1):  # session, ciphers, compression
        rest.vector(width)
    if rest.over:
        return None
    extensions, name, seen = _Bytes(rest.vector(2)), None, False
    while not extensions.over:
        kind, value = int.from_bytes(extensions.take(2)), extensions.vector(2)
        if kind == SERVER_NAME:
            if seen:
                raise HelloError("two server names")
            name, seen = _listed_name(value), True
    return name


def _listed_name(value: bytes) -> str:
    names = _Bytes(_Bytes(value).vector(2))
    kind, name = names.take(1), names.vector(2)
    if kind != b"\0" or not names.over or not name:
        raise HelloError("not a server name")
    try:
        return name.decode("ascii").lower()
    except UnicodeDecodeError as wrong:
        raise HelloError("not a server name") from wrong
