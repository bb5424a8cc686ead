"""The Chat Completions wire, the server's side: chunks become items.

Pure. Chunks have no item boundaries: a part is complete when the next begins or the server gives
a reason to stop. Written for servers that leave out ids, indexes, reasons and the final mark.
"""

from collections.abc import Mapping
from typing import Any, Final

from octavo.model import textcalls
from octavo.model.chat_calls import CallBuilder, CallParts
from octavo.model.chat_encode import CHAT, encode
from octavo.model.codec import (
    ORIGIN,
    Decoder,
    MakeId,
    Offered,
    WireOptions,
    free_text,
    inner,
    is_object,
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
    ItemStarted,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
)
from octavo.model.failures import ended_early, in_stream, incomplete
from octavo.model.request import CustomTool, ModelRequest
from octavo.model.sse import SseEvent
from octavo.model.thinking import ThoughtSplitter
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    HistoryItem,
    Reasoning,
    ReasoningText,
    assistant,
)
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage

__all__ = ["ChatDecoder", "decoder", "encode"]

END: Final = "[DONE]"
THOUGHT_FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
WRITTEN: Final = "reasoning_content"
"""The field to echo thoughts in that came between tags."""
CLOSING: Final = "</think>"
STOPPED_SHORT: Final = {"length": "max_output_tokens", "max_tokens": "max_output_tokens",
                        "content_filter": "content_filter"}  # fmt: skip


def decoder(request: ModelRequest, options: WireOptions, make_id: MakeId) -> Decoder:
    """A decoder for the answer to this request."""
    return ChatDecoder(offered(request), make_id, text_calls=options.text_calls)


class ChatDecoder:
    """Follows one answer."""

    def __init__(
        self, tools: Mapping[str, Offered], make_id: MakeId, *, text_calls: bool = True
    ) -> None:
        self.finished = False
        self._tools = tools
        self._make_id = make_id
        self._text_calls = text_calls and bool(tools)
        self._response_id: str | None = None
        self._splitter = ThoughtSplitter()
        self._thought: _Text | None = None
        self._thought_field = WRITTEN
        self._message: _Text | None = None
        self._calls = CallBuilder(make_id, self._call_prefix)
        self._reason: str | None = None
        self._usage: TokenUsage | None = None
        self._anything = False

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """What this event means. Raises ModelError for a failure the server reports."""
        if self.finished:
            return []
        if event.data.strip() == END:
            return self._finish()
        found: list[ModelEvent] = []
        for data in objects(event.data):
            found += self._chunk(data)
        return found

    def end(self) -> list[ModelEvent]:
        """The stream is over. Raises ModelError when the answer was not complete."""
        if self.finished:
            return []
        if self._reason is None:
            raise ended_early()
        return self._finish()

    def _chunk(self, data: dict[str, Any]) -> list[ModelEvent]:
        if data.get("error"):
            raise in_stream(data["error"])
        found: list[ModelEvent] = []
        if self._response_id is None:
            self._response_id = string(data, "id")
            found.append(Created(response_id=self._response_id))
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if is_object(choice) and number(choice, "index") == 0:
            found += self._choice(choice)
        self._count(data, choice)
        return found

    def _count(self, data: dict[str, Any], choice: object) -> None:
        """The server's count, wherever it put it; the last one holds."""
        places = (data, inner(data, "x_groq"), choice if is_object(choice) else {})
        for place in places:
            if (usage := usage_from(place.get("usage"))) is not None:
                self._usage = usage

    def _choice(self, choice: dict[str, Any]) -> list[ModelEvent]:
        delta = inner(choice, "delta") or inner(choice, "message")
        found: list[ModelEvent] = []
        for field in THOUGHT_FIELDS:
            if thought := _text(delta.get(field)):
                self._thought_field = field
                found += self._think(thought)
                break  # some servers send the same under two names
        if content := _text(delta.get("content")) or string(delta, "refusal"):
            for kind, piece in self._splitter.feed(content):
                found += self._think(piece) if kind == "thought" else self._say(piece)
        calls = delta.get("tool_calls")
        for part in calls if isinstance(calls, list) else ():
            if is_object(part):
                found += self._call(part)
        if inner(delta, "function_call"):  # the form before tool_calls
            found += self._call({"index": 0, "function": delta["function_call"]})
        reason = choice.get("finish_reason")
        if reason == "error":
            raise in_stream(choice.get("error"))
        if isinstance(reason, str) and reason:
            self._reason = reason
            found += self._close()
        return found

    def _think(self, text: str) -> list[ModelEvent]:
        found: list[ModelEvent] = []
        if self._thought is None:
            self._thought = _Text(ItemId(self._make_id("rs")))
            found.append(ItemStarted(item_id=self._thought.id, kind="reasoning"))
        self._thought.text += text
        found.append(ReasoningDelta(item_id=self._thought.id, text=text, kind="raw"))
        return found

    def _end_thought(self) -> list[ModelEvent]:
        thought, self._thought = self._thought, None
        if thought is None or not thought.text.strip():
            return []
        item = Reasoning(
            id=thought.id,
            content=(ReasoningText(text=thought.text),),
            extra={ORIGIN: CHAT + self._thought_field},
        )
        self._anything = True
        return [ItemDone(item=item)]

    def _say(self, text: str) -> list[ModelEvent]:
        found: list[ModelEvent] = []
        if self._message is None:
            if not text.strip():
                return []  # servers put an empty line before calls
            if self._thought is not None:
                text = text.lstrip("\n")
            found += self._end_thought()
            self._message = _Text(ItemId(self._make_id("msg")))
            found.append(ItemStarted(item_id=self._message.id, kind="message"))
        message = self._message
        message.text += text
        upto = len(message.text)
        if self._text_calls:
            upto = textcalls.safe_until(message.text, message.shown)
        return found + self._show(message, upto)

    def _show(self, message: "_Text", upto: int) -> list[ModelEvent]:
        piece = message.text[message.shown : upto]
        message.shown = upto
        return [TextDelta(item_id=message.id, text=piece)] if piece else []

    def _end_message(self) -> list[ModelEvent]:
        """The message is complete: show what was held back, or take the calls out of it."""
        found: list[ModelEvent] = []
        for kind, piece in self._splitter.end():
            found += self._think(piece) if kind == "thought" else self._say(piece)
        found += self._end_thought()
        message, self._message = self._message, None
        self._splitter = ThoughtSplitter()
        if message is None:
            return found
        found += self._headless_thought(message)
        parts = textcalls.Found(text=message.text)
        if self._text_calls and self._calls.empty:
            parts = textcalls.find(message.text, self._tools)
        if not parts.calls:
            found += self._show(message, len(message.text))
        if parts.text:
            self._anything = True
            found.append(ItemDone(item=assistant(parts.text, id=message.id)))
        for call in parts.calls:
            call_id = CallId(self._make_id("call"))
            found += self._done_call(
                CallParts(item_id=ItemId(self._make_id(self._call_prefix(call.name))), call_id=call_id, name=call.name,
                          arguments=call.arguments), announce=True)  # fmt: skip
        return found

    def _headless_thought(self, message: "_Text") -> list[ModelEvent]:
        """Thoughts whose opening tag stood in the prompt already: only the closing one comes."""
        thought, tag, rest = message.text.partition(CLOSING)
        if not tag or self._anything:
            return []
        upto = len(thought) + len(tag)
        message.text, message.shown = rest.lstrip("\n"), max(0, message.shown - upto)
        return [*self._think(thought), *self._end_thought()]

    def _call(self, part: dict[str, Any]) -> list[ModelEvent]:
        found = self._end_message()
        step = self._calls.feed(part)
        for done in step.complete:
            found += self._done_call(done)
        if step.started is not None:
            found.append(_started(step.started))
        if step.text and step.to is not None:
            at = step.to
            found.append(CallDelta(item_id=at.item_id, call_id=at.call_id, text=step.text))
        return found

    def _call_prefix(self, name: str) -> str:
        one = self._tools.get(name)
        return "ctc" if one is not None and isinstance(one.tool, CustomTool) else "fc"

    def _done_call(self, parts: CallParts, *, announce: bool = False) -> list[ModelEvent]:
        self._anything = True
        one = self._tools.get(parts.name)
        item: HistoryItem
        if one is not None and isinstance(one.tool, CustomTool):
            item = CustomToolCall(
                id=parts.item_id,
                name=one.name,
                input=free_text(parts.arguments),
                call_id=parts.call_id,
            )
        else:
            item = FunctionCall(
                id=parts.item_id,
                name=parts.name if one is None else one.name,
                namespace=None if one is None else one.namespace,
                arguments=parts.arguments.strip() or "{}",
                call_id=parts.call_id,
                extra=dict(parts.extra),
            )
        return [*([_started(parts)] if announce else ()), ItemDone(item=item)]

    def _close(self) -> list[ModelEvent]:
        """Whatever is still open is complete now."""
        found = self._end_message()
        for parts in self._calls.end():
            found += self._done_call(parts)
        return found

    def _finish(self) -> list[ModelEvent]:
        found = self._close()
        if self._reason is None and not self._anything:
            raise ended_early()
        if (short := STOPPED_SHORT.get(self._reason or "")) is not None:
            if found:
                return found  # what there is counts; the next call says that it is not all
            raise incomplete(short)
        self.finished = True
        found.append(Done(response_id=self._response_id or "", usage=self._usage))
        return found


class _Text:
    """A message or thought that is still growing."""

    def __init__(self, at: ItemId) -> None:
        self.id = at
        self.text = ""
        self.shown = 0


def _started(parts: CallParts) -> ItemStarted:
    return ItemStarted(
        item_id=parts.item_id, kind="call", name=parts.name or None, call_id=parts.call_id
    )


def _text(value: object) -> str:
    """Text, or a list of parts with text in them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(
            string(part, "text") or _text(part.get("thinking")) for part in value if is_object(part)
        )
    return ""


def usage_from(usage: object) -> TokenUsage | None:
    """The server's count; None for counts of nothing."""
    if not is_object(usage) or not (
        number(usage, "prompt_tokens") or number(usage, "total_tokens")
    ):
        return None
    read, written = inner(usage, "prompt_tokens_details"), inner(usage, "completion_tokens_details")
    tokens_in, tokens_out = number(usage, "prompt_tokens"), number(usage, "completion_tokens")
    return TokenUsage(
        input=tokens_in,
        cached_input=number(read, "cached_tokens")
        or number(usage, "prompt_cache_hit_tokens")
        or number(usage, "cached_tokens"),
        cache_write_input=number(read, "cache_write_tokens"),
        output=tokens_out,
        reasoning_output=number(written, "reasoning_tokens"),
        total=number(usage, "total_tokens") or tokens_in + tokens_out,
    )
