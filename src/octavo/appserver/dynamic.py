"""Tools that a client brings along: the model calls them, the client does them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from octavo.appserver.errors import invalid
from octavo.model.request import FunctionTool, NamespaceTool
from octavo.protocol.content import ContentPart, InputImage, InputText
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed

METHOD: Final = "item/tool/call"
UNANSWERED: Final = "The client did not answer; the tool may or may not have done its work."
Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""Puts a request to the client; None when nobody answered."""


class DynamicTool:
    """One tool, or several under one name."""

    parallel = True

    def __init__(self, spec: FunctionTool | NamespaceTool, ask: Ask) -> None:
        self.spec = spec
        self._ask = ask

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Have the client do it."""
        name = f"{call.namespace}.{call.name}" if call.namespace else call.name
        item = ToolUse(id=call.item_id, tool=name, arguments=call.arguments)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        output = failed("aborted")
        try:
            output = await self._answer(call, context)
        finally:
            status = "completed" if output.success else "failed"
            done = msgspec.structs.replace(item, output=output.text, status=status)
            context.emit(ItemCompleted(turn_id=context.turn_id, item=done))
        return output

    async def _answer(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        try:
            arguments = msgspec.json.decode(call.arguments or "{}")
        except msgspec.DecodeError as error:
            return failed(f"the arguments are no JSON: {error}")
        asked = {
            "callId": call.call_id,
            "tool": call.name,
            "namespace": call.namespace,
            "arguments": arguments,
            "threadId": context.thread_id,
            "turnId": context.turn_id,
        }
        return output_of(await self._ask(METHOD, asked))


def output_of(answer: Any) -> ToolOutput:  # noqa: ANN401 - from a client
    """The client's answer as the model reads it."""
    match answer:
        case {"contentItems": [*found], "success": bool(success)}:
            parts = tuple(part for one in found if (part := part_of(one)) is not None)
            words = [part.text for part in parts if isinstance(part, InputText)]
            plain = len(words) == len(parts)
            return ToolOutput(output="\n".join(words) if plain else parts, success=success)
        case None:
            return failed(UNANSWERED)
        case _:
            return failed("The client's answer was not understood.")


def part_of(raw: object) -> ContentPart | None:
    """One part of an answer; None for kinds no model here can take."""
    match raw:
        case {"type": "inputText", "text": str(text)}:
            return InputText(text=text)
        case {"type": "inputImage", "imageUrl": str(url)}:
            return InputImage(image_url=url)
        case _:
            return None


def tools_of(specs: Sequence[Mapping[str, Any]] | None, ask: Ask) -> tuple[DynamicTool, ...]:
    """The tools a client named. Raises MethodError for what is no tool."""
    return tuple(DynamicTool(spec_of(one), ask) for one in specs or ())


def spec_of(raw: Mapping[str, Any]) -> FunctionTool | NamespaceTool:
    match dict(raw):
        case {"type": "namespace", "name": str(name), "tools": [*tools]}:
            inner = tuple(function_of(one) for one in tools)
            return NamespaceTool(
                name=name, description=str(raw.get("description", "")), tools=inner
            )
        case _:
            return function_of(raw)


def function_of(raw: Any) -> FunctionTool:  # noqa: ANN401 - from a client
    match raw:
        case {"name": str(name), "inputSchema": dict(schema)} if name:
            words = str(raw.get("description", ""))
            return FunctionTool(name=name, description=words, parameters=schema)
        case _:
            raise invalid("Invalid request: a dynamic tool needs `name` and `inputSchema`")
