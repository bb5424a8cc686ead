"""Another proxy on the way out, where a network has no other. Off unless it is given. Values and one hand.

What is allowed is decided here, names are looked up and addresses checked here as ever; only then
the name is handed on. HTTP proxies only.
"""

import base64
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from octavo.policy.hosts import HostError, Pattern, Target, read_pattern, read_target
from octavo.protocol.errors import UsageError
from octavo.proxy import http
from octavo.proxy.dial import DialError
from octavo.proxy.heads import head_in
from octavo.proxy.http import HttpError
from octavo.proxy.wire import Wire


class Parent(Struct, frozen=True, kw_only=True):
    """A proxy of somebody else's."""

    target: Target
    authorization: bytes | None = None

    def lines(self) -> bytes:
        """The fields it wants to see."""
        if self.authorization is None:
            return b""
        return b"Proxy-Authorization: Basic %b\r\n" % self.authorization


class Parents(Struct, frozen=True, kw_only=True):
    """Which proxy for what."""

    plain: Parent | None = None
    tunnels: Parent | None = None
    direct: tuple[Pattern, ...] = ()
    """Hosts that are reached without one."""

    def for_target(self, target: Target, *, plain: bool) -> Parent | None:
        """None: go there directly."""
        if any(one.matches(target) for one in self.direct):
            return None
        return self.plain if plain else self.tunnels


def read_parents(environ: Mapping[str, str]) -> Parents:
    """From HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case. Raises UsageError."""

    def value(*names: str) -> Parent | None:
        for name in names:
            for spelled in (name.lower(), name):
                if text := environ.get(spelled):
                    return read_parent(text, spelled)
        return None

    none = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    direct: list[Pattern] = []
    for part in none.replace(",", " ").split():
        try:
            # `.example.org` and `example.org` both mean the host and what is below it
            bare = part.removeprefix("*").removeprefix(".")
            direct.append(read_pattern("*" if part == "*" else f"**.{bare}"))
        except HostError:
            try:
                direct.append(read_pattern(part))
            except HostError:
                continue  # a block of addresses, for one: such targets are not handed on by name
    return Parents(
        plain=value("HTTP_PROXY", "ALL_PROXY"),
        tunnels=value("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"),
        direct=tuple(direct),
    )


def read_parent(text: str, name: str) -> Parent:
    """A proxy's address. Raises UsageError, which does not repeat it: it may hold a password."""
    try:
        found = urlsplit(text if "://" in text else f"http://{text}")
        if found.scheme != "http" or not found.hostname:
            raise UsageError(f"{name}: only http:// proxies can be passed on to")
        target = read_target(found.netloc.rpartition("@")[2], 80)
    except ValueError as wrong:
        raise UsageError(f"{name}: not the address of a proxy") from wrong
    if found.username is None:
        return Parent(target=target)
    pair = f"{unquote(found.username)}:{unquote(found.password or '')}"
    return Parent(target=target, authorization=base64.b64encode(pair.encode()))


async def through(wire: Wire, parent: Parent, target: Target, seconds: float) -> None:
    """Ask for a tunnel. Raises DialError."""
    wire.write(
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode("ascii")
        + parent.lines()
        + b"\r\n"
    )
    try:
        end = await head_in(wire, wire.within(seconds))
        if end is None:
            raise DialError("unreachable")
        answer = http.read_response(bytes(wire.take(end)))
    except TimeoutError:
        raise DialError("timeout") from None
    except HttpError as wrong:
        raise DialError("unreachable") from wrong
    if not 200 <= answer.status < 300:
        raise DialError("refused")
