"""What the three wire formats share: the shape of an encoded request, of a decoder, and lenient reading.

Pure. Ids that a server leaves out are made by a function the caller gives.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol, TypeGuard

import msgspec
from msgspec import Struct

from octavo.model.events import ModelEvent
from octavo.model.request import CustomTool, FunctionTool, ModelRequest, NamespaceTool
from octavo.model.sse import SseEvent
from octavo.protocol.history import Item
from octavo.protocol.wire import ANY, JSON

MakeId = Callable[[str], str]
"""Prefix (`msg`, `rs`, `call`, …) to a new id beginning with it."""

ORIGIN: Final = "octavo_wire"
"""In `extra` of reasoning: which other wire it came over. What one provider sealed, or what it
calls its thoughts, is not sent to another."""


class WireOptions(Struct, frozen=True, kw_only=True):
    """How one provider wants to be spoken to, beyond the wire format."""

    instructions_as: Literal["developer", "field"] = "developer"
    """Responses: base instructions as the first developer message, or as `instructions`."""
    echo_reasoning: bool = True
    """Chat: send thoughts back under the name they came with, as tool loops of reasoning models
    want it."""
    text_calls: bool = True
    """Chat: recognise calls that a small model wrote as text."""


class WireRequest(Struct, frozen=True, kw_only=True):
    """What goes over the line."""

    path: str
    """After the provider's base URL."""
    headers: Mapping[str, str]
    body: bytes


class Decoder(Protocol):
    """Makes events from one answer."""

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """What this event means. Raises ModelError for a failure the server reports."""
        ...

    def end(self) -> list[ModelEvent]:
        """The stream is over. Raises ModelError when the answer was not complete."""
        ...

    @property
    def finished(self) -> bool:
        """`Done` was given out; what still comes does not matter."""
        ...


class Codec(Protocol):
    """One wire format; the modules `responses`, `chat` and `messages` are such."""

    def encode(self, request: ModelRequest, options: WireOptions) -> WireRequest:
        """The request as it goes over the line."""
        ...

    def decoder(self, request: ModelRequest, options: WireOptions, make_id: MakeId) -> Decoder:
        """A decoder for the answer to this request."""
        ...


def objects(data: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in an event's data; what is not JSON is passed over.

    Servers that forget the empty line between events put several objects into one.
    """
    for text in (data, *(data.split("\n") if "\n" in data else ())):
        try:
            found = ANY.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue
        if is_object(found):
            yield found
        if text is data:
            return


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """A JSON object."""
    return isinstance(value, dict)


def inner(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under a key; empty when there is none."""
    found = value.get(key)
    return found if is_object(found) else {}


def string(value: Mapping[str, Any], key: str) -> str:
    """The text under a key; empty when there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def number(value: Mapping[str, Any], key: str) -> int:
    """The count under a key; 0 when there is none."""
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e15:
        return 0
    return max(0, int(found))


def as_json_text(value: object) -> str:
    """Arguments as text, whether the server sent text or the object itself."""
    if isinstance(value, str):
        return value
    return "{}" if value is None else JSON.encode(value).decode()


def origin(item: Item) -> str:
    """The wire a reasoning item came over; "" for Responses."""
    found = item.extra.get(ORIGIN)
    return found if isinstance(found, str) else ""


def flat_name(namespace: str | None, name: str) -> str:
    """A tool's name where the wire has no namespaces."""
    return name if namespace is None else f"{namespace}__{name}"


class Offered(Struct, frozen=True, kw_only=True):
    """One callable tool, as wires without namespaces and free text see it."""

    name: str
    namespace: str | None
    tool: FunctionTool | CustomTool


def offered(request: ModelRequest) -> dict[str, Offered]:
    """The callable tools by flat name, in the order offered; hosted tools are left out."""
    found: dict[str, Offered] = {}
    for tool in request.tools:
        if isinstance(tool, FunctionTool | CustomTool):
            found[tool.name] = Offered(name=tool.name, namespace=None, tool=tool)
        elif isinstance(tool, NamespaceTool):
            for one in tool.tools:
                flat = flat_name(tool.name, one.name)
                found[flat] = Offered(name=one.name, namespace=tool.name, tool=one)
    return found


def parameters(tool: FunctionTool | CustomTool) -> Mapping[str, Any]:
    """The JSON schema of a tool; free text becomes one string named `input`."""
    if isinstance(tool, FunctionTool):
        return tool.parameters
    text = {"type": "string", "description": _grammar_note(tool)}
    return {
        "type": "object",
        "properties": {"input": text},
        "required": ["input"],
        "additionalProperties": False,
    }


def _grammar_note(tool: CustomTool) -> str:
    definition = string(tool.format or {}, "definition")
    if not definition:
        return "The whole text."
    syntax = string(tool.format or {}, "syntax") or "grammar"
    return f"The whole text, in this form ({syntax}):\n{definition}"


def free_text(arguments: str) -> str:
    """The text in the arguments of a custom tool that travelled as a function.

    Small models forget the JSON around it or call the argument something else.
    """
    try:
        found = ANY.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return arguments
    if isinstance(found, str):
        return found
    if is_object(found):
        if isinstance(found.get("input"), str):
            return str(found["input"])
        if len(found) == 1 and isinstance(only := next(iter(found.values())), str):
            return only
    return arguments
