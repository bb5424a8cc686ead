"""What the tests of the three wires share: a decoder fed with text, a small conversation."""

import json
from itertools import count

from octavo.model.codec import Codec, WireOptions
from octavo.model.events import ItemDone, ModelEvent
from octavo.model.request import CustomTool, FunctionTool, ModelRequest, NamespaceTool
from octavo.model.sse import SseEvent
from octavo.protocol.content import InputImage, InputText
from octavo.protocol.history import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    HistoryItem,
    Message,
    Reasoning,
    SummaryText,
    Unknown,
    assistant,
)

SCHEMA = {"type": "object", "properties": {"cmd": {"type": "string"}, "n": {"type": "integer"}}}
SHELL = FunctionTool(name="exec_command", description="Run.", parameters=SCHEMA)
PATCH = CustomTool(
    name="apply_patch",
    description="Patch.",
    format={"type": "grammar", "syntax": "lark", "definition": "start: patch"},
)
ECHO = NamespaceTool(
    name="mcp__echo",
    description="Echo.",
    tools=(FunctionTool(name="echo", description="Say it again.", parameters=SCHEMA),),
)
OPTIONS = WireOptions()


def said(text: str, role: str = "user") -> Message:
    return Message(role=role, content=(InputText(text=text),))


CONVERSATION: tuple[HistoryItem, ...] = (
    said("rules", "developer"),
    said("agents file"),
    said("fix it"),
    Reasoning(
        id="rs_1",
        summary=(SummaryText(text="thinking"),),
        content=None,
        encrypted_content="sealed",
    ),
    assistant("Looking.", id="msg_1", phase="commentary"),
    FunctionCall(id="fc_1", name="exec_command", arguments='{"cmd":"ls"}', call_id="call.1"),
    CustomToolCall(id="ctc_1", name="apply_patch", input="*** B\n", call_id="call_2"),
    FunctionCallOutput(call_id="call.1", output="README"),
    CustomToolCallOutput(
        call_id="call_2",
        output=(InputText(text="ok"), InputImage(image_url="data:image/png;base64,AAAA")),
    ),
    Unknown(raw={"type": "brand_new"}),
)


def request(*items: HistoryItem, **more: object) -> ModelRequest:
    fields = {"model": "m", "instructions": "be good", "tools": (SHELL, PATCH, ECHO), **more}
    return ModelRequest(input=items, **fields)


class Feed:
    """A decoder, fed with JSON objects or raw text."""

    def __init__(self, codec: Codec, asked: ModelRequest | None = None, **options: bool) -> None:
        numbers = count(1)
        self.decoder = codec.decoder(
            asked or request(), WireOptions(**options), lambda prefix: f"{prefix}_{next(numbers)}"
        )

    def __call__(self, *events: object) -> list[ModelEvent]:
        return [
            value
            for event in events
            for value in self.decoder.feed(
                SseEvent(data=event if isinstance(event, str) else json.dumps(event))
            )
        ]


def items(events: list[ModelEvent]) -> list[HistoryItem]:
    return [event.item for event in events if isinstance(event, ItemDone)]


def body(codec: Codec, asked: ModelRequest, options: WireOptions = OPTIONS) -> dict[str, object]:
    found: dict[str, object] = json.loads(codec.encode(asked, options).body)
    return found
