"""What a model is asked: values every wire format can be made from.

Pure. The same request gives the same bytes, and a longer conversation begins with the bytes of
the shorter one, so that servers can reuse what they have read.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from octavo.protocol.history import HistoryItem, ToolOutputItem, output_text

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]
Summary = Literal["auto", "concise", "detailed", "none"]
Verbosity = Literal["low", "medium", "high"]


class FunctionTool(Struct, frozen=True, kw_only=True, tag="function"):
    """A tool that takes a JSON object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments; keys are sent in the order given."""
    strict: bool = False


class CustomTool(Struct, frozen=True, kw_only=True, tag="custom"):
    """A tool that takes free text, with a grammar where the server can hold the model to one."""

    name: str
    description: str
    format: Mapping[str, Any] | None = None
    """For example `{"type": "grammar", "syntax": "lark", "definition": ...}`."""


class NamespaceTool(Struct, frozen=True, kw_only=True, tag="namespace"):
    """Tools under one name; calls come back with that name in `namespace`."""

    name: str
    description: str
    tools: tuple[FunctionTool, ...]


class HostedTool(Struct, frozen=True, kw_only=True, tag="hosted"):
    """A tool the provider runs, such as web search; only the Responses wire can carry it."""

    raw: Mapping[str, Any]
    """As it goes on the wire, `type` included."""


ToolSpec = FunctionTool | CustomTool | NamespaceTool | HostedTool


class OutputSchema(Struct, frozen=True, kw_only=True):
    """The last message has to be JSON of this shape."""

    schema: Mapping[str, Any]
    name: str = "codex_output_schema"
    strict: bool = True


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One question to a model. Everything but `model` and `input` has a sensible absence."""

    model: str
    input: tuple[HistoryItem, ...]
    instructions: str = ""
    """The base instructions; the provider says whether they go as a message or as a field."""
    tools: tuple[ToolSpec, ...] = ()
    parallel_tool_calls: bool = True
    effort: Effort | None = None
    summary: Summary | None = None
    output_schema: OutputSchema | None = None
    verbosity: Verbosity | None = None
    service_tier: str | None = None
    max_output_tokens: int | None = None
    thread_id: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    window_id: str | None = None
    prompt_cache_key: str | None = None
    """The thread id is used when this is absent."""
    metadata: Mapping[str, str] = {}
    """More entries for `client_metadata`, Responses only."""

    @property
    def tool_outputs(self) -> list[str]:
        """The words of all tool answers in the input, oldest first (for tests)."""
        return [output_text(item.output) for item in self.input if isinstance(item, ToolOutputItem)]
