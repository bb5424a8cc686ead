"""Arguments of function calls as typed values. Pure.

Models write numbers as text and text as numbers: what can be understood is.
"""

import math
from typing import Any, Final, TypeVar

import msgspec

from octavo.protocol.errors import UsageError
from octavo.tools.base import ToolCall

Typed = TypeVar("Typed")
MOST: Final = 10**9
"""No number a tool takes is meant to be larger."""


def parsed(call: ToolCall, kind: type[Typed]) -> Typed:
    """The arguments of a call. Raises UsageError with the words the model is told."""
    try:
        return msgspec.json.decode(call.arguments or "{}", type=kind, strict=False)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError(f"failed to parse function arguments: {error}") from error


def whole(value: float | None) -> int | None:
    """A number of things or milliseconds: at least 0; None stays None."""
    if value is None or math.isnan(value):
        return None
    return int(min(max(value, 0), MOST))


def schema(
    properties: dict[str, Any], *, required: tuple[str, ...] = (), **more: object
) -> dict[str, Any]:
    """The JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }
