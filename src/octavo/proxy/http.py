"""Heads and bodies of HTTP/1, read strictly: bytes in, values out. A mind, no sockets.

What two programs might read differently is refused (RFC 9112, sections 2.2, 5, 6 and 7 as a
gateway has to read them): a lone line feed, folded lines, two lengths, a length beside chunks.
"""

import re
from collections.abc import Collection
from typing import Final, Literal

from msgspec import Struct

from octavo.policy.hosts import HostError, Target, read_target

HEAD_BYTES: Final = 64 * 1024
FIELDS: Final = 100
TARGET_BYTES: Final = 8 * 1024
CHUNK_LINE: Final = 4 * 1024
TRAILER_BYTES: Final = 16 * 1024

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
VISIBLE: Final = re.compile(rb"[\x21-\x7e]+\Z")
REQUEST: Final = re.compile(rb"([^ ]+) ([^ ]+) HTTP/([0-9])\.([0-9])\Z")
STATUS: Final = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\Z")
LONE: Final = re.compile(rb"(?<!\r)\n")
SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
DIGITS: Final = re.compile(rb"[0-9]{1,18}\Z")

Field = tuple[bytes, bytes]
"""Name as it came, value."""
HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
     b"proxy-authorization", b"proxy-authentication-info", b"te", b"trailer", b"upgrade",
     b"transfer-encoding", b"content-length", b"host"}
)  # fmt: skip
"""Fields of one connection, and those the proxy writes anew."""


class HttpError(Exception):
    """Not HTTP as it has to be; `status` is the answer for whoever sent it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(Struct, frozen=True):
    """The fields of a message, and how its body ends."""

    fields: tuple[Field, ...]
    by_name: dict[bytes, list[bytes]]
    """The same, by the names in small letters."""

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field; the name in small letters."""
        return self.by_name.get(name, [])

    def listed(self, name: bytes) -> list[bytes]:
        """The members of a field that is a list, in small letters."""
        if name not in self.by_name:
            return []
        joined = b",".join(self.by_name[name]).lower()
        return [part for one in joined.split(b",") if (part := one.strip(b" \t"))]

    def kept(self) -> list[Field]:
        """The fields that go on to the other side."""
        named = set(self.listed(b"connection")) if self.values(b"connection") else ()
        return [
            (name, value)
            for name, value in self.fields
            if (low := name.lower()) not in HOP_BY_HOP
            and not low.startswith(b"proxy-")
            and low not in named
        ]


class Request(Head, frozen=True):
    """What a client asks."""

    method: str = ""
    target: str = ""
    minor: int = 1

    @property
    def keep_alive(self) -> bool:
        """Will the client send another request on this connection?"""
        named = self.listed(b"connection") + self.listed(b"proxy-connection")
        return b"close" not in named and (self.minor > 0 or b"keep-alive" in named)


class Response(Head, frozen=True):
    """What a server answers."""

    status: int = 0
    reason: bytes = b""
    minor: int = 1

    @property
    def keep_alive(self) -> bool:
        """Will the server take another request on this connection?"""
        named = self.listed(b"connection")
        return b"close" not in named and (self.minor > 0 or b"keep-alive" in named)


Body = int | Literal["chunked", "until close"]
"""How a body ends: after so many bytes, with its last chunk, or with the connection."""


# ---- heads --------------------------------------------------------------------------------------


def head_end(data: bytearray, start: int = 0) -> int | None:
    """Where the fields end, the empty line included; None while they do not.

    `start`: how much was looked at before. Raises HttpError for lines that end without a return.
    """
    at = data.find(b"\r\n\r\n", max(0, start - 3))
    stop = len(data) if at < 0 else at + 4
    if LONE.search(data, start, stop):
        raise HttpError(400, "lines have to end in CR LF")
    if at >= 0:
        return stop
    if len(data) > HEAD_BYTES:
        raise HttpError(431, "the header section is too large")
    return None


def read_request(head: bytes) -> Request:
    """A head up to its empty line. Raises HttpError."""
    first, fields, by_name = _lines(head)
    match = REQUEST.match(first)
    if match is None:
        raise HttpError(400, "not a request line")
    method, target, major, minor = match.groups()
    if not TOKEN.match(method) or len(method) > 64:
        raise HttpError(400, "not a method")
    if len(target) > TARGET_BYTES:
        raise HttpError(414, "the target is too long")
    if not VISIBLE.match(target):
        raise HttpError(400, "not a target")
    if major != b"1" or minor not in b"01":
        raise HttpError(505, "only HTTP/1.0 and HTTP/1.1")
    return Request(fields, by_name, method.decode("ascii"), target.decode("ascii"), int(minor))


def read_response(head: bytes) -> Response:
    """The head of an answer. Raises HttpError."""
    first, fields, by_name = _lines(head)
    match = STATUS.match(first)
    if match is None:
        raise HttpError(502, "not a status line")
    minor, status, reason = match.groups()
    return Response(fields, by_name, int(status), reason or b"", int(minor))


def _lines(head: bytes) -> tuple[bytes, tuple[Field, ...], dict[bytes, list[bytes]]]:
    if len(head) > HEAD_BYTES:
        raise HttpError(431, "the header section is too large")
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(lines) > FIELDS:
        raise HttpError(431, "too many header fields")
    if b"\r" in first or b"\n" in first:
        raise HttpError(400, "lines have to end in CR LF")
    fields = tuple([_field(line) for line in lines])
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        by_name.setdefault(name.lower(), []).append(value)
    return first, fields, by_name


def _field(line: bytes) -> Field:
    name, colon, value = line.partition(b":")
    if not colon or not TOKEN.match(name):
        raise HttpError(400, "not a header field")
    value = value.strip(b" \t")
    if not VALUE.match(value):
        raise HttpError(400, "a header value holds what it may not")
    return name, value


# ---- targets ------------------------------------------------------------------------------------


class Aim(Struct, frozen=True):
    """Where a request goes, and what is asked there."""

    target: Target
    path: str
    """With the query; empty for CONNECT."""


def aim(request: Request) -> Aim:
    """The host and path of a request to a proxy. Raises HttpError."""
    try:
        if request.method == "CONNECT":
            target = read_target(request.target)
            check_host(request, target, None)
            return Aim(target, "")
        found = _absolute(request)
        check_host(request, found.target, 80)
    except HostError as wrong:
        raise HttpError(400, str(wrong)) from wrong
    return found


def inner_aim(request: Request, target: Target, default_port: int = 443) -> Aim:
    """The path of a request on a connection to a target. Raises HttpError."""
    if request.method in ("CONNECT", "PRI"):
        raise HttpError(400, "no tunnel inside a tunnel")
    if not (request.target.startswith("/") or (request.target, request.method) == ("*", "OPTIONS")):
        raise HttpError(400, "inside a tunnel a target begins with a slash")
    if "#" in request.target:
        raise HttpError(400, "a target has no fragment")
    try:
        check_host(request, target, default_port)
    except HostError as wrong:
        raise HttpError(400, str(wrong)) from wrong
    return Aim(target, request.target)


def _absolute(request: Request) -> Aim:
    scheme, found, rest = request.target.partition("://")
    if not found or not scheme.isalpha():
        raise HttpError(400, "a proxy needs the whole address: http://host/path")
    if scheme.lower() != "http":
        raise HttpError(400, "only http:// is forwarded; use CONNECT for everything else")
    if "#" in rest:
        raise HttpError(400, "a target has no fragment")
    cut = re.search("[/?]", rest)
    authority, path = (rest, "") if cut is None else (rest[: cut.start()], rest[cut.start() :])
    user, at, authority = authority.rpartition("@")
    if at and "@" in user:
        raise HttpError(400, "not a host")
    if not path.startswith("/"):
        path = "*" if request.method == "OPTIONS" and not path else f"/{path}"
    return Aim(read_target(authority, 80), path)


def check_host(request: Request, target: Target, default_port: int | None) -> None:
    """The Host field has to name the target. Raises HttpError, HostError."""
    values = request.values(b"host")
    if len(values) > 1:
        raise HttpError(400, "more than one Host")
    if not values:
        if request.minor == 0:
            return
        raise HttpError(400, "there is no Host")
    try:
        text = values[0].decode("ascii")
    except UnicodeDecodeError as wrong:
        raise HttpError(400, "Host has to be ASCII") from wrong
    named = read_target(text, target.port if default_port is None else default_port)
    if named != target:
        raise HttpError(400, "Host and target differ")


# ---- bodies -------------------------------------------------------------------------------------


def request_body(request: Request) -> Body:
    """How the body of a request ends. Raises HttpError."""
    body = _framing(request, request.minor)
    return 0 if body is None else body


def response_body(response: Response, method: str) -> Body:
    """How the body of an answer ends. Raises HttpError."""
    body = _framing(response, response.minor)
    if method == "HEAD" or response.status < 200 or response.status in (204, 304):
        return 0
    return "until close" if body is None else body


def _framing(head: Head, minor: int) -> Body | None:
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    if codings:
        if lengths:
            raise HttpError(400, "Content-Length and Transfer-Encoding")
        if [one.lower() for one in codings] != [b"chunked"] or minor == 0:
            raise HttpError(400, "not a Transfer-Encoding that is forwarded")
        return "chunked"
    if not lengths:
        return None
    if len(lengths) > 1 or not DIGITS.match(lengths[0]):
        raise HttpError(400, "not a Content-Length")
    return int(lengths[0])


class Chunks:
    """A chunked body, piece by piece. Extensions and trailers are dropped.

    After `done`, what came behind the body is in `rest`.
    """

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._line = bytearray()
        self._left = 0  # of the data of a chunk
        self._state: Literal["size", "data", "end", "trailer"] = "size"
        self._trailer = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data in the next bytes. Raises HttpError."""
        found: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._state == "data":
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = "end"
            else:
                at = self._take_line(data, at)
        if self.done:
            self.rest = data[at:]
        return found

    def _take_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        self._line += data[at:stop]
        if len(self._line) > CHUNK_LINE:
            raise HttpError(400, "a line of a chunked body is too long")
        if end >= 0:
            if not self._line.endswith(b"\r\n") or b"\r" in self._line[:-2]:
                raise HttpError(400, "lines have to end in CR LF")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._on_line(line)
        return stop

    def _on_line(self, line: bytes) -> None:
        if self._state == "size":
            match = SIZE.match(line)
            if match is None:
                raise HttpError(400, "not the size of a chunk")
            self._left = int(match[1], 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "end":
            if line:
                raise HttpError(400, "a chunk is longer than it says")
            self._state = "size"
        elif not line:
            self.done = True
        else:
            _field(line)
            self._trailer += len(line)
            if self._trailer > TRAILER_BYTES:
                raise HttpError(431, "the trailers are too large")


# ---- writing ------------------------------------------------------------------------------------


def write_request(
    request: Request,
    at: str,
    host: str,
    body: Body,
    *,
    upgrade: bool,
    more: bytes = b"",
    strip: Collection[bytes] = (),
) -> bytes:
    """The head that goes to the server. `at`: path, or the whole address for another proxy.

    `more`: whole lines with their ends. `strip`: names of fields that are left out, in small letters.
    """
    rows = [f"{request.method} {at} HTTP/1.1\r\nHost: {host}\r\n".encode("ascii")]
    rows += [b"%b: %b\r\n" % field for field in request.kept() if field[0].lower() not in strip]
    if body == "chunked":
        rows.append(b"Transfer-Encoding: chunked\r\n")
    elif isinstance(body, int) and (body or request.values(b"content-length")):
        rows.append(b"Content-Length: %d\r\n" % body)
    if upgrade:
        rows.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    rows.append(more + b"\r\n")
    return b"".join(rows)


def write_response(response: Response, body: Body, *, more: tuple[bytes, ...] = ()) -> bytes:
    """The head that goes to the client. `more`: whole lines without their ends."""
    rows = [b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason)]
    rows += [b"%b: %b\r\n" % field for field in response.kept()]
    if body == "chunked":
        rows.append(b"Transfer-Encoding: chunked\r\n")
    elif response.values(b"content-length"):
        rows.append(b"Content-Length: %b\r\n" % response.values(b"content-length")[0])
    rows += [b"%b\r\n" % line for line in more]
    rows.append(b"\r\n")
    return b"".join(rows)


def websocket(head: Head) -> bool:
    """Does it want to become a WebSocket (or has it)? Nothing else may change its protocol."""
    return b"upgrade" in head.listed(b"connection") and head.listed(b"upgrade") == [b"websocket"]
