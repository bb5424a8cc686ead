"""Errors of methods, each with its code; anything of ours becomes one of them."""

from typing import Any

from octavo.protocol.errors import ConfigError, InternalError, OctavoError
from octavo.rpc import messages


class MethodError(Exception):
    """A method was refused: code, words, and data where clients look for it."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:  # noqa: ANN401 - JSON
        super().__init__(message)
        self.code = code
        self.data = data


def invalid(message: str) -> MethodError:
    """The request makes no sense as it is."""
    return MethodError(messages.INVALID_REQUEST, message)


def from_error(error: OctavoError) -> MethodError:
    """Our own errors: wrong requests are the client's, defects are ours."""
    text = str(error) if error.hint is None else f"{error} ({error.hint})"
    if isinstance(error, InternalError):
        return MethodError(messages.INTERNAL_ERROR, text)
    if isinstance(error, ConfigError):
        text = f"Invalid configuration: {text}"
    return MethodError(messages.INVALID_REQUEST, text)
