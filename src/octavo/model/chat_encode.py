"""The Chat Completions wire, our side: history items become messages.

Pure. The format has no developer items after the start, no free-text tools and no pictures in
tool answers, and many small servers insist on alternating roles; all of that is translated here.
"""

from collections.abc import Iterable
from typing import Any, Final

from octavo.model.codec import (
    WireOptions,
    WireRequest,
    flat_name,
    offered,
    origin,
    parameters,
    string,
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
from octavo.protocol.wire import JSON

PATH: Final = "/chat/completions"
CHAT: Final = "chat:"
"""Before the name of the field that thoughts came in, in `extra[ORIGIN]`."""
SEPARATOR: Final = "\n\n"
JsonObject = dict[str, Any]


def encode(request: ModelRequest, options: WireOptions) -> WireRequest:
    """The request as it goes over the line."""
    body: JsonObject = {"model": request.model}
    if tools := _tools(request):
        body["tools"] = tools
        body["tool_choice"] = "auto"
        body["parallel_tool_calls"] = request.parallel_tool_calls
    body |= _settings(request)
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    body["messages"] = messages(request, options)
    return WireRequest(path=PATH, headers={}, body=JSON.encode(body))


def _tools(request: ModelRequest) -> list[JsonObject]:
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": one.tool.description,
                "parameters": parameters(one.tool),
            },
        }
        for name, one in offered(request).items()
    ]


def _settings(request: ModelRequest) -> JsonObject:
    found: JsonObject = {}
    if request.effort is not None:
        found["reasoning_effort"] = request.effort
    if request.verbosity is not None:
        found["verbosity"] = request.verbosity
    if (wanted := request.output_schema) is not None:
        form = {"name": wanted.name, "strict": wanted.strict, "schema": wanted.schema}
        found["response_format"] = {"type": "json_schema", "json_schema": form}
    if request.service_tier is not None:
        found["service_tier"] = request.service_tier
    if request.max_output_tokens is not None:
        found["max_tokens"] = request.max_output_tokens
    return found


def messages(request: ModelRequest, options: WireOptions) -> list[JsonObject]:
    """The conversation as this wire has it."""
    writer = _Writer(options)
    leading, rest = _leading(request)
    writer.system(leading)
    for item in rest:
        writer.add(item)
    return writer.end()


def _leading(request: ModelRequest) -> tuple[list[str], list[HistoryItem]]:
    """What goes into the one system message, and the rest.

    Many chat templates take a system message at the beginning only.
    """
    texts = [request.instructions] if request.instructions else []
    items = list(request.input)
    while items and isinstance(first := items[0], Message) and first.role == "developer":
        texts += _texts(first.content)
        items.pop(0)
    return texts, items


def _texts(parts: Iterable[ContentPart]) -> list[str]:
    return [
        part.refusal if isinstance(part, Refusal) else part.text
        for part in parts
        if not isinstance(part, InputImage)
    ]


def _images(output: str | tuple[ContentPart, ...]) -> list[JsonObject]:
    if isinstance(output, str):
        return []
    return [_image(part) for part in output if isinstance(part, InputImage)]


def _image(part: InputImage) -> JsonObject:
    found: JsonObject = {"url": part.image_url}
    if part.detail in ("low", "high", "auto"):
        found["detail"] = part.detail
    return {"type": "image_url", "image_url": found}


class _Writer:
    """Collects messages; joins neighbours of one role."""

    def __init__(self, options: WireOptions) -> None:
        self._options = options
        self._done: list[JsonObject] = []
        self._pictures: list[JsonObject] = []
        """From tool answers: a user message carries them, once the answers are through."""

    def system(self, texts: list[str]) -> None:
        if texts:
            self._done.append({"role": "system", "content": SEPARATOR.join(texts)})

    def end(self) -> list[JsonObject]:
        self._flush()
        return self._done

    def add(self, item: HistoryItem) -> None:
        match item:
            case Message(role="assistant"):
                self._say(item)
            case Message():
                self._flush()
                self._user(item.content)
            case Reasoning():
                self._think(item)
            case FunctionCall(call_id=call_id, arguments=arguments):
                self._call(call_id, flat_name(item.namespace, item.name), arguments, item)
            case CustomToolCall(call_id=call_id, input=text):
                arguments = JSON.encode({"input": text}).decode()
                self._call(call_id, flat_name(item.namespace, item.name), arguments, item)
            case LocalShellCall(call_id=str(call_id), action=action):
                self._call(call_id, "local_shell", JSON.encode(action).decode(), item)
            case FunctionCallOutput() | CustomToolCallOutput():
                self._answer(item)
            case _:
                pass  # what only the provider that made it can read

    def _user(self, parts: Iterable[ContentPart]) -> None:
        parts = tuple(parts)
        texts, pictures = _texts(parts), any(isinstance(part, InputImage) for part in parts)
        last = self._done[-1] if self._done else {}
        if not pictures and last.get("role") == "user" and isinstance(last["content"], str):
            last["content"] = SEPARATOR.join([last["content"], *texts])
        elif not pictures and last.get("role") != "user":
            self._done.append({"role": "user", "content": SEPARATOR.join(texts)})
        else:
            self._user_parts([_part(part) for part in parts])

    def _user_parts(self, parts: list[JsonObject]) -> None:
        last = self._done[-1] if self._done else {}
        if last.get("role") != "user":
            self._done.append({"role": "user", "content": parts})
        elif isinstance(last["content"], str):
            last["content"] = [{"type": "text", "text": last["content"]}, *parts]
        else:
            last["content"] += parts

    def _flush(self) -> None:
        if self._pictures:
            pictures, self._pictures = self._pictures, []
            self._user_parts(pictures)

    def _assistant(self) -> JsonObject:
        """The assistant message to add to."""
        self._flush()
        if not self._done or self._done[-1]["role"] != "assistant":
            self._done.append({"role": "assistant", "content": None})
        return self._done[-1]

    def _say(self, item: Message) -> None:
        last = self._assistant()
        said = [last["content"]] if last["content"] else []
        last["content"] = SEPARATOR.join([*said, *_texts(item.content)])

    def _think(self, item: Reasoning) -> None:
        source = origin(item)
        if not (self._options.echo_reasoning and source.startswith(CHAT)):
            return
        if isinstance(item.content, tuple):
            name = source.removeprefix(CHAT)
            text = "".join(part.text for part in item.content)
            last = self._assistant()
            last[name] = SEPARATOR.join(filter(None, (string(last, name), text)))

    def _call(self, call_id: str, name: str, arguments: str, item: HistoryItem) -> None:
        call: JsonObject = {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments or "{}"},
        }
        if isinstance(item, FunctionCall) and "extra_content" in item.extra:
            call["extra_content"] = item.extra["extra_content"]  # signatures some servers want back
        self._assistant().setdefault("tool_calls", []).append(call)

    def _answer(self, item: FunctionCallOutput | CustomToolCallOutput) -> None:
        text = item.output if isinstance(item.output, str) else "\n".join(_texts(item.output))
        self._pictures += _images(item.output)
        self._done.append({"role": "tool", "tool_call_id": item.call_id, "content": text})


def _part(part: ContentPart) -> JsonObject:
    if isinstance(part, InputImage):
        return _image(part)
    return {"type": "text", "text": part.refusal if isinstance(part, Refusal) else part.text}
