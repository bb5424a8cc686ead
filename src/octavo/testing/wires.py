"""A reply as it looks on each of the three wires: lists of server-sent events, as text.

Pure. Written from the formats, not from our decoders, so that one checks the other.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, assert_never

from octavo.model.provider import WireApi
from octavo.protocol.errors import ModelErrorKind as K
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import JSON
from octavo.testing.script import (
    Call,
    Custom,
    Cut,
    Fail,
    Garbage,
    Hold,
    Reply,
    Say,
    Slow,
    Stall,
    Step,
    Think,
    words,
)

JsonObject = dict[str, Any]
Piece = bytes | Cut | Stall | Slow | Hold
"""Bytes to send, or what to do with the connection."""

STATUS: Final[dict[K, tuple[int, str]]] = {
    K.CONTEXT_WINDOW: (400, "context_length_exceeded"),
    K.QUOTA: (429, "insufficient_quota"),
    K.USAGE_LIMIT: (429, "usage_limit_reached"),
    K.INVALID_REQUEST: (400, "invalid_request_error"),
    K.OVERLOADED: (503, "server_is_overloaded"),
    K.RATE_LIMITED: (429, "rate_limit_exceeded"),
    K.SERVER: (500, "server_error"),
    K.AUTH: (401, "invalid_api_key"),
    K.REFUSED: (400, "content_policy_violation"),
}
"""What a failure looks like as the answer to a request. The others are done to the connection."""


def refusal(fail: Fail) -> tuple[int, bytes] | None:
    """Status and body; None when the failure is no answer at all."""
    if fail.kind not in STATUS and fail.status is None:
        return None
    status, code = STATUS.get(fail.kind, (500, "server_error"))
    error = {"message": fail.message, "type": code, "code": code}
    return fail.status or status, JSON.encode({"error": error})


def render(wire: WireApi, reply: Reply, number: int, next_id: Callable[[str], str]) -> list[Piece]:
    """All that goes over the connection after the headers."""
    renderer = RENDERERS[wire](number, next_id)
    pieces: list[Piece] = [_bytes(renderer.begin())]
    for step in reply.steps:
        match step:
            case Cut() | Stall() | Slow() | Hold():
                pieces.append(step)
            case Garbage(line=line):
                pieces.append(line.encode() + b"\n\n")
            case Fail():
                return [*pieces, *_failing(renderer, step)]
            case _:
                pieces.append(_bytes(renderer.item(step)))
    return [*pieces, _bytes(renderer.end(reply))]


def _failing(renderer: "_Renderer", fail: Fail) -> list[Piece]:
    match fail.kind:
        case K.DISCONNECTED | K.UNREACHABLE:
            return [Cut()]
        case K.IDLE_TIMEOUT:
            return [Stall()]
        case K.INCOMPLETE:
            return [_bytes(renderer.incomplete(fail.message))]
        case _:
            _, code = STATUS[fail.kind]
            return [_bytes(renderer.failed(code, fail.message))]


def _bytes(events: Iterator[tuple[str, JsonObject | str]]) -> bytes:
    found: list[bytes] = []
    for name, data in events:
        body = data.encode() if isinstance(data, str) else JSON.encode(data)
        head = f"event: {name}\n".encode() if name else b""
        found.append(head + b"data: " + body + b"\n\n")
    return b"".join(found)


Events = Iterator[tuple[str, JsonObject | str]]


class _Renderer:
    """One reply on one wire."""

    def __init__(self, number: int, next_id: Callable[[str], str]) -> None:
        self.response = f"resp_{number + 1}"
        self.next_id = next_id
        self.index = -1

    def begin(self) -> Events:
        raise NotImplementedError

    def item(self, step: Step) -> Events:
        raise NotImplementedError

    def end(self, reply: Reply) -> Events:
        raise NotImplementedError

    def failed(self, code: str, message: str) -> Events:
        raise NotImplementedError

    def incomplete(self, reason: str) -> Events:
        raise NotImplementedError


class _Responses(_Renderer):
    def begin(self) -> Events:
        yield self._event("response.created", response={"id": self.response})

    def item(self, step: Step) -> Events:
        self.index += 1
        match step:
            case Think():
                yield from self._think(step)
            case Say():
                yield from self._say(step)
            case Call():
                yield from self._call(step)
            case Custom():
                yield from self._custom(step)
            case Fail() | Cut() | Stall() | Garbage() | Slow() | Hold():
                return
            case _:
                assert_never(step)

    def end(self, reply: Reply) -> Events:
        response: JsonObject = {"id": self.response, "output": []}
        if reply.usage is not None:
            response["usage"] = _responses_usage(reply.usage)
        if reply.end_turn is not None:
            response["end_turn"] = reply.end_turn
        yield self._event("response.completed", response=response)

    def failed(self, code: str, message: str) -> Events:
        error = {"code": code, "message": message}
        yield self._event("response.failed", response={"id": self.response, "error": error})

    def incomplete(self, reason: str) -> Events:
        details = {"reason": reason}
        response = {"id": self.response, "incomplete_details": details}
        yield self._event("response.incomplete", response=response)

    def _event(self, name: str, **data: object) -> tuple[str, JsonObject]:
        return name, {"type": name, **data}

    def _item(self, name: str, item: JsonObject) -> tuple[str, JsonObject]:
        return self._event(f"response.output_item.{name}", output_index=self.index, item=item)

    def _delta(self, name: str, at: str, text: str, **more: object) -> tuple[str, JsonObject]:
        return self._event(
            f"response.{name}.delta", item_id=at, output_index=self.index, delta=text, **more
        )

    def _think(self, step: Think) -> Events:
        item: JsonObject = {"type": "reasoning", "id": self.next_id("rs"), "summary": []}
        yield self._item("added", item)
        part = {"item_id": item["id"], "output_index": self.index, "summary_index": 0}
        yield self._event("response.reasoning_summary_part.added", **part)
        for piece in words(step.text):
            yield self._delta("reasoning_summary_text", item["id"], piece, summary_index=0)
        if step.text:
            item["summary"] = [{"type": "summary_text", "text": step.text}]
        item |= {"content": None, "encrypted_content": step.sealed}
        yield self._item("done", item)

    def _say(self, step: Say) -> Events:
        item: JsonObject = {"type": "message", "id": self.next_id("msg"), "role": "assistant"}
        yield self._item("added", {**item, "content": []})
        for piece in words(step.text):
            yield self._delta("output_text", item["id"], piece)
        item["content"] = [{"type": "output_text", "text": step.text}]
        if step.phase is not None:
            item["phase"] = step.phase
        yield self._item("done", item)

    def _call(self, step: Call) -> Events:
        item: JsonObject = {"type": "function_call", "id": self.next_id("fc"), "name": step.name}
        if step.namespace is not None:
            item["namespace"] = step.namespace
        item["call_id"] = "call_" + item["id"].removeprefix("fc_")
        yield self._item("added", {**item, "arguments": ""})
        yield self._delta("function_call_arguments", item["id"], step.text)
        yield self._item("done", {**item, "arguments": step.text})

    def _custom(self, step: Custom) -> Events:
        item: JsonObject = {"type": "custom_tool_call", "id": self.next_id("ctc")}
        item |= {"name": step.name, "call_id": "call_" + item["id"].removeprefix("ctc_")}
        yield self._item("added", {**item, "input": ""})
        for line in step.input.splitlines(keepends=True):
            yield self._delta("custom_tool_call_input", item["id"], line)
        yield self._item("done", {**item, "input": step.input})


def _responses_usage(usage: TokenUsage) -> JsonObject:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write_input,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_output},
        "total_tokens": usage.total,
    }


class _Chat(_Renderer):
    def __init__(self, number: int, next_id: Callable[[str], str]) -> None:
        super().__init__(number, next_id)
        self.called = False

    def begin(self) -> Events:
        yield self._chunk({"role": "assistant", "content": ""})

    def item(self, step: Step) -> Events:
        match step:
            case Think():
                for piece in words(step.text):
                    yield self._chunk({"reasoning_content": piece})
            case Say():
                for piece in words(step.text):
                    yield self._chunk({"content": piece})
            case Call():
                name = step.name if step.namespace is None else f"{step.namespace}__{step.name}"
                yield from self._call(name, step.text)
            case Custom():
                yield from self._call(step.name, JSON.encode({"input": step.input}).decode())
            case Fail() | Cut() | Stall() | Garbage() | Slow() | Hold():
                return
            case _:
                assert_never(step)

    def end(self, reply: Reply) -> Events:
        yield self._chunk({}, finish_reason="tool_calls" if self.called else "stop")
        if reply.usage is not None:
            usage = reply.usage
            yield (
                "",
                {
                    "id": self.response,
                    "choices": [],
                    "usage": {
                        "prompt_tokens": usage.input,
                        "completion_tokens": usage.output,
                        "total_tokens": usage.total,
                        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
                    },
                },
            )
        yield "", "[DONE]"

    def failed(self, code: str, message: str) -> Events:
        yield "", {"error": {"code": code, "message": message}}

    def incomplete(self, reason: str) -> Events:
        known = {"max_output_tokens": "length"}
        yield self._chunk({}, finish_reason=known.get(reason, reason))
        yield "", "[DONE]"

    def _chunk(
        self, delta: JsonObject, *, finish_reason: str | None = None
    ) -> tuple[str, JsonObject]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return "", {"id": self.response, "choices": [choice]}

    def _call(self, name: str, arguments: str) -> Events:
        self.called = True
        self.index += 1
        call_id = self.next_id("call")
        head = {"index": self.index, "id": call_id, "type": "function"}
        yield self._chunk({"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})
        half = len(arguments) // 2
        for piece in (arguments[:half], arguments[half:]):
            part = {"index": self.index, "function": {"arguments": piece}}
            yield self._chunk({"tool_calls": [part]})


class _Messages(_Renderer):
    def __init__(self, number: int, next_id: Callable[[str], str]) -> None:
        super().__init__(number, next_id)
        self.called = False

    def begin(self) -> Events:
        yield self._event("message_start", message={"id": self.response, "role": "assistant"})

    def item(self, step: Step) -> Events:
        match step:
            case Think():
                yield from self._block(
                    {"type": "thinking", "thinking": ""},
                    [{"type": "thinking_delta", "thinking": piece} for piece in words(step.text)]
                    + [{"type": "signature_delta", "signature": step.sealed or ""}],
                )
            case Say():
                pieces = [{"type": "text_delta", "text": piece} for piece in words(step.text)]
                yield from self._block({"type": "text", "text": ""}, pieces)
            case Call():
                name = step.name if step.namespace is None else f"{step.namespace}__{step.name}"
                yield from self._use(name, step.text)
            case Custom():
                yield from self._use(step.name, JSON.encode({"input": step.input}).decode())
            case Fail() | Cut() | Stall() | Garbage() | Slow() | Hold():
                return
            case _:
                assert_never(step)

    def end(self, reply: Reply) -> Events:
        reason = "tool_use" if self.called else "end_turn"
        if reply.end_turn is False:
            reason = "pause_turn"
        yield from self._stop(reason, reply.usage)

    def failed(self, code: str, message: str) -> Events:
        yield self._event("error", error={"type": code, "message": message})

    def incomplete(self, reason: str) -> Events:
        yield from self._stop({"max_output_tokens": "max_tokens"}.get(reason, reason), None)

    def _stop(self, reason: str, usage: TokenUsage | None) -> Events:
        data: JsonObject = {"delta": {"stop_reason": reason}}
        if usage is not None:
            data["usage"] = {
                "input_tokens": usage.input - usage.cached_input - usage.cache_write_input,
                "cache_read_input_tokens": usage.cached_input,
                "cache_creation_input_tokens": usage.cache_write_input,
                "output_tokens": usage.output,
            }
        yield self._event("message_delta", **data)
        yield self._event("message_stop")

    def _event(self, name: str, **data: object) -> tuple[str, JsonObject]:
        return name, {"type": name, **data}

    def _use(self, name: str, arguments: str) -> Events:
        self.called = True
        half = len(arguments) // 2
        pieces = [
            {"type": "input_json_delta", "partial_json": piece}
            for piece in (arguments[:half], arguments[half:])
        ]
        start = {"type": "tool_use", "id": self.next_id("toolu"), "name": name, "input": {}}
        yield from self._block(start, pieces)

    def _block(self, start: JsonObject, deltas: list[JsonObject]) -> Events:
        self.index += 1
        yield self._event("content_block_start", index=self.index, content_block=start)
        for delta in deltas:
            yield self._event("content_block_delta", index=self.index, delta=delta)
        yield self._event("content_block_stop", index=self.index)


RENDERERS: Final[dict[WireApi, type[_Renderer]]] = {
    "responses": _Responses,
    "chat": _Chat,
    "messages": _Messages,
}
