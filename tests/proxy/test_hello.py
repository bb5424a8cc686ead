"""The server name in a TLS hello."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.proxy.hello import Hello, HelloError, read_hello


def hello(name="a.example"):
    """What this Python's TLS sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_records(data, size):
    """The same message in records of another size."""
    body = data[5:]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(data[:3] + len(part).to_bytes(2) + part for part in parts)


def test_the_name_is_found():
    assert read_hello(hello("A.Example")) == Hello(tls=True, name="a.example")


def test_a_hello_without_a_name_has_none():
    assert read_hello(hello(None)) == Hello(tls=True, name=None)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 50])
def test_a_hello_may_come_in_many_records(size):
    assert read_hello(in_records(hello(), size)) == Hello(tls=True, name="a.example")


def test_a_hello_is_read_when_it_is_whole():
    data = hello()
    assert all(read_hello(data[:end]) is None for end in range(len(data)))
    assert read_hello(data + b"more") == Hello(tls=True, name="a.example")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1", b"SSH-2.0-x", b"\x80\x2e\x01", b"\0", b"\x16\x02", b"\x17\x03\x03"]
)
def test_what_is_not_tls_is_told_at_once(data):
    assert read_hello(data) == Hello(tls=False)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x01\x01",
    ],
)  # fmt: skip
def test_what_only_begins_as_tls_is_an_error(data):
    with pytest.raises(HelloError):
        read_hello(data)


def with_names(extension):
    body = (
        b"\3\3"
        + bytes(32)
        + b"\0"
        + b"\0\2\x13\1"
        + b"\1\0"
        + len(extension).to_bytes(2)
        + extension
    )
    message = b"\1" + len(body).to_bytes(3) + body
    return b"\x16\x03\1" + len(message).to_bytes(2) + message


def names(*given):
    rows = b"".join(b"\0" + len(one).to_bytes(2) + one for one in given)
    value = len(rows).to_bytes(2) + rows
    return b"\0\0" + len(value).to_bytes(2) + value


def test_two_names_are_an_error():
    assert read_hello(with_names(names(b"a.example"))) == Hello(tls=True, name="a.example")
    for data in (names(b"a.example", b"b.example"), names(b"a.example") + names(b"b.example"), names(b""),
                 names(), names(b"\xff"), b"\0\0\0\1\0", b"\0\0\0\5\0\3\1\0\0"):  # fmt: skip
        with pytest.raises(HelloError):
            read_hello(with_names(data))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data):
    for one in (data, b"\x16\x03\x01" + data, with_names(data)):
        try:
            read_hello(one)
        except HelloError:
            continue


@given(st.data())
def test_no_flipped_byte_breaks_the_reader(data):
    raw = bytearray(hello())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        read_hello(raw)
    except HelloError:
        return
