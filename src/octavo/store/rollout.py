"""The lines of a rollout as values, and values as lines. Pure: no disk.

A line is `{"timestamp", "ordinal"?, "type", "payload"}`. Files of the older form have no
ordinals and keep what people saw as plain events; the newer form keeps it as completed items.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from octavo.protocol.history import HistoryItem
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import ANY, JSON, item_from, item_to

PAGINATED: Final = "paginated"
PASSTHROUGH: Final = "internal_chat_message_metadata_passthrough"
"""A note of other programs on an item: not part of what the model sees."""
HEAD: Final = re.compile(
    rb'\{"timestamp":"[^"\\]*",(?:"ordinal":(\d+),)?"type":"(\w+)","payload":'
    rb'(?:\{"type":"(\w+)")?'
)
"""How a line begins that one of the usual programs wrote; anything else is decoded in full."""


class Git(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of the repository when the thread began."""

    commit_hash: str | None = None
    branch: str | None = None
    repository_url: str | None = None


class HistoryBase(Struct, frozen=True, kw_only=True):
    """Where the history of a fork begins: in another thread's file, up to a place."""

    thread_id: ThreadId
    end_ordinal_exclusive: int
    end_byte_offset: int | None = None


class SessionMeta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a thread is: the first line of its file."""

    id: ThreadId
    timestamp: str
    cwd: str
    originator: str
    cli_version: str
    session_id: str | None = None
    source: str | Mapping[str, Any] | None = None
    """Which door began it: `exec`, `cli`, `vscode`, …; a table for threads of sub-agents."""
    thread_source: str | None = None
    model_provider: str | None = None
    base_instructions: Mapping[str, Any] | None = None
    history_mode: str | None = None
    runtime_workspace_roots: tuple[str, ...] | None = None
    context_window: Mapping[str, Any] | None = None
    git: Git | None = None
    parent_thread_id: ThreadId | None = None
    forked_from_id: ThreadId | None = None
    forked_from_ordinal_exclusive: int | None = None
    history_base: HistoryBase | None = None

    @property
    def paginated(self) -> bool:
        """Whether the lines of the file carry ordinals."""
        return self.history_mode == PAGINATED


class ResponseItem(Struct, frozen=True):
    """What the model sees next time."""

    item: HistoryItem


class TurnContext(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The settings a turn ran with. Policies as the wire has them."""

    cwd: str = ""
    model: str = ""
    approval_policy: Any = None
    sandbox_policy: Any = None
    turn_id: TurnId | None = None
    permission_profile: Any = None
    effort: str | None = None
    summary: Any = "auto"
    personality: str | None = None
    collaboration_mode: Any = None


class TaskStarted(Struct, frozen=True, kw_only=True, tag_field="type", tag="task_started"):
    """A turn begins. Times in seconds."""

    turn_id: TurnId
    started_at: int | None = None
    model_context_window: int | None = None
    collaboration_mode_kind: str = "default"


class TaskComplete(Struct, frozen=True, kw_only=True, tag_field="type", tag="task_complete"):
    """A turn is over. Times in seconds, durations in milliseconds."""

    turn_id: TurnId
    last_agent_message: str | None = None
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None
    time_to_first_token_ms: int | None = None


class TurnAborted(Struct, frozen=True, kw_only=True, tag_field="type", tag="turn_aborted"):
    """A turn was stopped, or failed."""

    turn_id: TurnId | None = None
    reason: str = "interrupted"
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None


class TokenInfo(Struct, frozen=True, kw_only=True):
    """Tokens of the thread and of its last response."""

    total_token_usage: TokenUsage = TokenUsage()
    last_token_usage: TokenUsage = TokenUsage()
    model_context_window: int | None = None


class TokenCount(Struct, frozen=True, kw_only=True, tag_field="type", tag="token_count"):
    """What the server counted."""

    info: TokenInfo | None = None
    rate_limits: Any = None


class ItemCompleted(Struct, frozen=True, kw_only=True, tag_field="type", tag="item_completed"):
    """Something people saw. `item` has its wire form, see `octavo.store.display`."""

    thread_id: ThreadId
    turn_id: TurnId
    item: Mapping[str, Any]
    started_at_ms: int | None = None
    completed_at_ms: int | None = None


class TokenUsageRecord(Struct, frozen=True, kw_only=True):
    """The tokens of one response."""

    turn_id: TurnId
    response_id: str | None = None
    usage: TokenUsage | None = None
    turn_token_usage: TokenUsage | None = None
    thread_token_usage: TokenUsage | None = None


class Compacted(Struct, frozen=True, kw_only=True):
    """From here on, history is these items."""

    message: str
    replacement_history: tuple[HistoryItem, ...] | None = None


class Other(Struct, frozen=True):
    """A line of a kind this version does not write: `type` and payload as they are."""

    type: str
    payload: Any


Event = TaskStarted | TaskComplete | TurnAborted | TokenCount | ItemCompleted
Record = (
    SessionMeta
    | ResponseItem
    | TurnContext
    | TaskStarted
    | TaskComplete
    | TurnAborted
    | TokenCount
    | ItemCompleted
    | TokenUsageRecord
    | Compacted
    | Other
)
"""Everything that can be appended to a thread."""

EVENT: Final = "event_msg"
TYPES: Final[Mapping[type[Struct], str]] = {
    SessionMeta: "session_meta",
    ResponseItem: "response_item",
    TurnContext: "turn_context",
    TaskStarted: EVENT,
    TaskComplete: EVENT,
    TurnAborted: EVENT,
    TokenCount: EVENT,
    ItemCompleted: EVENT,
    TokenUsageRecord: "token_usage_record",
    Compacted: "compacted",
}


NAMES: Final[Mapping[bytes, str]] = {
    name.encode(): name
    for name in (
        *TYPES.values(), "task_started", "task_complete", "turn_aborted", "token_count",
        "item_completed", "message", "reasoning", "function_call", "function_call_output",
    )
}  # fmt: skip
"""The words on most lines, decoded once."""


class _Line(Struct, frozen=True, omit_defaults=True):
    timestamp: str
    ordinal: int | None
    type: str
    payload: Any


class _Legacy(Struct, frozen=True):
    timestamp: str
    type: str
    payload: Any


class Envelope(Struct, frozen=True, kw_only=True):
    """A line whose payload is still text."""

    type: str
    payload: Raw
    timestamp: str = ""
    ordinal: int | None = None


class Kind(Struct, frozen=True, gc=False):
    """What a line is, by its first bytes."""

    type: str
    event: str
    """The kind of event, where it is one."""
    ordinal: int | None


ENVELOPE: Final = msgspec.json.Decoder(Envelope)
COMPACTED: Final = msgspec.json.Decoder(dict[str, Any])


def stamp(at_ms: int) -> str:
    """A time as rollouts write it, `2026-11-21T00:30:12.061Z`."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def encode_line(record: Record, *, at_ms: int, ordinal: int | None) -> bytes:
    """One line, newline included. Without an ordinal it has the older form."""
    kind = record.type if isinstance(record, Other) else TYPES[type(record)]
    payload = _payload(record)
    line = (
        _Legacy(stamp(at_ms), kind, payload)
        if ordinal is None
        else _Line(stamp(at_ms), ordinal, kind, payload)
    )
    try:
        return JSON.encode(line) + b"\n"
    except UnicodeEncodeError:  # bytes that are no text, as in the names of some folders
        return JSON.encode(_textual(msgspec.to_builtins(line))) + b"\n"


def textual(text: str) -> str:
    """The text with bytes that are no text written as escapes, as lines keep it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _textual(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return textual(value)
        case dict():
            return {textual(key): _textual(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_textual(inner) for inner in value]
        case _:
            return value


def _payload(record: Record) -> Any:  # noqa: ANN401 - what the encoder takes
    match record:
        case ResponseItem(item):
            return item_to(item)
        case Compacted(message=message, replacement_history=items):
            if items is None:
                return {"message": message}
            return {"message": message, "replacement_history": [item_to(item) for item in items]}
        case Other(_, payload):
            return payload
        case _:
            return record


def kind_of(line: bytes) -> Kind | None:
    """What a line is, cheaply; None when it is no line of a rollout."""
    head = HEAD.match(line)
    if head is not None:
        ordinal, name, event = head.groups()
        return Kind(
            NAMES.get(name) or name.decode(),
            NAMES.get(event) or (event or b"").decode(),
            None if ordinal is None else int(ordinal),
        )
    envelope = envelope_of(line)
    if envelope is None:
        return None
    event_name = ""
    if envelope.type == EVENT:
        payload = _any(envelope.payload)
        found = payload.get("type") if isinstance(payload, dict) else None
        event_name = found if isinstance(found, str) else ""
    return Kind(envelope.type, event_name, envelope.ordinal)


def envelope_of(line: bytes) -> Envelope | None:
    """The line with its payload still text; None when it is none."""
    try:
        return ENVELOPE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def payload_as(line: bytes, kind: type[Any]) -> Any:  # noqa: ANN401 - a value of `kind`
    """The payload as a value of `kind`, or None when it does not fit."""
    envelope = envelope_of(line)
    if envelope is None:
        return None
    try:
        return msgspec.json.decode(envelope.payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def item_of(line: bytes) -> HistoryItem | None:
    """The history item in a `response_item` line; None when the line is broken."""
    try:
        raw = ANY.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    payload = raw.get("payload") if isinstance(raw, dict) else None
    return _item(payload) if isinstance(payload, dict) else None


def compacted_of(line: bytes) -> Compacted | None:
    """The new beginning in a `compacted` line; None when the line is broken."""
    envelope = envelope_of(line)
    raw = None if envelope is None else _any(envelope.payload)
    if not isinstance(raw, dict):
        return None
    items = raw.get("replacement_history")
    return Compacted(
        message=str(raw.get("message") or ""),
        replacement_history=None
        if not isinstance(items, list)
        else tuple(_item(item) for item in items if isinstance(item, dict)),
    )


def _item(raw: dict[str, Any]) -> HistoryItem:
    raw.pop(PASSTHROUGH, None)
    return item_from(raw)


def _any(payload: Raw) -> Any:  # noqa: ANN401 - whatever was written
    try:
        return ANY.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
