"""Which failure it is: an HTTP status, an error inside the stream, a broken connection.

Pure. The phrases in front are those programs around us look for; the rest are our own words.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from octavo.model.retry import said_wait_ms
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.wire import ANY

K = ModelErrorKind
CUT: Final = "stream disconnected before completion: "
MOST_TEXT: Final = 2_000
"""Characters of a server's own words that are passed on."""

TEXTS: Final = {
    K.CONTEXT_WINDOW: "The conversation does not fit into the model's context window any more. "
    "Compact it, or start a new thread.",
    K.QUOTA: "Quota exceeded. Check your plan and billing details.",
    K.USAGE_LIMIT: "You have reached your usage limit.",
    K.OVERLOADED: "Selected model is at capacity. Please try a different model.",
}
"""What is said in place of the server's words."""

CODES: Final = {
    "context_length_exceeded": K.CONTEXT_WINDOW,
    "exceed_context_size_error": K.CONTEXT_WINDOW,  # llama.cpp
    "request_too_large": K.CONTEXT_WINDOW,  # Messages
    "insufficient_quota": K.QUOTA,
    "billing_error": K.QUOTA,  # Messages
    "usage_limit_reached": K.USAGE_LIMIT,
    "usage_not_included": K.USAGE_LIMIT,
    "invalid_prompt": K.INVALID_REQUEST,
    "invalid_request_error": K.INVALID_REQUEST,
    "content_policy_violation": K.REFUSED,
    "server_is_overloaded": K.OVERLOADED,
    "slow_down": K.OVERLOADED,
    "rate_limit_exceeded": K.RATE_LIMITED,
    "rate_limit_error": K.RATE_LIMITED,  # Messages
    "authentication_error": K.AUTH,  # Messages
    "permission_error": K.AUTH,  # Messages
}
"""`code` or `type` of an error object."""
TOO_LONG: Final = (
    "maximum context length",  # vLLM and kin
    "prompt is too long",  # Messages
    "exceeds the available context size",  # llama.cpp
    "context length exceeded",
)
"""Where a server has no code for it, its message tells."""


def in_stream(error: object) -> ModelError:
    """The failure an error object inside a stream stands for."""
    code, message = _code(error), _message(error)
    kind = _kind(code, message)
    if kind is None:
        return ModelError(
            CUT + (message or code or "the server gave no reason"), kind=K.DISCONNECTED
        )
    if kind is K.RATE_LIMITED:
        wait = said_wait_ms(message)
        return ModelError(f"rate limit exceeded: {message}", kind=kind, retry_after_ms=wait)
    return ModelError(_text(kind, error) or message or code, kind=kind)


def from_status(
    status: int, reason: str, body: str, *, url: str, retry_after_ms: int | None = None
) -> ModelError:
    """The failure an HTTP answer stands for. `body` is its text, of any kind."""
    error = _error_object(body)
    code, message = _code(error), _message(error)
    kind = _kind(code, message)
    line = f"{status} {reason}".strip()
    if status == 429 and kind not in (K.QUOTA, K.USAGE_LIMIT):
        wait = retry_after_ms if retry_after_ms is not None else said_wait_ms(message)
        text = f"exceeded retry limit, last status: {line}"
        return ModelError(text, kind=K.RATE_LIMITED, status=status, retry_after_ms=wait)
    if kind in (K.QUOTA, K.USAGE_LIMIT, K.OVERLOADED):
        return ModelError(_text(kind, error), kind=kind, status=status)
    if status in (400, 413) or kind is K.CONTEXT_WINDOW:
        return ModelError(
            body[:MOST_TEXT] or f"the server refused the request: {line}",
            kind=kind if kind in (K.CONTEXT_WINDOW, K.REFUSED) else K.INVALID_REQUEST,
            status=status,
        )
    said = message or body[:MOST_TEXT].strip() or "the server gave no reason"
    return ModelError(
        f"unexpected status {line}: {said}, url: {url}",
        kind=K.AUTH if status in (401, 403) else K.SERVER,
        status=status,
        retry_after_ms=retry_after_ms,
        hint="Check the provider's key." if status in (401, 403) else None,
    )


def cut_off(why: str) -> ModelError:
    """The connection broke while the answer was coming."""
    return ModelError(CUT + f"Transport error: network error: {why}", kind=K.DISCONNECTED)


def ended_early() -> ModelError:
    """The stream ended, but the answer was not complete."""
    return ModelError(CUT + "stream closed before response.completed", kind=K.DISCONNECTED)


def idle(limit_ms: int) -> ModelError:
    """Nothing came for too long."""
    return ModelError(
        CUT + "idle timeout waiting for SSE",
        kind=K.IDLE_TIMEOUT,
        hint=f"Nothing came for {limit_ms} ms (stream_idle_timeout_ms).",
    )


def incomplete(reason: str) -> ModelError:
    """The server stopped on purpose before the answer was complete."""
    return ModelError(f"Incomplete response returned, reason: {reason}", kind=K.INCOMPLETE)


def unreachable(url: str, why: str) -> ModelError:
    """No connection came about."""
    return ModelError(
        f"cannot reach the model at {url}: {why}",
        kind=K.UNREACHABLE,
        hint="Check the address (base_url), the network and the proxy settings.",
    )


def _kind(code: str, message: str) -> ModelErrorKind | None:
    kind = CODES.get(code)
    lower = message.lower()
    if kind in (None, K.INVALID_REQUEST) and any(words in lower for words in TOO_LONG):
        return K.CONTEXT_WINDOW
    return kind


def _text(kind: ModelErrorKind, error: object) -> str:
    text = TEXTS.get(kind, "")
    if kind is K.USAGE_LIMIT and isinstance(error, dict):
        return text + _reset(error)
    return text


def _reset(error: Mapping[str, Any]) -> str:
    at, within = error.get("resets_at"), error.get("resets_in_seconds")
    if isinstance(at, int | float) and 0 < at < 1e11:
        return f" Try again at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC."
    if isinstance(within, int | float) and 0 < within < 1e9:
        return f" Try again in {-(-int(within) // 60)} minutes."
    return ""


def _error_object(body: str) -> object:
    try:
        found: object = ANY.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    if isinstance(found, list) and len(found) == 1:  # some gateways wrap it
        found = found[0]
    return found.get("error", found) if isinstance(found, dict) else found


def _code(error: object) -> str:
    if not isinstance(error, dict):
        return ""
    for key in ("code", "type"):
        value = error.get(key)
        if isinstance(value, str) and value in CODES:
            return value
    value = error.get("code") or error.get("type")
    return value if isinstance(value, str) else ""


def _message(error: object) -> str:
    if isinstance(error, str):
        return error[:MOST_TEXT]
    if not isinstance(error, dict):
        return ""
    for key in ("message", "detail", "error"):
        value = error.get(key)
        if isinstance(value, str) and value:
            return value[:MOST_TEXT]
    return ""
