"""What Octavo and the command runner in the other account say to each other.

Pure: bytes in, messages out. A frame is a length (4 bytes, little-endian) and so many bytes of
JSON: version, type, payload. Every limit is checked before anything is read or written; whatever
is wrong is named. Unknown fields are ignored, unknown types are not.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NoReturn, get_type_hints

from octavo.protocol.errors import OctavoError

VERSION: Final = 1
LARGEST: Final = 8 * 1024 * 1024
LENGTH: Final = 4
PIECE: Final = 8192
"""Bytes of output in one message."""
PIPE_BUFFER: Final = 65_536
STDIN_AHEAD: Final = 1024 * 1024
STDIN_LIMIT: Final = 16 * STDIN_AHEAD
"""A runner that is sent more than this ahead hangs up."""
CONNECT_S: Final = 15.0
READY_S: Final = 15.0
TIMED_OUT_EXIT: Final = 192
"""128 + 64."""
TERMINATED_EXIT: Final = 1
PIPE_PREFIX: Final = "\\\\.\\pipe\\octavo-runner-"
PIPE_FLAGS: Final = MappingProxyType({"in": 0x80000 | 2, "out": 0x80000 | 1})
"""First instance only, and the parent's direction."""
RUNNER_ACCESS: Final = MappingProxyType({"in": 0x120089, "out": 0x120116})

Stage = Literal["read_spawn_request", "spawn_child", "write_spawn_ready", "run"]
STAGES: Final = ("read_spawn_request", "spawn_child", "write_spawn_ready", "run")


class FrameError(OctavoError):
    """The other side said something that is no message. `part` names what is wrong."""

    def __init__(self, message: str, *, part: str) -> None:
        super().__init__(message, hint="Both sides have to be the same version of Octavo.")
        self.part = part


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnRequest:
    """To the runner, once: what to start, and how it is confined."""

    kind: ClassVar[str] = "spawn_request"
    command: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    """The complete environment."""
    permission_profile: Mapping[str, Any]
    workspace_roots: tuple[str, ...]
    octavo_home: str
    """The folder of the log."""
    real_octavo_home: str
    cap_sids: tuple[str, ...]
    tty: bool
    timeout_ms: int | None = None
    stdin_open: bool = False
    """False: the command's stdin is at its end from the start."""
    private_desktop_name: str
    rows: int = 24
    cols: int = 80
    network_proxy_restricting_sid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpawnReady:
    """From the runner: the command runs."""

    kind: ClassVar[str] = "spawn_ready"
    process_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """From the runner: at most `PIECE` bytes; with a terminal all is stdout."""

    kind: ClassVar[str] = "output"
    data: bytes
    stream: Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdin:
    """To the runner."""

    kind: ClassVar[str] = "stdin"
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStdin:
    """To the runner: no more input."""

    kind: ClassVar[str] = "close_stdin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """To the runner: the terminal's new size."""

    kind: ClassVar[str] = "resize"
    rows: int
    cols: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """To the runner: end the command and all it started."""

    kind: ClassVar[str] = "terminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdinTaken:
    """From the runner: so many bytes of input have left its memory. Whoever sends input keeps at
    most `STDIN_AHEAD` bytes on their way, so that a command that does not read costs nothing."""

    kind: ClassVar[str] = "stdin_taken"
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """From the runner, last."""

    kind: ClassVar[str] = "exit"
    exit_code: int
    timed_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """From the runner, last: what it could not do. Decide by stage and code, never by the text."""

    kind: ClassVar[str] = "error"
    message: str
    stage: str
    windows_error_code: int | None = None


Message = (
    SpawnRequest
    | SpawnReady
    | Output
    | Stdin
    | StdinTaken
    | CloseStdin
    | Resize
    | Terminate
    | Exit
    | Failure
)
TYPES: Final[Mapping[str, type]] = MappingProxyType(
    {
        each.kind: each
        for each in (
            SpawnRequest,
            SpawnReady,
            Output,
            Stdin,
            StdinTaken,
            CloseStdin,
            Resize,
            Terminate,
            Exit,
            Failure,
        )
    }
)
TO_RUNNER: Final = frozenset({"spawn_request", "stdin", "close_stdin", "resize", "terminate"})
FROM_RUNNER: Final = frozenset({"spawn_ready", "output", "stdin_taken", "exit", "error"})
RANGES: Final = MappingProxyType(
    {
        "process_id": (0, 0xFFFFFFFF),
        "rows": (1, 0x7FFF),
        "cols": (1, 0x7FFF),
        "count": (0, LARGEST),
        "exit_code": (-0x80000000, 0x7FFFFFFF),
        "windows_error_code": (0, 0xFFFFFFFF),
        "timeout_ms": (0, 0x7FFFFFFF_FFFFFFFF),
    }
)


def encode(message: Message) -> bytes:
    """The frame of a message. Raises FrameError when it is larger than the other side reads."""
    _check(message)
    payload: dict[str, Any] = {}
    for each in fields(message):
        value = getattr(message, each.name)
        if isinstance(value, bytes):
            payload["data_b64"] = base64.b64encode(value).decode("ascii")
        elif isinstance(value, Mapping):
            payload[each.name] = dict(value)
        else:
            payload[each.name] = value
    whole = {"version": VERSION, "type": message.kind, "payload": payload}
    try:
        body = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        _bad("payload", f"{message.kind} has half of a surrogate pair, which JSON cannot carry")
    if len(body) > LARGEST:
        _bad("length", f"frame too large: {len(body):,} bytes, the limit is {LARGEST:,}")
    return len(body).to_bytes(LENGTH, "little") + body


class Decoder:
    """Bytes as they come, messages as they are complete.

    `expected` are the types this side takes. After an error nothing more is read.
    """

    def __init__(self, expected: frozenset[str] = frozenset(TYPES)) -> None:
        self._expected = expected
        self._held = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes; give the messages they complete. Raises FrameError."""
        if self._broken:
            _bad("frame", "nothing is read after a broken frame")
        self._held += data
        return self._messages()

    def _messages(self) -> Iterator[Message]:
        while len(self._held) >= LENGTH:
            length = int.from_bytes(self._held[:LENGTH], "little")
            try:
                _check_length(length)
                if len(self._held) < LENGTH + length:
                    return
                message = decode(bytes(self._held[LENGTH : LENGTH + length]), self._expected)
            except FrameError:
                self._broken = True
                self._held.clear()
                raise
            del self._held[: LENGTH + length]
            yield message

    def end(self) -> None:
        """The stream is over. Raises FrameError when that is inside a frame."""
        if self._held:
            at = "length" if len(self._held) < LENGTH else "body"
            _bad(at, f"the stream ended inside a frame, in its {at}")


def _check_length(length: int) -> None:
    if length > LARGEST:
        _bad("length", f"frame too large: {length:,} bytes, the limit is {LARGEST:,}")
    if length == 0:
        _bad("length", "a frame of no bytes")


def decode(body: bytes, expected: frozenset[str] = frozenset(TYPES)) -> Message:
    """The message in one frame's body. Fields are looked at before the version, so that an old
    runner can say what it misses. Raises FrameError naming the part that is wrong."""
    whole = _object(body)
    for name, form in (("version", int), ("type", str), ("payload", dict)):
        if name not in whole:
            _bad(name, f"{name!r} is missing")
        if not isinstance(whole[name], form) or isinstance(whole[name], bool):
            _bad(name, f"{name!r} is {_shown(whole[name])}, not a {form.__name__}")
    if whole["type"] not in TYPES:
        known = whole["version"] == VERSION
        _bad("type" if known else "version", f"unknown type {_shown(whole['type'])}"
             if known else _other_version(whole["version"]))  # fmt: skip
    shape = TYPES[whole["type"]]
    message = _message(shape, whole["payload"])
    if whole["version"] != VERSION:
        _bad("version", _other_version(whole["version"]))
    if shape.kind not in expected:  # type: ignore[attr-defined]  # every class of the table has it
        _bad("type", f"{whole['type']} goes the other way")
    return message


def _other_version(found: int) -> str:
    return f"version {found} was sent, this is version {VERSION}"


def _object(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _bad("body", f"not UTF-8 at byte {error.start}")
    try:
        whole = json.loads(text, parse_constant=lambda word: _bad("body", f"{word} is not JSON"))
    except (json.JSONDecodeError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
        _bad("body", f"not JSON: {reason}")
    except ValueError:
        _bad("body", "a number is too long")
    if not isinstance(whole, dict):
        _bad("body", f"{_shown(whole)} is not an object")
    return whole


def _message(shape: type, payload: dict[str, Any]) -> Message:
    found: dict[str, Any] = {}
    hints = get_type_hints(shape)
    for each in fields(shape):
        name = "data_b64" if each.name == "data" else each.name
        if name in payload:
            found[each.name] = _value(name, hints[each.name], payload[name])
        elif _required(each):
            _bad(name, f"{shape.kind}: {name!r} is missing")  # type: ignore[attr-defined]  # as above
    made: Message = shape(**found)
    _check(made)
    return made


def _required(each: Any) -> bool:  # noqa: ANN401 - a dataclass field of any type
    return repr(each.default).startswith("<dataclasses._MISSING_TYPE")


def _value(name: str, hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON in, a checked value out
    """The value, checked against the field's type."""
    text = str(hint)
    if value is None and "None" in text:
        return None
    good: Any = value
    if hint is bytes:
        return _bytes(name, value)
    if "tuple" in text:
        ok = isinstance(value, list) and all(isinstance(item, str) for item in value)
        good = tuple(value) if ok else None
    elif "Mapping" in text:
        ok = isinstance(value, dict) and (name != "env" or _all_text(value))
    elif hint is bool:
        ok = isinstance(value, bool)
    elif "int" in text:
        ok = isinstance(value, int) and not isinstance(value, bool)
    else:
        ok = isinstance(value, str)
    if not ok:
        _bad(name, f"{name!r} is {_shown(value)}, which it cannot be")
    return good


def _all_text(value: dict[str, Any]) -> bool:
    return all(isinstance(item, str) for item in value.values())


def _bytes(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        _bad(name, f"{name!r} is {_shown(value)}, not text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FrameError(f"{name!r} is not base64: {error}", part=name) from error


def _check(message: Message) -> None:
    for each in fields(message):
        value, limits = getattr(message, each.name), RANGES.get(each.name)
        if value is not None and limits is not None and not limits[0] <= value <= limits[1]:
            _bad(each.name, f"{each.name!r} is {value}; it has to be {limits[0]} to {limits[1]}")
    match message:
        case Output(data=data, stream=stream):
            if len(data) > PIECE:
                _bad("data_b64", f"{len(data):,} bytes in one piece, the limit is {PIECE:,}")
            if stream not in ("stdout", "stderr"):
                _bad("stream", f"'stream' is {_shown(stream)}, not stdout or stderr")
        case Failure(stage=stage) if stage not in STAGES:
            _bad("stage", f"unknown stage {_shown(stage)}")
        case _:
            pass


def check_request(request: SpawnRequest) -> str | None:
    """What is wrong with a request that is a good message; None when it can be run.

    The runner answers it as a failure at stage spawn_child.
    """
    if not request.command:
        return "the command is empty"
    if not request.cap_sids:
        return "no capability SID: a command without one would not be confined"
    return None


def pieces(data: bytes) -> Iterator[bytes]:
    """Output in the sizes the messages take."""
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def pipe_names(random: bytes) -> tuple[str, str]:
    """The pipe into the runner and the one out of it, from 16 random bytes."""
    if len(random) != 16:
        raise ValueError("pipe names take 16 random bytes")
    return f"{PIPE_PREFIX}{random.hex()}-in", f"{PIPE_PREFIX}{random.hex()}-out"


def pipe_security(account: str) -> str:
    """Who may open the pipes: the sandbox account and nobody else."""
    return f"D:P(A;;GA;;;{account})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _bad(part: str, message: str) -> NoReturn:
    raise FrameError(message, part=part)
