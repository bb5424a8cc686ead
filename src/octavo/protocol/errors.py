"""Errors tell whose turn it is; each carries the exit code the program ends with.

A command that fails, a denied write and a refused approval are results, not errors.
"""

from typing import ClassVar


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


class LimitReached(OctavoError):  # noqa: N818 - says what happened
    """A budget, time or size limit ended the work."""

    exit_code = 7


class InternalError(OctavoError):
    """A defect in Octavo."""

    exit_code = 70
