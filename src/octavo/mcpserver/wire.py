"""JSON-RPC as MCP has it: with the `jsonrpc` member on every line. Pure.

Lines are read by `octavo.rpc.messages`, which passes over that member.
"""

import json
from typing import Any, Final

import msgspec

from octavo.rpc.messages import ENCODER, Error, Id

VERSION: Final = {"jsonrpc": "2.0"}
Json = dict[str, Any]


def request(id_: Id, method: str, params: Json) -> bytes:
    """A question, as a line."""
    return _line({**VERSION, "id": id_, "method": method, "params": params})


def notification(method: str, params: Json) -> bytes:
    """A notice, as a line."""
    return _line({**VERSION, "method": method, "params": params})


def reply(id_: Id, result: Json) -> bytes:
    """An answer, as a line."""
    return _line({**VERSION, "id": id_, "result": result})


def failure(id_: Id | None, error: Error) -> bytes:
    """An error in place of an answer, as a line; with a null id when nobody knows whose it is."""
    return _line({**VERSION, "id": id_, "error": error})


def _line(message: Json) -> bytes:
    try:
        return ENCODER.encode(message) + b"\n"
    except UnicodeEncodeError:  # a path that is no text: its bytes as escapes
        plain = json.dumps(msgspec.to_builtins(message))
        return plain.encode() + b"\n"
