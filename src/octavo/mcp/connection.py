"""One session with one server, from the first message to the last.

This is where the protocol library is loaded, which takes a second: only in a thread of its own and
only when a server is to be started. Values of the library do not leave this module.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import mcp_types as types
from mcp.client.session import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from octavo.mcp import stdio
from octavo.mcp.base import Json, McpError, Progress, Reply, World, line_of, titled
from octavo.process.child import Child
from octavo.protocol.mcp import (
    Elicitation,
    ElicitationAnswer,
    McpPrompt,
    McpResource,
    McpServer,
    McpTemplate,
    McpTool,
)

PAGES: Final = 200
"""A list that goes on for longer than so many pages never ends."""
GONE: Final = ("Connection closed", "Session terminated")
"""What the library says when there is nobody any more; its error codes are used for other things."""
Listed = TypeVar("Listed")
Ask = Callable[[Elicitation], Awaitable[ElicitationAnswer]]


class Connection:
    """A session that is under way. Methods raise McpError; calls may be cancelled."""

    def __init__(
        self, server: McpServer, world: World, *, changed: Callable[[], None], ask: Ask
    ) -> None:
        """`changed`: its list of tools is another one now; `ask` puts its questions."""
        self.server = server
        self.lost = asyncio.Event()
        """The server is gone."""
        self._world = world
        self._changed = changed
        self._ask = ask
        self._wire: stdio.Wire | None = None
        self._session: ClientSession | None = None

    @property
    def session(self) -> ClientSession:
        """Of the library. Only while it is open."""
        assert self._session is not None
        return self._session

    @property
    def instructions(self) -> str:
        """What it tells models about itself."""
        return self.session.instructions or ""

    @asynccontextmanager
    async def open(self, child: Child | None) -> AsyncIterator[None]:
        """Reach the server (its program, when it is one) and shake hands. Raises OctavoError."""
        server, world = self.server, self._world
        async with AsyncExitStack() as stack:
            streams: Any
            if child is not None:
                self._wire = stdio.Wire(child, self.lost)
                streams = await stack.enter_async_context(stdio.wired(self._wire))
            else:
                from octavo.mcp.http import reached  # noqa: PLC0415 - loaded by now

                streams = await stack.enter_async_context(reached(server, world))
            heard, spoken = streams
            self._session = ClientSession(
                heard,
                spoken,
                elicitation_callback=self.elicited,
                message_handler=self.told,
                client_info=types.Implementation(
                    name="octavo-mcp-client", title="Octavo", version=world.version
                ),
            )
            await stack.enter_async_context(self._session)
            await self._asked(self._session.initialize())
            yield

    async def tools(self) -> tuple[McpTool, ...]:
        """All of them."""
        if not self._offers("tools"):
            return ()
        return await self._all(lambda page: self.session.list_tools(params=page), "tools", tool_of)

    async def resources(self) -> tuple[McpResource, ...]:
        """All that can be read."""
        if not self._offers("resources"):
            return ()
        return await self._all(
            lambda page: self.session.list_resources(params=page), "resources", resource_of
        )

    async def resource_page(self, cursor: str | None) -> tuple[tuple[McpResource, ...], str | None]:
        """One page of them, and how to get the next."""
        if not self._offers("resources"):
            return (), None
        page = types.PaginatedRequestParams(cursor=cursor)
        found = await self._asked(self.session.list_resources(params=page))
        return tuple(resource_of(one) for one in found.resources), found.next_cursor

    async def templates(self) -> tuple[McpTemplate, ...]:
        """All addresses with gaps."""
        if not self._offers("resources"):
            return ()
        return await self._all(
            lambda page: self.session.list_resource_templates(params=page),
            "resource_templates",
            template_of,
        )

    async def template_page(self, cursor: str | None) -> tuple[tuple[McpTemplate, ...], str | None]:
        """One page of them, and how to get the next."""
        if not self._offers("resources"):
            return (), None
        page = types.PaginatedRequestParams(cursor=cursor)
        found = await self._asked(self.session.list_resource_templates(params=page))
        return tuple(template_of(one) for one in found.resource_templates), found.next_cursor

    async def read(self, uri: str) -> tuple[Json, ...]:
        """The contents of a resource, as they came."""
        found = await self._asked(self.session.read_resource(uri))
        return tuple(plain(one) for one in getattr(found, "contents", ()))

    async def prompts(self) -> tuple[McpPrompt, ...]:
        """All texts that are ready."""
        if not self._offers("prompts"):
            return ()
        return await self._all(
            lambda page: self.session.list_prompts(params=page), "prompts", prompt_of
        )

    async def prompt(self, name: str, arguments: dict[str, str]) -> tuple[Json, ...]:
        """The messages of one of them, as they came."""
        found = await self._asked(self.session.get_prompt(name, arguments))
        return tuple(plain(one) for one in getattr(found, "messages", ()))

    async def call(
        self, tool: str, arguments: dict[str, Any], *, meta: dict[str, Any], hear: Progress
    ) -> Reply:
        """Call a tool. A cancelled call is cancelled over there, too."""

        async def heard(
            progress: float, total: float | None = None, message: str | None = None
        ) -> None:
            hear(message or amount(progress, total))

        request = types.CallToolRequest(
            params=types.CallToolRequestParams(name=tool, arguments=arguments, _meta=meta)  # type: ignore[arg-type]
        )
        result = await self._asked(
            self.session.send_request(request, types.CallToolResult, progress_callback=heard)
        )
        return Reply(
            content=tuple(plain(one) for one in result.content),
            structured=result.structured_content,
            is_error=bool(result.is_error),
        )

    # ---- what the server wants of us --------------------------------------------------------

    async def elicited(
        self, context: object, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        """The server asks the user something."""
        url = getattr(params, "url", None)
        schema = getattr(params, "requested_schema", None)
        answer = await self._ask(
            Elicitation(
                server=self.server.name,
                message=params.message,
                schema=plain(schema) if url is None else None,
                url=url,
                elicitation_id=getattr(params, "elicitation_id", None),
            )
        )
        content = answer.content if answer.action == "accept" and url is None else None
        return types.ElicitResult(
            action=answer.action, content=None if content is None else dict(content)
        )

    async def told(self, message: object) -> None:
        """The server says that something has changed."""
        if isinstance(message, types.ToolListChangedNotification):
            self._changed()

    # ---- asking -----------------------------------------------------------------------------

    def _offers(self, what: str) -> bool:
        capabilities = self.session.server_capabilities
        return capabilities is not None and getattr(capabilities, what, None) is not None

    async def _all(
        self,
        ask: Callable[[types.PaginatedRequestParams | None], Awaitable[Any]],
        field: str,
        convert: Callable[[Any], Listed],
    ) -> tuple[Listed, ...]:
        found: list[Listed] = []
        page: types.PaginatedRequestParams | None = None
        for _ in range(PAGES):
            result = await self._asked(ask(page))
            found += [convert(one) for one in getattr(result, field)]
            if not result.next_cursor:
                return tuple(found)
            page = types.PaginatedRequestParams(cursor=result.next_cursor)
        raise McpError(f"{titled(self.server)}: its list of {field} has more than {PAGES} pages")

    async def _asked(self, request: Awaitable[Listed]) -> Listed:
        try:
            return await request
        except MCPError as error:
            if error.error.message in GONE or self.lost.is_set():
                self.lost.set()
                raise McpError(f"{titled(self.server)} has ended{self.why()}") from error
            raise McpError(f"{titled(self.server)}: {line_of(error.error.message)}") from error
        except ValidationError as error:
            text = line_of(str(error.errors()[0]["msg"]))
            raise McpError(
                f"{titled(self.server)} gave an answer of a wrong shape: {text}"
            ) from error
        except RuntimeError as error:  # how the library says that versions do not match
            raise McpError(f"{titled(self.server)}: {line_of(str(error))}") from error

    def why(self) -> str:
        """What is known of a program that does not do as it should."""
        wire = self._wire
        if wire is None:
            return ""
        known = (
            wire.broken,
            f"stderr: {said}" if (said := wire.said()) else None,
            f"it wrote no message but: {wire.garbage}" if wire.garbage else None,
        )
        return "".join(f"; {one}" for one in known if one)


# ---- values of the library as ours --------------------------------------------------------------


def plain(value: object) -> Json:
    """A model of the library as JSON."""
    if isinstance(value, BaseModel):
        found: Json = value.model_dump(by_alias=True, mode="json", exclude_none=True)
        return found
    return dict(value) if isinstance(value, dict) else {}


def amount(done: float, total: float | None) -> str:
    """How far something is."""
    return f"{done:g}" if total is None else f"{done:g} of {total:g}"


def tool_of(tool: types.Tool) -> McpTool:
    """A tool."""
    hints = tool.annotations
    return McpTool(
        name=tool.name,
        description=tool.description or "",
        title=tool.title or (None if hints is None else hints.title),
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        read_only=hints is not None and hints.read_only_hint is True,
        destructive=None if hints is None else hints.destructive_hint,
        open_world=None if hints is None else hints.open_world_hint,
        idempotent=None if hints is None else hints.idempotent_hint,
    )


def resource_of(one: types.Resource) -> McpResource:
    """A resource."""
    return McpResource(
        uri=str(one.uri),
        name=one.name,
        title=one.title,
        description=one.description,
        mime_type=one.mime_type,
        size=one.size,
    )


def template_of(one: types.ResourceTemplate) -> McpTemplate:
    """An address with gaps."""
    return McpTemplate(
        uri_template=one.uri_template,
        name=one.name,
        title=one.title,
        description=one.description,
        mime_type=one.mime_type,
    )


def prompt_of(one: types.Prompt) -> McpPrompt:
    """A text that is ready."""
    arguments = one.arguments or []
    return McpPrompt(
        name=one.name,
        title=one.title,
        description=one.description,
        arguments=tuple(argument.name for argument in arguments),
        required=tuple(argument.name for argument in arguments if argument.required),
    )
