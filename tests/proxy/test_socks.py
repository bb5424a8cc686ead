"""SOCKS 5, the client's side of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.proxy import socks
from octavo.proxy.socks import SocksError


def asked(kind, address, port=443, command=1, reserved=0):
    return bytes((5, command, reserved, kind)) + address + port.to_bytes(2)


def name(text):
    return bytes((len(text),)) + text


@pytest.mark.parametrize(
    ("data", "target"),
    [
        (asked(1, bytes((93, 184, 216, 34))), "93.184.216.34:443"),
        (asked(3, name(b"A.example.")), "a.example:443"),
        (asked(3, name(b"127.0.0.1")), "127.0.0.1:443"),
        (asked(4, bytes(15) + b"\1", 80), "[::1]:80"),
        (asked(4, bytes(10) + b"\xff\xff\x7f\0\0\1", 80), "127.0.0.1:80"),
    ],
)
def test_a_request_names_a_target(data, target):
    found = socks.read_request(data + b"more")
    assert found is not None
    assert (str(found[0]), found[1]) == (target, len(data))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (asked(1, bytes(4), command=2), socks.NO_COMMAND),
        (asked(1, bytes(4), command=3), socks.NO_COMMAND),
        (asked(1, bytes(4), command=0), socks.NO_COMMAND),
        (asked(1, bytes(4), reserved=1), socks.FAILED),
        (asked(2, bytes(4)), socks.NO_ADDRESS),
        (asked(0, bytes(4)), socks.NO_ADDRESS),
        (asked(1, b"\1\1\1\1", 0), socks.FAILED),
        *[
            (asked(3, name(one)), socks.FAILED)
            for one in (
                b"",
                b"a..b",
                b"127.1",
                b"a b",
                b"a\0b",
                b"\xff",
                b"[::1]",
                b"a" * 255,
                b"0x7f.1",
                b"a:1",
            )
        ],
        (b"\4" + bytes(9), socks.FAILED),
    ],
)
def test_a_bad_request_gets_the_right_reply(data, code):
    with pytest.raises(SocksError) as wrong:
        socks.read_request(data)
    assert wrong.value.answer == socks.reply(code)


def test_a_bad_greeting_is_refused():
    with pytest.raises(SocksError) as wrong:
        socks.read_greeting(b"\5\0")
    assert wrong.value.answer == socks.NO_METHOD
    with pytest.raises(SocksError):
        socks.read_greeting(b"\4\1\0")


def test_a_password_is_read():
    found = socks.read_password(b"\1\3abc\4wxyzmore")
    assert found == (socks.Password("abc", "wxyz"), 10)
    with pytest.raises(SocksError):
        socks.read_password(b"\5\3abc\4wxyz")


@pytest.mark.parametrize(
    ("read", "data"),
    [(socks.read_greeting, b"\5\2\0\2"), (socks.read_password, b"\1\3abc\4wxyz"),
     (socks.read_request, asked(3, name(b"a.example")))],
)  # fmt: skip
def test_a_message_is_read_when_it_is_whole(read, data):
    assert [read(data[:end]) for end in range(len(data))] == [None] * len(data)
    found = read(data)
    assert found is not None
    assert found[1] == len(data)


@given(
    st.binary(max_size=300),
    st.sampled_from([socks.read_greeting, socks.read_password, socks.read_request]),
)
def test_no_bytes_break_a_reader(data, read):
    try:
        found = read(data)
    except SocksError:
        return
    if found is None:
        assert len(data) <= socks.MOST
    else:
        assert found[1] <= len(data)
