"""The Responses wire: history items travel as they are.

Pure. Fields stand in a fixed order, with the conversation as late as possible, so that one
request begins with the bytes of the one before.
"""

from typing import Any, Final

import msgspec

from octavo.model.codec import (
    Decoder,
    MakeId,
    WireOptions,
    WireRequest,
    as_json_text,
    inner,
    is_object,
    number,
    objects,
    origin,
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
from octavo.model.request import (
    CustomTool,
    FunctionTool,
    HostedTool,
    ModelRequest,
    NamespaceTool,
    ToolSpec,
)
from octavo.model.sse import SseEvent
from octavo.protocol.content import InputText
from octavo.protocol.history import HistoryItem, Message, Reasoning, Unknown
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import JSON, item_from, item_to

PATH: Final = "/responses"
NOT_SENT: Final = frozenset(
    {"internal_chat_message_metadata_passthrough", "status", "extra_content"}
)
"""Fields of other programs' records, of other wires, and what only answers carry."""
KINDS: Final[dict[str, tuple[ItemKind, str]]] = {
    "message": ("message", "msg"),
    "reasoning": ("reasoning", "rs"),
    "function_call": ("call", "fc"),
    "custom_tool_call": ("call", "ctc"),
    "local_shell_call": ("call", "lsh"),
    "web_search_call": ("other", "ws"),
}
"""Item type to what it is for a client, and the prefix of its id."""

DELTAS: Final = {
    "response.output_text.delta": "message",
    "response.refusal.delta": "message",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_part.added": "reasoning",
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
"""Events that carry more of an item, and the type of that item. Any others are passed over."""


def encode(request: ModelRequest, options: WireOptions) -> WireRequest:
    """The request as it goes over the line."""
    body = {
        "model": request.model,
        **({"instructions": request.instructions} if options.instructions_as == "field" else {}),
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": "auto",
        "parallel_tool_calls": request.parallel_tool_calls,
        **_settings(request),
        "store": False,
        "stream": True,
        "input": _input(request, options),
        **_metadata(request),
    }
    return WireRequest(path=PATH, headers=_headers(request), body=JSON.encode(body))


def _settings(request: ModelRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    reasoning = {"effort": request.effort, "summary": request.summary}
    if request.summary == "none":
        del reasoning["summary"]
    if reasoning := {key: value for key, value in reasoning.items() if value is not None}:
        found["reasoning"] = reasoning
    found["include"] = ["reasoning.encrypted_content"]
    text: dict[str, Any] = {}
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if (wanted := request.output_schema) is not None:
        text["format"] = {
            "type": "json_schema",
            "strict": wanted.strict,
            "name": wanted.name,
            "schema": wanted.schema,
        }
    if text:
        found["text"] = text
    if request.service_tier is not None:
        found["service_tier"] = request.service_tier
    if (key := request.prompt_cache_key or request.thread_id) is not None:
        found["prompt_cache_key"] = key
    if request.max_output_tokens is not None:
        found["max_output_tokens"] = request.max_output_tokens
    return found


def _tool(tool: ToolSpec) -> dict[str, Any]:
    match tool:
        case FunctionTool():
            return {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "strict": tool.strict,
                "parameters": tool.parameters,
            }
        case CustomTool():
            found: dict[str, Any] = {
                "type": "custom",
                "name": tool.name,
                "description": tool.description,
            }
            return found if tool.format is None else {**found, "format": tool.format}
        case NamespaceTool():
            return {
                "type": "namespace",
                "name": tool.name,
                "description": tool.description,
                "tools": [_tool(one) for one in tool.tools],
            }
        case HostedTool():
            return dict(tool.raw)


def _input(request: ModelRequest, options: WireOptions) -> list[Any]:
    items = [item_to(_sendable(item)) for item in request.input if _sent(item)]
    if options.instructions_as == "field" or not request.instructions:
        return items
    first = Message(role="developer", content=(InputText(text=request.instructions),))
    return [first, *items]


def _sent(item: HistoryItem) -> bool:
    return not (isinstance(item, Unknown) or (isinstance(item, Reasoning) and origin(item)))


def _sendable(item: HistoryItem) -> HistoryItem:
    if isinstance(item, Unknown):
        return item
    if isinstance(item, Reasoning) and item.content:
        item = msgspec.structs.replace(item, content=None)  # raw thoughts are not sent back
    if item.extra and not NOT_SENT.isdisjoint(item.extra):
        extra = {key: value for key, value in item.extra.items() if key not in NOT_SENT}
        return msgspec.structs.replace(item, extra=extra)
    return item


def _metadata(request: ModelRequest) -> dict[str, Any]:
    known = {
        "session_id": request.session_id,
        "thread_id": request.thread_id,
        "turn_id": request.turn_id,
        "x-codex-window-id": request.window_id,
        **request.metadata,
    }
    found = {key: value for key, value in known.items() if value is not None}
    return {"client_metadata": found} if found else {}


def _headers(request: ModelRequest) -> dict[str, str]:
    thread = request.thread_id
    known = {
        "session-id": request.session_id or thread,
        "thread-id": thread,
        "x-client-request-id": thread,
        "x-codex-window-id": request.window_id,
    }
    return {key: value for key, value in known.items() if value is not None}


def decoder(request: ModelRequest, options: WireOptions, make_id: MakeId) -> Decoder:
    """A decoder for the answer to this request."""
    del request, options
    return ResponsesDecoder(make_id)


class ResponsesDecoder:
    """Follows one answer. Items count when the server says they are done."""

    def __init__(self, make_id: MakeId) -> None:
        self.finished = False
        self._make_id = make_id
        self._response_id = ""
        self._ids: dict[int, ItemId] = {}
        """Output index to the id of the item there."""
        self._calls: dict[ItemId, CallId] = {}
        self._any_done = False

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """What this event means. Raises ModelError for a failure the server reports."""
        found: list[ModelEvent] = []
        for data in objects(event.data):
            if not self.finished:
                found += self._one(string(data, "type") or event.name, data)
        return found

    def end(self) -> list[ModelEvent]:
        """The stream is over. Raises ModelError when the answer was not complete."""
        if not self.finished:
            raise ended_early()
        return []

    def _one(self, kind: str, data: dict[str, Any]) -> list[ModelEvent]:
        match kind:
            case "response.created":
                return self._created(inner(data, "response"))
            case "response.output_item.added":
                return self._started(data)
            case "response.output_item.done":
                return self._item(data, inner(data, "item"))
            case "response.completed" | "response.done":
                return self._completed(inner(data, "response"))
            case "response.failed":
                raise in_stream(inner(data, "response").get("error") or data.get("error"))
            case "error":
                raise in_stream(data.get("error") or data)
            case "response.incomplete":
                details = inner(inner(data, "response"), "incomplete_details")
                raise incomplete(string(details, "reason") or "unknown")
            case _:
                return self._delta(kind, data)

    def _delta(self, kind: str, data: dict[str, Any]) -> list[ModelEvent]:
        item_type, text = DELTAS.get(kind), string(data, "delta")
        if item_type is None or not (text or "part" in kind):
            return []
        at = self._id(data, {"type": item_type})
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                return [TextDelta(item_id=at, text=text)]
            case "response.reasoning_summary_text.delta":
                return [ReasoningDelta(item_id=at, text=text, kind="summary")]
            case "response.reasoning_text.delta":
                return [ReasoningDelta(item_id=at, text=text, kind="raw")]
            case "response.reasoning_summary_part.added":
                return [ReasoningPart(item_id=at, index=number(data, "summary_index"))]
            case _:
                return [CallDelta(item_id=at, call_id=self._calls.get(at), text=text)]

    def _created(self, response: dict[str, Any]) -> list[ModelEvent]:
        self._response_id = string(response, "id")
        return [Created(response_id=self._response_id)]

    def _started(self, data: dict[str, Any]) -> list[ModelEvent]:
        item = inner(data, "item")
        kind, _ = KINDS.get(string(item, "type"), ("other", "item"))
        at = self._id(data, item)
        call_id = CallId(string(item, "call_id")) or None
        if call_id is not None:
            self._calls[at] = call_id
        return [
            ItemStarted(item_id=at, kind=kind, name=string(item, "name") or None, call_id=call_id)
        ]

    def _id(self, data: dict[str, Any], item: dict[str, Any] | None = None) -> ItemId:
        """The item an event speaks of; made here where the server does not name it."""
        index = data.get("output_index")
        index = index if isinstance(index, int) else -1
        said = string(item or {}, "id") or string(data, "item_id")
        if said:
            return self._ids.setdefault(index, ItemId(said)) if index >= 0 else ItemId(said)
        if index not in self._ids:
            _, prefix = KINDS.get(string(item or {}, "type"), ("other", "item"))
            self._ids[index] = ItemId(self._make_id(prefix))
        return self._ids[index]

    def _item(self, data: dict[str, Any], item: dict[str, Any]) -> list[ModelEvent]:
        self._any_done = True
        fixed = dict(item)
        fixed["id"] = self._id(data, item)
        if data.get("output_index") is None and not string(item, "id"):
            self._ids.pop(-1, None)  # the next item without any name is another one
        if string(item, "type") in ("function_call", "custom_tool_call"):
            fixed["call_id"] = (
                string(item, "call_id")
                or self._calls.get(fixed["id"])
                or string(item, "id")
                or self._make_id("call")
            )
        if string(item, "type") == "function_call":
            fixed["arguments"] = as_json_text(item.get("arguments"))
        return [ItemDone(item=item_from(fixed))]

    def _completed(self, response: dict[str, Any]) -> list[ModelEvent]:
        found: list[ModelEvent] = []
        if not self._any_done:  # servers that send the items only here
            output = response.get("output")
            for index, item in enumerate(output if isinstance(output, list) else ()):
                if is_object(item):
                    found += self._item({"output_index": index}, item)
        self.finished = True
        end_turn = response.get("end_turn")
        found.append(
            Done(
                response_id=string(response, "id") or self._response_id,
                usage=usage_from(response.get("usage")),
                end_turn=end_turn if isinstance(end_turn, bool) else None,
            )
        )
        return found


def usage_from(usage: object) -> TokenUsage | None:
    """The server's count."""
    if not is_object(usage):
        return None
    read, written = inner(usage, "input_tokens_details"), inner(usage, "output_tokens_details")
    tokens_in, tokens_out = number(usage, "input_tokens"), number(usage, "output_tokens")
    return TokenUsage(
        input=tokens_in,
        cached_input=number(read, "cached_tokens"),
        cache_write_input=number(read, "cache_write_tokens") or number(usage, "cache_write_tokens"),
        output=tokens_out,
        reasoning_output=number(written, "reasoning_tokens"),
        total=number(usage, "total_tokens") or tokens_in + tokens_out,
    )
