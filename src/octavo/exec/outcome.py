"""What stands around a run: the schema it wants, where it may run, what is left, the exit code."""

import os
from typing import Any, Final

import msgspec

from octavo.config.settings import Loaded
from octavo.protocol.content import ImageInput
from octavo.protocol.errors import InternalError, LimitReached, OctavoError, SandboxUnavailable
from octavo.protocol.events import Event, TurnCompleted, TurnFailed

NOT_TRUSTED: Final = "Not inside a trusted directory and --skip-git-repo-check was not specified."
FAILED: Final = 1


class ExecError(OctavoError):
    """A run that could not begin."""

    exit_code = 1


def git_refusal(loaded: Loaded) -> ExecError | None:
    """Why nothing runs in this folder; None where it is a repository, or trusted."""
    folder = loaded.cwd
    if loaded.trust.level == "trusted":
        return None
    while True:
        if os.path.lexists(os.path.join(folder, ".git")):
            return None
        parent = os.path.dirname(folder)
        if parent == folder:
            return ExecError(
                NOT_TRUSTED, hint="without a repository, changes cannot be looked at or undone"
            )
        folder = parent


def schema_from(path: str | None) -> dict[str, Any] | None:
    """The JSON schema in a file. Raises ExecError."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ExecError(f"Failed to read output schema file {path}: {error.strerror}") from error
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ExecError(f"Output schema file {path} is not valid JSON: {error}") from error


def pictures_from(paths: tuple[str, ...]) -> list[ImageInput]:
    """The pictures of `-i`. Raises ExecError for one that is not there: the model would guess."""
    for path in paths:
        if not os.path.isfile(path):
            raise ExecError(f"No such picture: {path}", hint="check -i")
    return [ImageInput(path=os.path.abspath(path)) for path in paths]


def write_last(path: str, text: str) -> None:
    """The last message, nothing added; empty when there was none. Raises ExecError."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
    except OSError as error:
        raise ExecError(f"-o {path}: cannot be written: {error.strerror}") from error


def code_of(ending: Event | None, problem: SandboxUnavailable | None) -> int:
    """The exit code: never 0 when a command could not be confined."""
    if problem is not None:
        return problem.exit_code
    match ending:
        case TurnCompleted():
            return 0
        case TurnFailed(
            exit_code=(
                InternalError.exit_code | SandboxUnavailable.exit_code | LimitReached.exit_code
            ) as number
        ):
            return number
        case _:
            return FAILED
