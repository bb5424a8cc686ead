"""Questions for a name's address, and answers to them. Pure: one datagram in, one out.

Only what a resolver on the same machine needs: one question, the class of the internet, addresses
of IPv4. Everything else gets an honest "no such record". RFC 1035, 4343 and 6891.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

HEADER: Final = 12
MOST: Final = 512
"""Bytes of a question. None is longer that asks for one name."""
TTL_S: Final = 60
A, AAAA, ANY = 1, 28, 255
INTERNET: Final = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED = range(5)

RESPONSE: Final = 0x8000
OPCODE: Final = 0x7800
RECURSION_WANTED: Final = 0x0100
RECURSION_OFFERED: Final = 0x0080
ONE_QUESTION: Final = (1).to_bytes(2, "big")
SAME_NAME: Final = b"\xc0\x0c"
"""A pointer to the name in the question."""


class Question(Struct, frozen=True):
    """What somebody wants to know."""

    name: str
    """As it was sent, without the last dot; bytes that are not ASCII as they are (Latin-1)."""
    kind: int
    section: bytes
    """As it was sent, to be repeated in the answer."""


class NotFound(Exception):  # noqa: N818 - an answer, not an accident
    """There is no such name."""


class NoRoom(Exception):  # noqa: N818 - as above
    """There are too many names already."""


def read_question(data: bytes) -> Question | None:
    """The one question of a datagram; None when it has not exactly one that can be read."""
    if data[4:6] != ONE_QUESTION:
        return None
    labels = []
    at = HEADER
    while at < len(data) and (length := data[at]):
        label = data[at + 1 : at + 1 + length]
        if length > 63 or len(label) != length:  # pointers have no place in a question
            return None
        labels.append(label)
        at += 1 + length
    end = at + 5
    if end > len(data) or at - HEADER > 254:
        return None
    if int.from_bytes(data[at + 3 : end], "big") != INTERNET:
        return None
    name = b".".join(labels).decode("latin-1")
    kind = int.from_bytes(data[at + 1 : at + 3], "big")
    return Question(name, kind, data[HEADER:end])


def answer(data: bytes, find: Callable[[str], bytes]) -> bytes | None:
    """The answer to a datagram; None when there is nobody to answer to.

    `find`: the four bytes of a name's address. It raises NotFound or NoRoom.
    """
    if not HEADER <= len(data) <= MOST:
        return None
    flags = int.from_bytes(data[2:4], "big")
    if flags & RESPONSE:
        return None
    if flags & OPCODE:
        return framed(data, NOT_IMPLEMENTED)
    question = read_question(data)
    if question is None:
        return framed(data, FORMAT_ERROR)
    try:
        address = find(question.name)
    except NotFound:
        return framed(data, NO_SUCH_NAME, question)
    except NoRoom:
        return framed(data, SERVER_FAILURE, question)
    return framed(data, NO_ERROR, question, address if question.kind in (A, ANY) else None)


def framed(
    data: bytes, code: int, question: Question | None = None, address: bytes | None = None
) -> bytes:
    """A whole answer."""
    asked = int.from_bytes(data[2:4], "big")
    flags = RESPONSE | RECURSION_OFFERED | code | asked & (RECURSION_WANTED | OPCODE)
    records = b""
    if address is not None:
        head = (A, INTERNET, 0, TTL_S, len(address))
        records = SAME_NAME + b"".join(number.to_bytes(2, "big") for number in head) + address
    counts = (question is not None, bool(records), 0, 0)
    header = data[:2] + flags.to_bytes(2, "big")
    header += b"".join(int(count).to_bytes(2, "big") for count in counts)
    return header + (b"" if question is None else question.section) + records
