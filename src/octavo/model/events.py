"""What a model's answer looks like while it arrives, whatever wire it came over.

Deltas are for display. Only `ItemDone` enters the history; a tool may start as soon as it comes.
Failures are raised as `octavo.protocol.errors.ModelError`, never yielded.
"""

from typing import Literal

from msgspec import Struct

from octavo.protocol.history import HistoryItem
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage

ItemKind = Literal["message", "reasoning", "call", "other"]


class Created(Struct, frozen=True, kw_only=True, tag="created"):
    """The server accepted the request."""

    response_id: str


class ItemStarted(Struct, frozen=True, kw_only=True, tag="item_started"):
    """An item begins; its deltas carry the same id."""

    item_id: ItemId
    kind: ItemKind
    name: str | None = None
    """Of the tool, for calls."""
    call_id: CallId | None = None


class TextDelta(Struct, frozen=True, kw_only=True, tag="text"):
    """More words of a message."""

    item_id: ItemId
    text: str


class ReasoningDelta(Struct, frozen=True, kw_only=True, tag="reasoning"):
    """More of the model's thoughts: their published summary, or raw."""

    item_id: ItemId
    text: str
    kind: Literal["summary", "raw"]


class ReasoningPart(Struct, frozen=True, kw_only=True, tag="reasoning_part"):
    """The next part of a summary begins."""

    item_id: ItemId
    index: int


class CallDelta(Struct, frozen=True, kw_only=True, tag="call"):
    """More of a call's arguments or free text."""

    item_id: ItemId
    call_id: CallId | None
    text: str


class ItemDone(Struct, frozen=True, kw_only=True, tag="item_done"):
    """An item is complete: record it; if it is a call, run it."""

    item: HistoryItem


class Retrying(Struct, frozen=True, kw_only=True, tag="retrying"):
    """The engine is about to ask again. `str()` is the notice clients know."""

    attempt: int
    limit: int
    reason: str
    delay_ms: int

    def __str__(self) -> str:
        return f"Reconnecting... {self.attempt}/{self.limit} ({self.reason})"


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """The response is complete: always the last value of a stream that did not fail."""

    response_id: str
    usage: TokenUsage | None
    """None when the server did not say."""
    end_turn: bool | None = None
    """False: the server wants to be asked again although no tool was called."""


ModelEvent = (
    Created
    | ItemStarted
    | TextDelta
    | ReasoningDelta
    | ReasoningPart
    | CallDelta
    | ItemDone
    | Retrying
    | Done
)
