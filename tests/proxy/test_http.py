"""HTTP heads and bodies, read strictly; h11 is the other judge."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.proxy import http
from octavo.proxy.http import Chunks, HttpError

LINE = b"GET http://a.example/ HTTP/1.1\r\n"
HOST = b"Host: a.example\r\n"


def request(data):
    end = http.head_end(bytearray(data))
    assert end is not None
    return http.read_request(data[:end])


def dripped(data, step):
    """Where the head ends, when it comes in pieces."""
    buffer, seen = bytearray(), 0
    for at in range(0, len(data), step):
        buffer += data[at : at + step]
        end = http.head_end(buffer, seen)
        if end is not None:
            return end
        seen = len(buffer)
    return None


def status(data):
    """What a message is answered with; 200 when nothing is wrong with it."""
    try:
        found = request(data)
        http.aim(found)
        http.request_body(found)
    except HttpError as wrong:
        return wrong.status
    return 200


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LINE + HOST + b"\r\n", 200),
        (b"GET http://a.example HTTP/1.0\r\n\r\n", 200),
        (LINE + HOST + b"Content-Length: 5\r\n\r\n", 200),
        (LINE + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 200),
        (LINE + HOST + b"Transfer-Encoding: CHUNKED\r\n\r\n", 200),
        (LINE + HOST + b"X-A:\t b \r\n\r\n", 200),
        (LINE + HOST + b"X-A:\r\n\r\n", 200),
        # two ways to read where the body ends
        (LINE + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 5, 5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: +5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: -5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 0x5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 5 5\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length:\r\n\r\n", 400),
        (LINE + HOST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: chunked;q=1\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding: identity\r\n\r\n", 400),
        (LINE + HOST + b"Transfer-Encoding:\r\n\r\n", 400),
        (b"GET http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        # fields
        (LINE + HOST + b"Transfer-Encoding : chunked\r\n\r\n", 400),
        (LINE + HOST + b" Transfer-Encoding: chunked\r\n\r\n", 400),
        (LINE + HOST + b"X: a\r\n b\r\n\r\n", 400),
        (LINE + HOST + b"X: a\r\n\tb\r\n\r\n", 400),
        (LINE + HOST + b"X: a\0b\r\n\r\n", 400),
        (LINE + HOST + b"X: a\rb\r\n\r\n", 400),
        (LINE + HOST + b"X: a\x7fb\r\n\r\n", 400),
        (LINE + HOST + b"X\xff: a\r\n\r\n", 400),
        (LINE + HOST + b": a\r\n\r\n", 400),
        (LINE + HOST + b"no colon\r\n\r\n", 400),
        (LINE + HOST + b"\rX: a\r\n\r\n", 400),
        (LINE + b"".join(b"X-%d: a\r\n" % n for n in range(99)) + HOST + b"\r\n", 200),
        (LINE + b"".join(b"X-%d: a\r\n" % n for n in range(100)) + HOST + b"\r\n", 431),
        # lines
        (LINE.replace(b"\r", b"") + HOST + b"\r\n", 400),
        (LINE + HOST.replace(b"\r", b"") + b"\r\n", 400),
        (b"GET  http://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b" GET http://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/ HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
        (b"GET\thttp://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/ HTTP/1.1x\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/ http/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/ HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET http://a.example/ HTTP/1.2\r\n" + HOST + b"\r\n", 505),
        (b"GET http://a.example/\r\n" + HOST + b"\r\n", 400),
        (b"G\x00T http://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"G(T http://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/\x80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        # targets
        (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET a.example:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET //a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET ftp://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET https://a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http:/a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http:///x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example:0/ HTTP/1.1\r\nHost: a.example:0\r\n\r\n", 400),
        (b"GET http://a.example:/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example:65536/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example/#f HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a@b@a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://a.example\\@b.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://user:pass@a.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        (b"GET http://127.1/ HTTP/1.1\r\nHost: 127.1\r\n\r\n", 400),
        (b"GET HTTP://A.Example:80/ HTTP/1.1\r\n" + HOST + b"\r\n", 200),
        # Host
        (LINE + b"\r\n", 400),
        (LINE + HOST + HOST + b"\r\n", 400),
        (LINE + b"Host: b.example\r\n\r\n", 400),
        (LINE + b"Host: a.example:81\r\n\r\n", 400),
        (LINE + b"Host: a.example:80\r\n\r\n", 200),
        (LINE + b"Host:\r\n\r\n", 400),
        (LINE + b"Host: a.example, b.example\r\n\r\n", 400),
        (LINE + b"Host: a.example\xff\r\n\r\n", 400),
        # CONNECT
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 200),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 200),
        (b"CONNECT a.example:443 HTTP/1.0\r\n\r\n", 200),
        (b"CONNECT [2600::1]:443 HTTP/1.1\r\nHost: [2600::1]:443\r\n\r\n", 200),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n", 400),
        (b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:80\r\n\r\n", 400),
        (b"CONNECT a.example HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        *[
            (b"CONNECT a.example:%b HTTP/1.1\r\n" % port + HOST + b"\r\n", 400)
            for port in (b"", b"0", b"65536", b"0x1bb", b"-1", b"443a", b"+443", b"443/")
        ],
        (b"CONNECT http://a.example:443/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"CONNECT user@a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ],
)
def test_a_request_gets_the_right_status(data, expected):
    assert status(data) == expected


def test_a_head_may_be_large_but_not_endless():
    data = bytearray(LINE + HOST + b"X: " + b"a" * http.HEAD_BYTES)
    with pytest.raises(HttpError) as wrong:
        http.head_end(data)
    assert wrong.value.status == 431


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_head_is_found_however_it_drips(step):
    data = LINE + HOST + b"X: a\r\n\r\nbody"
    assert dripped(data, step) == data.index(b"body")


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_lone_line_feed_is_noticed_at_once(step):
    data = LINE + b"Host: a\nX: b\r\n\r\n"
    with pytest.raises(HttpError, match="CR LF"):
        dripped(data, step)


def test_userinfo_is_not_passed_on():
    found = http.aim(request(b"GET http://user:secret@a.example/x?y HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert (str(found.target), found.path) == ("a.example:80", "/x?y")


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [("GET", "http://a.example", "/"), ("GET", "http://a.example?x", "/?x"),
     ("OPTIONS", "http://a.example", "*"), ("GET", "http://a.example/a//b/../c?d=/e", "/a//b/../c?d=/e")],
)  # fmt: skip
def test_the_path_goes_on_as_it_came(method, target, path):
    data = f"{method} {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    assert http.aim(request(data)).path == path


def test_fields_of_one_connection_are_not_passed_on():
    data = (
        LINE + HOST + b"Connection: close, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic x\r\n"
        b"Proxy-Anything: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\n"
        b"Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )
    written = http.write_request(request(data), "/", "a.example", 0, upgrade=False)
    assert written == (
        b"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: a=b\r\nContent-Length: 0\r\n\r\n"
    )


def test_a_length_named_as_a_field_of_the_connection_still_counts():
    data = LINE + HOST + b"Connection: content-length\r\nContent-Length: 5\r\n\r\n"
    found = request(data)
    written = http.write_request(found, "/", "a.example", http.request_body(found), upgrade=False)
    assert b"Content-Length: 5\r\n" in written


@pytest.mark.parametrize(
    ("head", "method", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", 0),
        (b"HTTP/1.1 204\r\n\r\n", "GET", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "GET", 0),
        (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "GET", "chunked"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "GET", "until close"),
    ],
)
def test_an_answer_says_how_it_ends(head, method, body):
    assert http.response_body(http.read_response(head), method) == body


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    ],
)  # fmt: skip
def test_an_odd_answer_is_an_error(head):
    with pytest.raises(HttpError):
        http.response_body(http.read_response(head), "GET")


# ---- chunks -------------------------------------------------------------------------------------


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    st.integers(1, 30),
    st.binary(max_size=20),
)
def test_chunks_are_put_together_however_they_come(pieces, step, rest):
    data = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n" + rest
    decoder, found, at = Chunks(), b"", 0
    while not decoder.done:
        found += b"".join(decoder.feed(data[at : at + step]))
        at += step
    assert found == b"".join(pieces)
    assert decoder.rest + data[at:] == rest


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n", b"\r\n", b" 5\r\n", b"5 \r\n", b"0x5\r\n", b"+5\r\n", b"-1\r\n", b"5\nhello", b"5\r\nhelloX\r\n",
        b"5\r\nhello\n", b"5\r\nhello\r0\r\n\r\n", b"1" * 16 + b"\r\n", b"5;" + b"x" * 5000, b"5;a\0\r\n",
        b"5;a\rb\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\r\n Y: a\r\n\r\n", b"5" + b"\r" * 5000,
        b"0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1000,
    ],
)  # fmt: skip
def test_odd_chunks_are_refused(data):
    with pytest.raises(HttpError):
        Chunks().feed(data)


def test_extensions_and_trailers_are_dropped():
    decoder = Chunks()
    found = decoder.feed(b"5;a=b\r\nhello\r\n0;c\r\nX-T: 1\r\n\r\nnext")
    assert (b"".join(found), decoder.done, decoder.rest) == (b"hello", True, b"next")


@given(st.binary(max_size=200), st.integers(1, 40))
def test_no_bytes_break_the_chunk_reader(data, step):
    decoder = Chunks()
    try:
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
    except HttpError:
        return


# ---- the other judge ----------------------------------------------------------------------------

PIECE = st.sampled_from(
    [b"GET", b"POST", b" ", b"  ", b"http://a.example/", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n",
     b"\r", b"Host: a.example", b"Content-Length: 5", b"Content-Length: 6", b"Transfer-Encoding: chunked",
     b"X: y", b":", b"\t", b"\0", b"\xff", b"a"]
)  # fmt: skip


def h11_reads(data):
    """The head as h11 sees it; None when it sees none."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    try:
        connection.receive_data(data)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def ours(data):
    try:
        buffer = bytearray(data)
        end = http.head_end(buffer)
        if end is None:
            return None
        found = http.read_request(bytes(buffer[:end]))
        http.request_body(found)
        http.aim(found)
    except HttpError:
        return None
    return found


@given(st.lists(PIECE, max_size=14).map(b"".join), st.booleans())
def test_what_we_accept_another_parser_reads_the_same_way(data, whole):
    if whole:
        data = LINE + HOST + data + b"\r\n\r\n"
    found = ours(data)
    if found is None:
        return
    event = h11_reads(data)
    assert event is not None
    assert event.method == found.method.encode()
    assert event.target == found.target.encode()
    # where a field repeats the same length we are stricter; the rest has to be equal
    assert [(n, v) for n, v in event.headers] == [(n.lower(), v) for n, v in found.fields]


@given(st.binary(max_size=300))
def test_no_bytes_break_the_head_reader(data):
    assert ours(data) is None or data.startswith(b"C")
