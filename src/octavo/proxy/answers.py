"""What a client is told: status, fields, body. Values; no address is ever named."""

from collections.abc import Mapping
from typing import Final

import msgspec

from octavo.policy.network import Decision, Reason

LABELS: Final[Mapping[Reason, str]] = {
    "not_allowed": "blocked-by-allowlist",
    "not_allowed_local": "blocked-by-local-address",
    "denied": "blocked-by-denylist",
    "method_not_allowed": "blocked-by-method-policy",
    "mitm_required": "blocked-by-mitm-required",
    "mitm_hook_denied": "blocked-by-mitm-hook",
}
"""For `x-proxy-error`; the rest is `blocked-by-policy`."""
REASONS: Final[Mapping[int, str]] = {
    400: "Bad Request", 403: "Forbidden", 407: "Proxy Authentication Required",
    408: "Request Timeout", 414: "URI Too Long", 431: "Request Header Fields Too Large",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}  # fmt: skip
ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def label(decision: Decision) -> str:
    return LABELS.get(decision.reason, "blocked-by-policy")


def plain(
    status: int, text: str, *, close: bool = True, head_only: bool = False, more: str = ""
) -> bytes:
    """A short answer in words. `more`: whole lines with their ends."""
    return _answer(
        status,
        "text/plain; charset=utf-8",
        f"{text}\n".encode(),
        close=close,
        head_only=head_only,
        more=more,
    )


def refused(decision: Decision, *, as_json: bool, close: bool, head_only: bool = False) -> bytes:
    """403, and which list it was."""
    more = f"x-proxy-error: {label(decision)}\r\n"
    if not as_json:
        return plain(403, sentence(decision), close=close, head_only=head_only, more=more)
    body = {
        "status": "blocked",
        "host": decision.host,
        "reason": decision.reason,
        "decision": "deny",
        "source": decision.source,
        "protocol": decision.protocol,
        "port": decision.port,
        "message": sentence(decision),
    }
    return _answer(
        403,
        "application/json",
        msgspec.json.encode(body),
        close=close,
        head_only=head_only,
        more=more,
    )


def sentence(decision: Decision) -> str:
    """The message, what became of the question, and what would help."""
    parts = [decision.message]
    if decision.note is not None:
        parts.append(decision.note)
    if decision.grant is not None:
        parts.append(f"To allow it: {decision.grant}")
    return " ".join(parts)


def _answer(
    status: int, kind: str, body: bytes, *, close: bool, head_only: bool, more: str
) -> bytes:
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\n"
        f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}"
        f"connection: {'close' if close else 'keep-alive'}\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if head_only else body)
