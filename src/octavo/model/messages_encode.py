"""The Messages wire, our side: history items become blocks in alternating messages.

Pure. What stays the same (tools, system text) stands first and is marked for caching, and so is
the end of the conversation; thoughts go back with the seal they came with.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from octavo.model.catalog import lookup
from octavo.model.codec import (
    WireOptions,
    WireRequest,
    flat_name,
    is_object,
    offered,
    origin,
    parameters,
)
from octavo.model.request import ModelRequest
from octavo.protocol.content import ContentPart, InputImage, Refusal
from octavo.protocol.history import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    HistoryItem,
    LocalShellCall,
    Message,
    Reasoning,
)
from octavo.protocol.wire import ANY, JSON

PATH: Final = "/messages"
VERSION: Final = "2023-06-01"
MESSAGES: Final = "messages"
"""In `extra[ORIGIN]` of thoughts from this wire."""
REDACTED: Final = "messages:redacted"
CACHE: Final = {"type": "ephemeral"}
MOST_TOKENS: Final = 8_192
"""Of an answer, for models whose limit we do not know; the wire wants a number."""
BUDGETS: Final = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
    "ultra": 32_768,
}
"""Tokens to think with, for models that want a number."""
JsonObject = dict[str, Any]


def encode(request: ModelRequest, options: WireOptions) -> WireRequest:
    """The request as it goes over the line."""
    del options
    leading, rest = _leading(request)
    conversation = messages(rest)
    most = request.max_output_tokens or lookup(request.model).max_output_tokens or MOST_TOKENS
    body: JsonObject = {"model": request.model, "max_tokens": most}
    if tools := _tools(request):
        body["tools"] = tools
        body["tool_choice"] = _choice(request)
    if leading:
        body["system"] = [{"type": "text", "text": text} for text in leading]
        body["system"][-1]["cache_control"] = CACHE
    body |= _settings(request, conversation, most)
    body["stream"] = True
    body["messages"] = _marked(conversation)
    headers = {"anthropic-version": VERSION}
    return WireRequest(path=PATH, headers=headers, body=JSON.encode(body))


def _tools(request: ModelRequest) -> list[JsonObject]:
    return [
        {
            "name": name,
            "description": one.tool.description,
            "input_schema": parameters(one.tool),
        }
        for name, one in offered(request).items()
    ]


def _choice(request: ModelRequest) -> JsonObject:
    if request.parallel_tool_calls:
        return {"type": "auto"}
    return {"type": "auto", "disable_parallel_tool_use": True}


def _settings(request: ModelRequest, conversation: list[JsonObject], most: int) -> JsonObject:
    found: JsonObject = {}
    output: JsonObject = {}
    if request.effort not in (None, "none"):
        if lookup(request.model).thinking == "adaptive":
            found["thinking"] = {"type": "adaptive"}
            output["effort"] = _effort(request.effort)
        elif most > BUDGETS["minimal"] and not _thoughtless_tail(conversation):
            budget = min(BUDGETS[request.effort], max(BUDGETS["minimal"], most // 2))
            found["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if request.output_schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.output_schema.schema}
    if output:
        found["output_config"] = output
    return found


def _effort(effort: str) -> str:
    return {"minimal": "low", "xhigh": "max", "ultra": "max"}.get(effort, effort)


def _thoughtless_tail(conversation: list[JsonObject]) -> bool:
    """A tool loop is running whose calls came without thoughts (from another provider, or before
    thinking was switched on): the server refuses to think in the middle of it."""
    for message in reversed(conversation):
        kinds = [block["type"] for block in message["content"]]
        if message["role"] == "user" and "tool_result" not in kinds:
            return False
        if message["role"] == "assistant" and "tool_use" in kinds:
            return kinds[0] not in ("thinking", "redacted_thinking")
    return False


def _leading(request: ModelRequest) -> tuple[list[str], list[HistoryItem]]:
    """The system blocks, and the rest of the conversation."""
    texts = [request.instructions] if request.instructions else []
    items = list(request.input)
    while items and isinstance(first := items[0], Message) and first.role == "developer":
        texts.append("\n\n".join(_texts(first.content)))
        items.pop(0)
    return [text for text in texts if text.strip()], items


def messages(items: Iterable[HistoryItem]) -> list[JsonObject]:
    """The conversation as this wire has it: roles alternate, answers come before new words."""
    found: list[JsonObject] = []
    for item in items:
        for role, block in _blocks(item):
            if not found or found[-1]["role"] != role:
                found.append({"role": role, "content": []})
            found[-1]["content"].append(block)
    for message in found:
        if message["role"] == "user":  # a stable sort: answers to calls have to come first
            message["content"].sort(key=lambda block: block["type"] != "tool_result")
    return found


def _marked(conversation: list[JsonObject]) -> list[JsonObject]:
    """A cache mark on the last block that may carry one; last in its object, so that the next
    request shares every byte before it."""
    for message in reversed(conversation):
        for block in reversed(message["content"]):
            if block["type"] not in ("thinking", "redacted_thinking"):
                block["cache_control"] = CACHE
                return conversation
    return conversation


def _blocks(item: HistoryItem) -> Iterable[tuple[str, JsonObject]]:
    match item:
        case Message(role="assistant"):
            for text in _texts(item.content):
                if text.strip():
                    yield "assistant", {"type": "text", "text": text}
        case Message():
            for part in item.content:
                if (block := _part(part)) is not None:
                    yield "user", block
        case Reasoning():
            if (block := _thought(item)) is not None:
                yield "assistant", block
        case FunctionCall():
            name = flat_name(item.namespace, item.name)
            yield "assistant", _use(item.call_id, name, _object(item.arguments))
        case CustomToolCall():
            name = flat_name(item.namespace, item.name)
            yield "assistant", _use(item.call_id, name, {"input": item.input})
        case LocalShellCall(call_id=str(call_id), action=action):
            yield "assistant", _use(call_id, "local_shell", dict(action))
        case FunctionCallOutput() | CustomToolCallOutput():
            yield "user", _result(item)
        case _:
            pass  # what only the provider that made it can read


def _texts(parts: Iterable[ContentPart]) -> list[str]:
    return [
        part.refusal if isinstance(part, Refusal) else part.text
        for part in parts
        if not isinstance(part, InputImage)
    ]


def _part(part: ContentPart) -> JsonObject | None:
    if isinstance(part, InputImage):
        return _image(part.image_url)
    text = part.refusal if isinstance(part, Refusal) else part.text
    return {"type": "text", "text": text} if text.strip() else None  # empty blocks are refused


def _image(url: str) -> JsonObject:
    head, comma, data = url.partition(",")
    if url.startswith("data:") and comma and head.endswith(";base64"):
        media = head.removeprefix("data:").split(";")[0]
        return {
            "type": "image",
            "source": {"type": "base64", "media_type": media, "data": data},
        }
    return {"type": "image", "source": {"type": "url", "url": url}}


def _thought(item: Reasoning) -> JsonObject | None:
    match origin(item), item.encrypted_content:
        case "messages", str(signature):
            text = "".join(part.text for part in item.summary)
            return {"type": "thinking", "thinking": text, "signature": signature}
        case "messages:redacted", str(data):
            return {"type": "redacted_thinking", "data": data}
        case _:
            return None


def _use(call_id: str, name: str, arguments: JsonObject) -> JsonObject:
    return {"type": "tool_use", "id": _safe_id(call_id), "name": name, "input": arguments}


def _safe_id(call_id: str) -> str:
    """Ids of other providers may have characters this wire refuses."""
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in call_id) or "_"


def _object(arguments: str) -> JsonObject:
    try:
        found = ANY.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        found = None
    return found if is_object(found) else {"unparsable_arguments": arguments}


def _result(item: FunctionCallOutput | CustomToolCallOutput) -> JsonObject:
    content: str | list[JsonObject]
    if isinstance(item.output, str):
        content = item.output
    else:
        content = [block for part in item.output if (block := _part(part)) is not None]
    return {"type": "tool_result", "tool_use_id": _safe_id(item.call_id), "content": content}
