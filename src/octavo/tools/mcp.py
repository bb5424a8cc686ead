"""Tools of MCP servers for the model: asked about where that is due, called, reported.

Built on a seam: `Servers` is the session's fleet, or a test's own. What a server offers may change
between two requests; the tools here are made from what it offers now.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from octavo.mcp.base import McpError, Reply, line_of
from octavo.mcp.names import Name
from octavo.model.request import FunctionTool, NamespaceTool, ToolSpec
from octavo.protocol.approvals import McpApproval
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.events import ItemCompleted, ItemStarted, McpProgress
from octavo.protocol.items import McpToolCall
from octavo.protocol.mcp import McpResource, McpServer, McpTemplate, McpTool
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import Tool, ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.mcp_results import for_clients, for_model
from octavo.tools.registry import told
from octavo.tools.truncate import shorten_text

NEVER: Final = "MCP tool call requires approval, but approval policy is never"
NO_QUESTIONS: Final = "MCP tool call requires approval, but the approval policy lets no questions of this kind through"
REJECTED: Final = "user rejected MCP tool call"
STOPPED: Final = "MCP tool call was cancelled"
DESCRIPTION_BYTES: Final = 16_000
PROGRESS_S: Final = 0.1
"""Between two lines of progress; what comes faster is passed over."""
PROGRESS_CHARS: Final = 500
EVERYBODY: Final = "all"
"""Stands for the server in the item of a call that asks all of them."""

Progress = Callable[[str], None]


class Offer(Struct, frozen=True):
    """One tool that can be called now."""

    name: Name
    server: McpServer
    tool: McpTool


class Servers(Protocol):
    """What the tools need of the servers of a session. Methods raise OctavoError."""

    def offers(self) -> Sequence[Offer]:
        """The tools, in the order of their names."""
        ...

    def instructions(self, server: str) -> str:
        """What a server says about itself."""
        ...

    def names(self) -> Sequence[str]:
        """The servers that run."""
        ...

    async def call(
        self,
        server: str,
        tool: str,
        arguments: dict[str, Any],
        meta: dict[str, Any],
        hear: Progress,
    ) -> Reply:
        """Call a tool; the call is cancelled with this task."""
        ...

    async def resources(
        self, server: str, cursor: str | None
    ) -> tuple[Sequence[McpResource], str | None]:
        """A page of what can be read, and the cursor of the next."""
        ...

    async def templates(
        self, server: str, cursor: str | None
    ) -> tuple[Sequence[McpTemplate], str | None]:
        """A page of addresses with gaps, and the cursor of the next."""
        ...

    async def read(self, server: str, uri: str) -> Sequence[Mapping[str, Any]]:
        """The contents of a resource."""
        ...


class McpTools:
    """A source of tools for a registry."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._fixed: dict[str, Tool] = {
            tool.spec.name: tool
            for tool in (ListResources(servers), ListTemplates(servers), ReadResource(servers))
        }

    def specs(self) -> Sequence[ToolSpec]:
        """The tools of each server under one name, after those that are always there."""
        spaces: dict[str, list[Offer]] = {}
        for offer in self._servers.offers():
            spaces.setdefault(offer.name.space, []).append(offer)
        return (
            *(tool.spec for tool in self._fixed.values()),
            *(self._space(name, offers) for name, offers in sorted(spaces.items())),
        )

    def find(self, call: ToolCall) -> Tool | None:
        """See `octavo.tools.registry.Source`."""
        if call.namespace is None:
            return self._fixed.get(call.name)
        for offer in self._servers.offers():
            if offer.name == (call.namespace, call.name):
                return McpFunction(offer, self._servers)
        return None

    def _space(self, name: str, offers: Sequence[Offer]) -> NamespaceTool:
        server = offers[0].server.name
        said = self._servers.instructions(server)
        return NamespaceTool(
            name=name,
            description=bounded(said or f"Tools of the MCP server {server}."),
            tools=tuple(function_of(offer) for offer in offers),
        )


def function_of(offer: Offer) -> FunctionTool:
    """A tool as the model is told."""
    tool = offer.tool
    return FunctionTool(
        name=offer.name.tool,
        description=bounded(tool.description or tool.title or tool.name),
        parameters=parameters(tool.input_schema),
    )


def bounded(text: str) -> str:
    """No description is worth more."""
    return shorten_text(text, DESCRIPTION_BYTES)


def parameters(given: Mapping[str, object]) -> dict[str, Any]:
    """The server's schema with what model APIs insist on: an object with properties."""
    found = {key: value for key, value in given.items() if key != "$schema"}
    found["type"] = "object"
    if not isinstance(found.get("properties"), dict):
        found["properties"] = {}
    return found


class McpFunction:
    """One tool of one server."""

    def __init__(self, offer: Offer, servers: Servers) -> None:
        self.spec = function_of(offer)
        self.parallel = offer.server.parallel or offer.tool.read_only
        self.reads_only = offer.tool.read_only
        self._offer = offer
        self._servers = servers

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask where that is due, call it, and report. Raises UsageError for arguments that are no
        JSON object."""
        arguments = parsed(call, dict[str, Any])
        server, tool = self._offer.server.name, self._offer.tool.name
        shown = Shown(call, context, server=server, tool=tool, arguments=arguments)
        with shown:
            refusal = await self._refusal(call, context, arguments)
            if refusal is not None:
                shown.failed(refusal.text)
                return refusal
            meta = {
                "call_id": call.call_id,
                "thread_id": context.thread_id,
                "turn_id": context.turn_id,
            }
            reply = await self._servers.call(server, tool, arguments, meta, shown.progress)
            seconds = shown.replied(reply)
        output = await asyncio.to_thread(
            for_model,
            reply,
            seconds=seconds,
            output_tokens=context.output_tokens,
            pictures=context.pictures,
        )
        return ToolOutput(output=output, success=not reply.is_error)

    async def _refusal(
        self, call: ToolCall, context: ToolContext, arguments: object
    ) -> ToolOutput | None:
        """Why it is not called; None: it may be."""
        offer = self._offer
        mode = offer.server.mode(offer.tool.name)
        if not asks(mode, offer.tool):
            return None
        if context.approval_policy not in ("on-request", "untrusted", "granular"):
            # nothing is confined and nobody is asked: commands could do the same unasked
            free = not context.sandboxed and mode != "prompt"
            return None if free else failed(NEVER)
        granular = context.granular
        if context.approval_policy == "granular" and not (granular and granular.mcp_elicitations):
            return failed(NO_QUESTIONS)
        tool = offer.tool
        decision = await context.approver(
            McpApproval(
                call_id=call.call_id,
                because=because(mode, tool),
                server=offer.server.name,
                tool=tool.name,
                arguments=arguments,
                title=tool.title,
                description=bounded(tool.description),
                destructive=tool.destructive,
                open_world=tool.open_world,
            )
        )
        if decision.allowed:
            return None
        why = f": {decision.reason}" if decision.reason else ""
        return failed(REJECTED + why, ends_turn=decision.kind == "abort")


def asks(mode: str, tool: McpTool) -> bool:
    """Does a call need a yes?"""
    match mode:
        case "approve":
            return False
        case "prompt":
            return True
        case "writes":
            return not tool.read_only
        case _:
            harmless = tool.destructive is False and tool.open_world is False
            return not (tool.read_only or harmless)


def because(mode: str, tool: McpTool) -> str:
    """Why a call is asked about."""
    if mode in ("prompt", "writes"):
        return f"the settings of the server say `{mode}`"
    if tool.destructive:
        return "the tool says that it may destroy something"
    return "the tool does not say that it only reads"


class Shown:
    """The item of a call: begun with the block, ended with it whatever happens."""

    def __init__(
        self, call: ToolCall, context: ToolContext, *, server: str, tool: str, arguments: object
    ) -> None:
        self._context = context
        self._item = McpToolCall(id=call.item_id, server=server, tool=tool, arguments=arguments)
        self._began = context.clock.monotonic()
        self._said: float | None = None
        self._ended = False

    def __enter__(self) -> None:
        self._context.emit(ItemStarted(turn_id=self._context.turn_id, item=self._item))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OctavoError):
            self.failed(told(error))
        elif not self._ended:
            self.failed(STOPPED)

    def progress(self, text: str) -> None:
        """How far it is."""
        now = self._context.clock.monotonic()
        if self._ended or (self._said is not None and now - self._said < PROGRESS_S):
            return
        self._said = now
        self._context.emit(McpProgress(item_id=self._item.id, text=line_of(text, PROGRESS_CHARS)))

    def replied(self, reply: Reply) -> float:
        """It is over. The seconds it took."""
        status = "failed" if reply.is_error else "completed"
        return self._end(replace(self._item, result=for_clients(reply), status=status))

    def failed(self, why: str) -> None:
        """There is no answer."""
        if not self._ended:
            self._end(replace(self._item, error=why, status="failed"))

    def _end(self, item: McpToolCall) -> float:
        self._ended = True
        seconds = self._context.clock.monotonic() - self._began
        item = replace(item, duration_ms=round(seconds * 1000))
        self._context.emit(ItemCompleted(turn_id=self._context.turn_id, item=item))
        return seconds


# ---- resources ------------------------------------------------------------------------------------

SERVER: Final = {"type": "string", "description": "Name of an MCP server."}
CURSOR: Final = {
    "type": "string",
    "description": "`nextCursor` of the last answer; needs `server`.",
}


class Listing(Struct, frozen=True):
    """Arguments of the tools that list."""

    server: str | None = None
    cursor: str | None = None


class Reading(Struct, frozen=True):
    """Arguments of the tool that reads."""

    server: str
    uri: str


class Looks:
    """A tool that asks servers and changes nothing."""

    parallel = True
    reads_only = True

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def _shown(
        self,
        call: ToolCall,
        context: ToolContext,
        asked: Listing | Reading,
        work: Awaitable[dict[str, Any]],
    ) -> ToolOutput:
        given = {key: value for key, value in msgspec.to_builtins(asked).items() if value}
        shown = Shown(
            call, context, server=asked.server or EVERYBODY, tool=call.name, arguments=given
        )
        with shown:
            text = msgspec.json.encode(await work).decode()
            shown.replied(Reply(content=({"type": "text", "text": text},)))
        most = context.output_tokens * 4
        return ToolOutput(output=shorten_text(text, most))


class ListResources(Looks):
    """What can be read."""

    spec = FunctionTool(
        name="list_mcp_resources",
        description="List what MCP servers let you read (files, records, pages). Without `server`: "
        "of all of them.",
        parameters=schema({"server": SERVER, "cursor": CURSOR}),
    )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask one server, or all. Raises OctavoError."""
        asked = parsed(call, Listing)
        work = listed(self._servers, asked, "resources", self._servers.resources)
        return await self._shown(call, context, asked, work)


class ListTemplates(Looks):
    """Addresses with gaps."""

    spec = FunctionTool(
        name="list_mcp_resource_templates",
        description="List address patterns of MCP servers; filled in, they can be read. Without "
        "`server`: of all of them.",
        parameters=schema({"server": SERVER, "cursor": CURSOR}),
    )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask one server, or all. Raises OctavoError."""
        asked = parsed(call, Listing)
        work = listed(self._servers, asked, "resourceTemplates", self._servers.templates)
        return await self._shown(call, context, asked, work)


class ReadResource(Looks):
    """Reads one."""

    spec = FunctionTool(
        name="read_mcp_resource",
        description="Read a resource of an MCP server.",
        parameters=schema(
            {"server": SERVER, "uri": {"type": "string", "description": "As it was listed."}},
            required=("server", "uri"),
        ),
    )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Read it. Raises OctavoError."""
        asked = parsed(call, Reading)
        return await self._shown(call, context, asked, self._read(asked))

    async def _read(self, asked: Reading) -> dict[str, Any]:
        contents = await self._servers.read(asked.server, asked.uri)
        return {"server": asked.server, "uri": asked.uri, "contents": list(contents)}


Page = Callable[[str, str | None], Awaitable[tuple[Sequence[Struct], str | None]]]


async def listed(servers: Servers, asked: Listing, name: str, page: Page) -> dict[str, Any]:
    """A page of one server, or the first pages of all. Raises OctavoError."""
    if asked.server is not None:
        found, following = await page(asked.server, asked.cursor)
        answer: dict[str, Any] = {"server": asked.server, name: [wire(one) for one in found]}
        return answer | ({"nextCursor": following} if following else {})
    if asked.cursor is not None:
        raise UsageError("`cursor` goes with the `server` it came from")
    everything: list[dict[str, Any]] = []
    notes: list[str] = []
    for server in servers.names():
        try:
            found, following = await page(server, None)
        except McpError as error:
            notes.append(str(error))
            continue
        everything += [{"server": server, **wire(one)} for one in found]
        if following:
            notes.append(f"{server} has more: ask for it alone with cursor {following!r}")
    return {name: everything} | ({"notes": notes} if notes else {})


def wire(one: Struct) -> dict[str, Any]:
    """A resource with the protocol's names."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    return {camel(key): value for key, value in found.items()}


def camel(name: str) -> str:
    """mime_type -> mimeType."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
