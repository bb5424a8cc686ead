"""What the model sees next time: messages, reasoning, calls, outputs, summaries.

Shapes and tags are those of the Responses API, whatever wire a provider speaks; so a rollout
reads the same for all of them. Encoding and decoding: `octavo.protocol.wire`.

A field this version does not know stays with its item in `extra` and is written back; inside
content parts (annotations, log probabilities) such fields are dropped.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from octavo.protocol.content import ContentPart, OutputText, text_of
from octavo.protocol.ids import CallId, ItemId

EXTRA = "\N{MIDDLE DOT}extra"
"""The name of `extra` in encoded form, before `wire` folds it into the item; never on a wire."""

Role = Literal["user", "assistant", "developer"]


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What all history items have."""

    id: ItemId | None = None
    """Stays the same whenever the item is sent again."""
    extra: Mapping[str, Any] = field(default_factory=dict, name=EXTRA)
    """Fields this version does not know, as they came."""


class Message(Item, frozen=True, kw_only=True, tag="message"):
    """Somebody said something. An assistant may mark it as commentary or as the final answer."""

    role: Role
    content: tuple[ContentPart, ...]
    phase: str | None = None

    @property
    def text(self) -> str:
        """The words, pictures left out."""
        return text_of(self.content)


class SummaryText(Struct, frozen=True, kw_only=True, tag="summary_text"):
    """One part of what a reasoning model tells about its thoughts."""

    text: str


class ReasoningText(Struct, frozen=True, kw_only=True, tag="reasoning_text"):
    """Raw thoughts, from models that show them."""

    text: str


class PlainText(Struct, frozen=True, kw_only=True, tag="text"):
    """Raw thoughts under an older tag."""

    text: str


def _no_summary() -> tuple[SummaryText, ...]:
    return ()  # a factory, because an empty summary is written, not left out


class Reasoning(Item, frozen=True, kw_only=True, tag="reasoning"):
    """Thoughts of the model; `encrypted_content` lets it go on where it stopped."""

    summary: tuple[SummaryText, ...] = field(default_factory=_no_summary)
    content: tuple[ReasoningText | PlainText, ...] | UnsetType | None = UNSET
    encrypted_content: str | None = None


class FunctionCall(Item, frozen=True, kw_only=True, tag="function_call"):
    """The model calls a tool. `arguments` is JSON as the model wrote it: it may be broken."""

    name: str
    namespace: str | None = None
    arguments: str
    call_id: CallId


class FunctionCallOutput(Item, frozen=True, kw_only=True, tag="function_call_output"):
    """What a called function answered."""

    call_id: CallId
    output: str | tuple[ContentPart, ...]


class CustomToolCall(Item, frozen=True, kw_only=True, tag="custom_tool_call"):
    """The model calls a tool that takes free text."""

    name: str
    input: str
    call_id: CallId
    namespace: str | None = None
    status: str | None = None


class CustomToolCallOutput(Item, frozen=True, kw_only=True, tag="custom_tool_call_output"):
    """What a tool that takes free text answered."""

    call_id: CallId
    output: str | tuple[ContentPart, ...]
    name: str | None = None


class LocalShellCall(Item, frozen=True, kw_only=True, tag="local_shell_call"):
    """The model asks for a command through the hosted shell tool of older models."""

    action: Mapping[str, Any]
    status: str | None = None
    call_id: CallId | None = None


class WebSearchCall(Item, frozen=True, kw_only=True, tag="web_search_call"):
    """The provider searched the web for the model."""

    status: str | None = None
    action: Mapping[str, Any] | None = None


class Compaction(Item, frozen=True, kw_only=True, tag="compaction"):
    """The provider's own, unreadable summary of what came before."""

    encrypted_content: str


class Unknown(Struct, frozen=True, kw_only=True):
    """An item of a kind this version does not know, or a broken one: kept, never sent."""

    raw: Mapping[str, Any]


KnownItem = (
    Message
    | Reasoning
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | LocalShellCall
    | WebSearchCall
    | Compaction
)
HistoryItem = KnownItem | Unknown
ToolCallItem = FunctionCall | CustomToolCall | LocalShellCall
"""Calls we have to answer."""
ToolOutputItem = FunctionCallOutput | CustomToolCallOutput


def assistant(text: str, *, id: ItemId | None = None, phase: str | None = None) -> Message:  # noqa: A002 - the field's name
    """A message of the model."""
    return Message(role="assistant", content=(OutputText(text=text),), id=id, phase=phase)


def output_text(output: str | tuple[ContentPart, ...]) -> str:
    """The words of a tool's answer, pictures left out."""
    return output if isinstance(output, str) else text_of(output)
