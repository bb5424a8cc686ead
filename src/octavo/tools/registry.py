"""The tools of one thread by name; unknown calls and failing tools become answers."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from octavo.model.request import HostedTool, NamespaceTool, ToolSpec
from octavo.protocol.errors import OctavoError, UsageError
from octavo.tools.base import Tool, ToolCall, ToolContext, ToolOutput, failed

SHELLS: Final = frozenset({"exec_command", "write_stdin"})
Name = tuple[str | None, str]


class Source(Protocol):
    """Tools that come and go while a thread is loaded, between its requests."""

    def specs(self) -> Sequence[ToolSpec]:
        """What the model is told now; the same order for the same tools."""
        ...

    def find(self, call: ToolCall) -> Tool | None:
        """The tool a call means; None when it has none of that name."""
        ...


class Registry:
    """Tools in a fixed order, and hosted ones the provider runs itself."""

    sources: tuple[Source, ...] = ()
    """Where more of them come from; their tools stand after the others."""

    def __init__(self, tools: Iterable[Tool] = (), *, hosted: Sequence[HostedTool] = ()) -> None:
        """Raises UsageError for two tools with one name."""
        self._tools: dict[Name, Tool] = {}
        self._specs: list[ToolSpec] = []
        for tool in tools:
            self._add(tool)
        self._specs += hosted

    def _add(self, tool: Tool) -> None:
        spec = tool.spec
        for name in names_of(spec):
            if name in self._tools:
                raise UsageError(f"two tools are called {shown(*name)!r}", hint="Rename one.")
            self._tools[name] = tool
        self._specs.append(spec)

    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is told, always in the same order."""
        return (*self._specs, *(spec for source in self.sources for spec in source.specs()))

    def find(self, call: ToolCall) -> Tool | None:
        """The tool a call means; None when there is none."""
        found = self._tools.get((call.namespace, call.name))
        if found is not None or not self.sources:
            return found
        return next(filter(None, (source.find(call) for source in self.sources)), None)

    def parallel(self, call: ToolCall) -> bool:
        """May it run beside others? An unknown tool may: nothing runs."""
        tool = self.find(call)
        return tool is None or tool.parallel

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Run the call; whatever goes wrong with it is in the answer."""
        tool = self.find(call)
        if tool is None:
            return failed(f"unsupported call: {shown(call.namespace, call.name)}")
        try:
            return await tool.run(call, context)
        except OctavoError as error:
            return failed(told(error))

    def aborted(self, call: ToolCall, elapsed_s: float) -> str:
        """What the model reads of a call that was stopped after so many seconds."""
        if call.name == "request_user_input" and call.namespace is None:
            return "cancelled: the user ended the turn without answering"
        if call.name in SHELLS and call.namespace is None:
            return f"Wall time: {elapsed_s:.1f} seconds\naborted by user"
        return f"aborted by user after {max(elapsed_s, 0.1):.1f}s"


def names_of(spec: ToolSpec) -> list[Name]:
    """Under which names calls for it arrive."""
    match spec:
        case NamespaceTool():
            return [(spec.name, tool.name) for tool in spec.tools]
        case HostedTool():
            return []
        case _:
            return [(None, spec.name)]


def shown(namespace: str | None, name: str) -> str:
    """A tool's name for people and models."""
    return f"{namespace}.{name}" if namespace else name


def told(error: OctavoError) -> str:
    """An error as the model reads it."""
    return str(error) if error.hint is None else f"{error}\n{error.hint}"
