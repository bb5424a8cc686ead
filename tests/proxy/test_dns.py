"""Questions for names and the answers to them, byte by byte."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.proxy.dns import (
    AAAA,
    FORMAT_ERROR,
    MOST,
    NO_ERROR,
    NO_SUCH_NAME,
    NOT_IMPLEMENTED,
    SERVER_FAILURE,
    A,
    NoRoom,
    NotFound,
    answer,
    read_question,
)

ADDRESS = bytes((127, 64, 0, 9))


def question(name=b"host.example", kind=A, *, flags=0x0100, number=7, klass=1, count=1, more=b""):
    labels = b"".join(bytes((len(one),)) + one for one in name.split(b".")) if name else b""
    return struct.pack("!6H", number, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack(
        "!2H", kind, klass
    ) + more  # fmt: skip


def known(name):
    return ADDRESS


def unknown(name):
    raise NotFound


def code(data):
    return struct.unpack("!H", data[2:4])[0] & 15


def test_an_address_is_given_with_the_question_repeated():
    asked = question()
    said = answer(asked, known)
    assert said[:2] == asked[:2]
    assert said[12 : len(asked)] == asked[12:]
    assert struct.unpack("!4H", said[4:12]) == (1, 1, 0, 0)
    assert said.endswith(ADDRESS)
    assert struct.unpack("!H", said[2:4])[0] == 0x8180


def test_the_name_is_asked_for_as_it_was_sent():
    asked = []
    answer(question(b"Host.EXAMPLE"), lambda name: asked.append(name) or ADDRESS)
    assert asked == ["Host.EXAMPLE"]


@pytest.mark.parametrize("kind", [AAAA, 15, 16, 65])
def test_other_records_of_a_known_name_do_not_exist(kind):
    said = answer(question(kind=kind), known)
    assert code(said) == NO_ERROR
    assert struct.unpack("!4H", said[4:12]) == (1, 0, 0, 0)


def test_a_name_that_is_none_does_not_exist():
    assert code(answer(question(), unknown)) == NO_SUCH_NAME


def test_too_many_names_are_a_failure_of_the_server():
    def full(name):
        raise NoRoom

    assert code(answer(question(), full)) == SERVER_FAILURE


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (question(count=0), FORMAT_ERROR),
        (question(count=2), FORMAT_ERROR),
        (question(klass=3), FORMAT_ERROR),
        (question()[:-1], FORMAT_ERROR),
        (question()[:12] + b"\xc0\x0c\0\x01\0\x01", FORMAT_ERROR),
        (question(b".".join([b"a" * 63] * 4)), FORMAT_ERROR),
        (question(flags=0x2800), NOT_IMPLEMENTED),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(data, expected):
    assert code(answer(data, known)) == expected


@pytest.mark.parametrize("data", [b"", b"x" * 11, question(flags=0x8180), bytes(MOST + 1)])
def test_some_things_get_no_answer(data):
    assert answer(data, known) is None


def test_what_stands_behind_the_question_is_left_alone():
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    said = answer(question(more=option), known)
    assert code(said) == NO_ERROR
    assert said.endswith(ADDRESS)


@given(st.binary(max_size=600))
def test_no_datagram_breaks_it_and_no_answer_is_much_longer(data):
    said = answer(data, known)
    assert said is None or len(said) <= max(len(data), 12) + 16


labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)


@given(st.lists(labels, min_size=1, max_size=3), st.integers(0, 65_535))
def test_every_name_comes_through_whole(parts, kind):
    name = ".".join(parts)
    found = read_question(question(name.encode(), kind))
    assert (found.name, found.kind) == (name, kind)


def test_a_question_cut_or_turned_anywhere_is_survived():
    whole = question(b"a.long.name.example")
    dice = random.Random(4)
    for _ in range(2000):
        broken = bytearray(whole[: dice.randrange(len(whole) + 1)])
        if broken:
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        answer(bytes(broken), known)
