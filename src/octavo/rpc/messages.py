"""JSON-RPC as the app server's clients speak it: without the `jsonrpc` member. Pure.

Ids are whole numbers or texts and come back as they were. What is no message is an error value
that says which kind of wrong it is, and whom to tell.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

Id = int | str


class Request(Struct, frozen=True):
    """Somebody asks, and waits for an answer with this id."""

    id: Id
    method: str
    params: Raw | None


class Notification(Struct, frozen=True):
    """Somebody tells; nobody answers."""

    method: str
    params: Raw | None


class Response(Struct, frozen=True):
    """The answer to one of our requests."""

    id: Id
    result: Raw


class Failure(Struct, frozen=True):
    """The error in place of an answer to one of our requests."""

    id: Id
    code: int
    message: str


class Bad(Struct, frozen=True):
    """No message; `id` is known where the rest was broken."""

    code: int
    message: str
    id: Id | None = None


Message = Request | Notification | Response | Failure | Bad


class Error(Struct, frozen=True):
    """An error as it travels."""

    code: int
    message: str
    data: Any = UNSET


class _Envelope(Struct, frozen=True):
    id: Id | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Error(Struct, frozen=True):
    code: int = INTERNAL_ERROR
    message: str = ""


class _Out(Struct, frozen=True, omit_defaults=True):
    id: Id | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Any = UNSET
    result: Any = UNSET
    error: Error | UnsetType = UNSET
    emittedAtMs: int | UnsetType = UNSET  # noqa: N815 - the name on the wire


DECODER: Final = msgspec.json.Decoder(_Envelope)
ENCODER: Final = msgspec.json.Encoder()


def decode(line: bytes) -> Message:
    """One line as a message; what is none is a `Bad`. Never raises."""
    try:
        found = DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _broken(line)
    if not isinstance(found.method, UnsetType):
        params = None if isinstance(found.params, UnsetType) else found.params
        if params is not None and bytes(params) == b"null":
            params = None
        if isinstance(found.id, UnsetType):
            return Notification(found.method, params)
        if found.id is None:
            return Bad(INVALID_REQUEST, "Invalid request: the id is null")
        return Request(found.id, found.method, params)
    if isinstance(found.id, UnsetType) or found.id is None:
        return Bad(INVALID_REQUEST, "Invalid request: neither a method nor an id")
    if not isinstance(found.error, UnsetType):
        return _failure(found.id, found.error)
    if not isinstance(found.result, UnsetType):
        return Response(found.id, found.result)
    return Bad(INVALID_REQUEST, "Invalid request: missing field `method`", found.id)


def _failure(id_: Id, raw: Raw) -> Failure:
    try:
        error = msgspec.json.decode(raw, type=_Error)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        error = _Error(message="an error of an unknown form")
    return Failure(id_, error.code, error.message)


def _broken(line: bytes) -> Bad:
    """Is it JSON at all, and does it say whom to answer?"""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        return Bad(PARSE_ERROR, f"Parse error: {error}")
    except RecursionError:
        return Bad(PARSE_ERROR, "Parse error: too many levels")
    id_ = found.get("id") if isinstance(found, dict) else None
    known = id_ if isinstance(id_, int | str) and not isinstance(id_, bool) else None
    return Bad(
        INVALID_REQUEST, "Invalid request: not a request, a notification or an answer", known
    )


def request(id_: Id, method: str, params: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """A question, as a line."""
    return ENCODER.encode(_Out(id=id_, method=method, params=params)) + b"\n"


def notification(method: str, params: Any, at_ms: int) -> bytes:  # noqa: ANN401 - any JSON value
    """A notice, as a line, with the time it was made."""
    return ENCODER.encode(_Out(method=method, params=params, emittedAtMs=at_ms)) + b"\n"


def reply(id_: Id, result: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """An answer, as a line."""
    return ENCODER.encode(_Out(id=id_, result=result)) + b"\n"


def failure(id_: Id | None, error: Error) -> bytes:
    """An error in place of an answer, as a line; with a null id when nobody knows whose it is."""
    if id_ is None:
        return ENCODER.encode({"id": None, "error": error}) + b"\n"
    return ENCODER.encode(_Out(id=id_, error=error)) + b"\n"
