"""The Messages wire, the server's side: content blocks become items.

Pure. A block is complete when the server says so; the answer when it gave a reason to stop.
"""

from collections.abc import Mapping
from typing import Any

from octavo.model.codec import (
    ORIGIN,
    Decoder,
    MakeId,
    Offered,
    WireOptions,
    as_json_text,
    free_text,
    inner,
    number,
    objects,
    offered,
    string,
)
from octavo.model.events import (
    CallDelta,
    Created,
    Done,
    ItemDone,
    ItemKind,
    ItemStarted,
    ModelEvent,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
)
from octavo.model.failures import ended_early, in_stream, incomplete
from octavo.model.messages_encode import MESSAGES, REDACTED, encode
from octavo.model.request import CustomTool, ModelRequest
from octavo.model.sse import SseEvent
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    HistoryItem,
    Reasoning,
    SummaryText,
    assistant,
)
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage

__all__ = ["MessagesDecoder", "decoder", "encode"]

KINDS: Mapping[str, tuple[ItemKind, str]] = {
    "text": ("message", "msg"),
    "thinking": ("reasoning", "rs"),
    "redacted_thinking": ("reasoning", "rs"),
    "tool_use": ("call", "fc"),
}
"""Block types that become items; others (tools the provider runs) are passed over."""


def decoder(request: ModelRequest, options: WireOptions, make_id: MakeId) -> Decoder:
    """A decoder for the answer to this request."""
    del options
    return MessagesDecoder(offered(request), make_id)


class _Block:
    """A content block, as far as it came."""

    def __init__(self, kind: str, at: ItemId, start: dict[str, Any]) -> None:
        self.kind = kind
        self.id = at
        self.call_id = CallId(string(start, "id"))
        self.name = string(start, "name")
        self.input = start.get("input")
        self.text = string(start, "text") or string(start, "thinking")
        self.json = ""
        self.seal = string(start, "signature") or string(start, "data")


class MessagesDecoder:
    """Follows one answer."""

    def __init__(self, tools: Mapping[str, Offered], make_id: MakeId) -> None:
        self.finished = False
        self._tools = tools
        self._make_id = make_id
        self._response_id = ""
        self._blocks: dict[int, _Block] = {}
        self._reason: str | None = None
        self._usage: dict[str, int] = {}

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """What this event means. Raises ModelError for a failure the server reports."""
        found: list[ModelEvent] = []
        for data in objects(event.data):
            if not self.finished:
                found += self._one(string(data, "type") or event.name, data)
        return found

    def end(self) -> list[ModelEvent]:
        """The stream is over. Raises ModelError when the answer was not complete."""
        if self.finished:
            return []
        if self._reason is None:
            raise ended_early()
        return self._finish()

    def _one(self, kind: str, data: dict[str, Any]) -> list[ModelEvent]:
        index = number(data, "index")
        match kind:
            case "message_start":
                message = inner(data, "message")
                self._count(inner(message, "usage"))
                self._response_id = string(message, "id")
                return [Created(response_id=self._response_id)]
            case "content_block_start":
                return self._start(index, inner(data, "content_block"))
            case "content_block_delta":
                block = self._blocks.get(index)
                return [] if block is None else self._delta(block, inner(data, "delta"))
            case "content_block_stop":
                return self._stop(self._blocks.pop(index, None))
            case "message_delta":
                self._count(inner(data, "usage"))
                self._reason = string(inner(data, "delta"), "stop_reason") or self._reason
                return []
            case "message_stop":
                return self._finish()
            case "error":
                raise _failure(inner(data, "error"))
            case _:
                return []

    def _start(self, index: int, start: dict[str, Any]) -> list[ModelEvent]:
        found = self._stop(self._blocks.pop(index, None))
        type_ = string(start, "type")
        if type_ not in KINDS:
            return found
        kind, prefix = KINDS[type_]
        if kind == "call" and self._is_custom(string(start, "name")):
            prefix = "ctc"
        block = _Block(type_, ItemId(self._make_id(prefix)), start)
        if kind == "call" and not block.call_id:
            block.call_id = CallId(self._make_id("call"))
        self._blocks[index] = block
        call_id = block.call_id if kind == "call" else None
        found.append(
            ItemStarted(item_id=block.id, kind=kind, name=block.name or None, call_id=call_id)
        )
        if type_ == "thinking":
            found.append(ReasoningPart(item_id=block.id, index=0))
        if block.text:
            found += self._more(block, block.text)
        return found

    def _delta(self, block: _Block, delta: dict[str, Any]) -> list[ModelEvent]:
        match string(delta, "type"):
            case "text_delta" | "thinking_delta":
                text = string(delta, "text") or string(delta, "thinking")
                block.text += text
                return self._more(block, text)
            case "input_json_delta":
                text = string(delta, "partial_json")
                block.json += text
                if not text:
                    return []
                return [CallDelta(item_id=block.id, call_id=block.call_id, text=text)]
            case "signature_delta":
                block.seal += string(delta, "signature")
                return []
            case _:
                return []

    def _more(self, block: _Block, text: str) -> list[ModelEvent]:
        if not text:
            return []
        if block.kind == "text":
            return [TextDelta(item_id=block.id, text=text)]
        return [ReasoningDelta(item_id=block.id, text=text, kind="summary")]

    def _stop(self, block: _Block | None) -> list[ModelEvent]:
        item = None if block is None else self._item(block)
        return [] if item is None else [ItemDone(item=item)]

    def _item(self, block: _Block) -> HistoryItem | None:
        match block.kind:
            case "text":
                return assistant(block.text, id=block.id) if block.text else None
            case "tool_use":
                return self._call(block)
            case _:
                summary = (SummaryText(text=block.text),) if block.text else ()
                return Reasoning(
                    id=block.id,
                    summary=summary,
                    content=None,
                    encrypted_content=block.seal or None,
                    extra={ORIGIN: MESSAGES if block.kind == "thinking" else REDACTED},
                )

    def _call(self, block: _Block) -> HistoryItem:
        arguments = block.json.strip() or as_json_text(block.input)
        one = self._tools.get(block.name)
        if one is not None and isinstance(one.tool, CustomTool):
            return CustomToolCall(
                id=block.id, name=one.name, input=free_text(arguments), call_id=block.call_id
            )
        return FunctionCall(
            id=block.id,
            name=block.name if one is None else one.name,
            namespace=None if one is None else one.namespace,
            arguments=arguments,
            call_id=block.call_id,
        )

    def _is_custom(self, name: str) -> bool:
        one = self._tools.get(name)
        return one is not None and isinstance(one.tool, CustomTool)

    def _finish(self) -> list[ModelEvent]:
        found: list[ModelEvent] = []
        for index in sorted(self._blocks):
            found += self._stop(self._blocks.pop(index))
        if (failure := _stopped(self._reason)) is not None:
            if found:
                return found  # what there is counts; the next call says that it is not all
            raise failure
        self.finished = True
        end_turn = False if self._reason == "pause_turn" else None
        usage = usage_from(self._usage) if self._usage else None
        found.append(Done(response_id=self._response_id, usage=usage, end_turn=end_turn))
        return found

    def _count(self, usage: dict[str, Any]) -> None:
        """Later counts replace earlier ones, field by field."""
        for key in (
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "output_tokens",
        ):
            if usage.get(key) is not None:
                self._usage[key] = number(usage, key)


def _stopped(reason: str | None) -> ModelError | None:
    match reason:
        case "max_tokens":
            return incomplete("max_output_tokens")
        case "model_context_window_exceeded":
            return in_stream({"code": "context_length_exceeded"})
        case "refusal":
            return ModelError("The model declined to answer.", kind=ModelErrorKind.REFUSED)
        case _:
            return None


def _failure(error: dict[str, Any]) -> ModelError:
    """An overloaded server is a passing thing here, unlike a model that is at capacity."""
    if string(error, "type") == "overloaded_error":
        said = string(error, "message") or "overloaded"
        return ModelError(
            f"stream disconnected before completion: {said}",
            kind=ModelErrorKind.SERVER,
            status=529,
        )
    return in_stream(error)


def usage_from(usage: Mapping[str, int]) -> TokenUsage:
    """The server's count. This wire counts cached tokens beside the input, we within it."""
    cached = usage.get("cache_read_input_tokens", 0)
    written = usage.get("cache_creation_input_tokens", 0)
    tokens_in = usage.get("input_tokens", 0) + cached + written
    tokens_out = usage.get("output_tokens", 0)
    return TokenUsage(
        input=tokens_in,
        cached_input=cached,
        cache_write_input=written,
        output=tokens_out,
        total=tokens_in + tokens_out,
    )
