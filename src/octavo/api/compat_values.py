"""Values, results and errors under the names of the published Python client."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from octavo._version import __version__


class Sandbox(StrEnum):
    """What commands may do."""

    read_only = "read-only"
    workspace_write = "workspace-write"
    full_access = "danger-full-access"


class ApprovalMode(StrEnum):
    """Who answers questions: nobody, or a model that reviews."""

    deny_all = "deny_all"
    auto_review = "auto_review"


@dataclass(frozen=True, slots=True)
class TextInput:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A picture by its data URL."""

    url: str


@dataclass(frozen=True, slots=True)
class LocalImageInput:
    """A picture on disk."""

    path: str


@dataclass(frozen=True, slots=True)
class SkillInput:
    """A skill by its name."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class MentionInput:
    """A file by its name."""

    name: str
    path: str


InputItem = TextInput | ImageInput | LocalImageInput | SkillInput | MentionInput
Input = list[InputItem] | InputItem
RunInput = Input | str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexConfig:
    """How the engine is made. With `codex_bin` another program is started instead."""

    codex_bin: str | None = None
    launch_args_override: tuple[str, ...] | None = None
    config_overrides: tuple[str, ...] = ()
    cwd: str | None = None
    env: dict[str, str] | None = None
    client_name: str = "octavo_compat"
    client_title: str = "Octavo"
    client_version: str = __version__
    experimental_api: bool = True


class Word(str):
    """A word of the protocol that also answers `.value`."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """Itself."""
        return str(self)


class Value(Mapping[str, Any]):
    """A JSON object: by key as on the wire, by attribute in snake_case; `.root` is itself."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return self._raw[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        if name.startswith("__"):
            raise AttributeError(name)
        key = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        if key not in self._raw and name not in self._raw:
            if name == "root":
                return self
            raise AttributeError(name)
        return valued(self._raw[key if key in self._raw else name])

    def model_dump(self, **_options: object) -> dict[str, Any]:
        """The plain JSON value."""
        return dict(self._raw)

    def __repr__(self) -> str:
        return f"Value({self._raw!r})"


def valued(raw: Any) -> Any:  # noqa: ANN401 - JSON
    """A JSON value with attributes."""
    if isinstance(raw, Mapping):
        return Value(raw)
    if isinstance(raw, list):
        return [valued(one) for one in raw]
    return Word(raw) if isinstance(raw, str) else raw


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that happened."""

    method: str
    payload: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """How a turn went. Times in seconds since 1970."""

    id: str
    status: Word
    error: Any
    started_at: int | None
    completed_at: int | None
    duration_ms: int | None
    final_response: str | None
    items: list[Any]
    usage: Any


# ---- errors -----------------------------------------------------------------------------------


class CodexError(Exception):
    """Everything this client raises."""


class TransportClosedError(CodexError):
    """The engine has gone."""


class JsonRpcError(CodexError):
    """A request was refused."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:  # noqa: ANN401 - JSON
        super().__init__(f"JSON-RPC error {code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class CodexRpcError(JsonRpcError):
    """One with a code of the protocol."""


class ParseError(CodexRpcError):
    """-32700."""


class InvalidRequestError(CodexRpcError):
    """-32600."""


class MethodNotFoundError(CodexRpcError):
    """-32601."""


class InvalidParamsError(CodexRpcError):
    """-32602."""


class InternalRpcError(CodexRpcError):
    """-32603."""


ERRORS: Final[Mapping[int, type[CodexRpcError]]] = {
    -32700: ParseError,
    -32600: InvalidRequestError,
    -32601: MethodNotFoundError,
    -32602: InvalidParamsError,
    -32603: InternalRpcError,
}


def result(turn: Any, items: list[Any], usage: Any) -> TurnResult:  # noqa: ANN401 - Values
    """A turn that is over. Raises RuntimeError when it failed."""
    if turn.status == "failed":
        raise RuntimeError(turn.error.message if turn.error else "turn failed")
    said = [one for one in items if one.type == "agentMessage"]
    final = [one for one in said if one.phase == "final_answer"]
    plain_ = [one for one in said if one.phase is None]
    last = next(reversed(final or plain_), None)
    return TurnResult(
        id=turn.id,
        status=turn.status,
        error=turn.error,
        started_at=turn.started_at,
        completed_at=turn.completed_at,
        duration_ms=turn.duration_ms,
        final_response=None if last is None else str(last.text),
        items=items,
        usage=usage,
    )


# ---- on the wire ------------------------------------------------------------------------------


def approvals(mode: ApprovalMode | None) -> dict[str, str]:
    """Who answers questions, as the protocol says it. Raises ValueError."""
    if mode is None:
        return {}
    if mode is ApprovalMode.deny_all:
        return {"approvalPolicy": "never"}
    if mode is ApprovalMode.auto_review:
        return {"approvalPolicy": "on-request", "approvalsReviewer": "auto_review"}
    raise ValueError("approval_mode must be one of: deny_all, auto_review")


def policy(sandbox: Sandbox) -> dict[str, str]:
    """A sandbox for one turn."""
    kinds = {"read_only": "readOnly", "workspace_write": "workspaceWrite"}
    return {"type": kinds.get(sandbox.name, "dangerFullAccess")}


def camel(options: Mapping[str, Any]) -> dict[str, Any]:
    """Names as on the wire."""
    return {
        re.sub(r"_(\w)", lambda match: match[1].upper(), name): value
        for name, value in options.items()
    }


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a program
    """A value as JSON."""
    return value.value if isinstance(value, Enum) else value


def wire(given: RunInput) -> list[dict[str, str]]:
    """Input as the protocol has it. Raises TypeError."""
    parts: Sequence[object] = given if isinstance(given, list) else [given]
    return [wire_part(part) for part in parts]


def wire_part(part: object) -> dict[str, str]:
    match part:
        case str(text) | TextInput(text=text):
            return {"type": "text", "text": text}
        case ImageInput(url=url):
            return {"type": "image", "url": url}
        case LocalImageInput(path=path):
            return {"type": "localImage", "path": path}
        case SkillInput(name=name, path=path):
            return {"type": "skill", "name": name, "path": path}
        case MentionInput(name=name, path=path):
            return {"type": "mention", "name": name, "path": path}
        case _:
            raise TypeError(f"unsupported input item: {type(part)!r}")
