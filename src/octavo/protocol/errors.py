"""Errors tell whose turn it is; each carries the exit code the program ends with.

A command that fails, a denied write and a refused approval are results, not errors.
"""

from enum import StrEnum
from typing import ClassVar, Final


class OctavoError(Exception):
    """Anything Octavo could not do. `hint` says what would help, in one sentence."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(OctavoError):
    """You asked for something impossible."""

    exit_code = 2


class ConfigError(OctavoError):
    """A settings file is wrong: `file`, `line` and `key` say where."""

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        where = "" if file is None else f"{file}:{line}: " if line is not None else f"{file}: "
        super().__init__(where + message, hint=hint)
        self.file = file
        self.line = line
        self.key = key


class PolicyError(OctavoError):
    """Forbidden, and by which rule; or a policy that contradicts itself."""

    exit_code = 4


class SandboxUnavailable(OctavoError):  # noqa: N818 - says what is, not that it is an error
    """This machine cannot confine the command as asked: the command did not run."""

    exit_code = 5


class ModelErrorKind(StrEnum):
    """What went wrong on the model's side."""

    CONTEXT_WINDOW = "context_window"
    """The conversation does not fit; it has to be shortened."""
    QUOTA = "quota"
    USAGE_LIMIT = "usage_limit"
    INVALID_REQUEST = "invalid_request"
    OVERLOADED = "overloaded"
    """The model has no room for anybody; another one may."""
    RATE_LIMITED = "rate_limited"
    SERVER = "server"
    """An answer with a status nobody expected; `status` says which."""
    AUTH = "auth"
    DISCONNECTED = "disconnected"
    IDLE_TIMEOUT = "idle_timeout"
    INCOMPLETE = "incomplete"
    """The server stopped in the middle on purpose: length, content filter."""
    UNREACHABLE = "unreachable"
    """No connection at all."""
    REFUSED = "refused"
    """The model or its provider declined."""


RETRYABLE: Final = frozenset(
    {
        ModelErrorKind.RATE_LIMITED,
        ModelErrorKind.SERVER,
        ModelErrorKind.AUTH,  # a token that is being renewed: the published programs retry it too
        ModelErrorKind.DISCONNECTED,
        ModelErrorKind.IDLE_TIMEOUT,
        ModelErrorKind.UNREACHABLE,
    }
)


class ModelError(OctavoError):
    """The model or the way to it failed; `kind` says how, `retryable` whether to try again.

    `retry_after_ms` is the wait the server asked for.
    """

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        kind: ModelErrorKind,
        status: int | None = None,
        retry_after_ms: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.retry_after_ms = retry_after_ms

    @property
    def retryable(self) -> bool:
        """The same request may succeed later."""
        return self.kind in RETRYABLE


class LimitReached(OctavoError):  # noqa: N818 - says what happened
    """A budget, time or size limit ended the work."""

    exit_code = 7


class InternalError(OctavoError):
    """A defect in Octavo."""

    exit_code = 70
