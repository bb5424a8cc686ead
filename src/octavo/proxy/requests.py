"""Rules about single requests, applied to one: let through, refused, and what is put into it. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from octavo.policy.hosts import Target
from octavo.policy.network import Decision, HostPolicy, Protocol, no
from octavo.policy.requests import matching
from octavo.protocol.permissions import Injection, RequestRule
from octavo.proxy.http import Request, websocket


class Looked(Struct, frozen=True):
    """What rules say about one request."""

    refusal: Decision | None = None
    strip: frozenset[bytes] = frozenset()
    """Headers that are taken out, in small letters."""
    lines: bytes = b""
    """Headers that are put in, whole lines."""


FREE = Looked()


def look(
    policy: HostPolicy,
    target: Target,
    protocol: Protocol,
    request: Request,
    *,
    path: str,
    inside: bool,
) -> Looked:
    """`path`: with its query. `inside`: it came through TLS. A WebSocket meets no rule."""
    rules = policy.requests(target)
    if not rules:
        return FREE
    goes_on = request.kept() if any(one.headers for one in rules) else ()
    found = matching(
        rules,
        scheme="https" if inside else "http",
        port=target.port,
        method=request.method,
        path=path,
        fields=lambda name: [
            value.decode("latin-1") for one, value in goes_on if one.lower() == name.encode()
        ],
    )
    if found is None or websocket(request):
        rule = rules[0].ref
        return Looked(no(target, protocol, "mitm_hook_denied", method=request.method, rule=rule))
    return shaped(found, policy.secrets)


def shaped(rule: RequestRule, secrets: Mapping[Injection, str]) -> Looked:
    """What a rule does to a request. A header that is put in replaces the command's own."""
    set_here = {one.header.lower() for one in rule.inject}
    strip = frozenset(name.encode("ascii") for name in {*rule.strip, *set_here})
    lines = "".join(f"{one.header}: {one.prefix}{secrets[one]}\r\n" for one in rule.inject)
    return Looked(None, strip, lines.encode("latin-1"))
