"""Methods about MCP servers that a client uses itself: call a tool, read a resource, log in."""

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

from octavo.appserver import params
from octavo.appserver.errors import invalid
from octavo.appserver.inputs import known
from octavo.protocol.errors import OctavoError

if TYPE_CHECKING:
    from octavo.api.mcp import McpSession
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("mcpServer/tool/call", params.McpToolCall, tier="extended")(call)
    table.method("mcpServer/resource/read", params.McpRead, tier="extended")(read)
    table.method("mcpServer/oauth/login", params.McpLogin, tier="extended")(login)


def session(server: "Server", thread_id: str) -> "McpSession":
    """The servers of a loaded thread. Raises MethodError."""
    thread = server.host(known(thread_id)).thread
    if thread is None or thread.mcp is None:
        raise invalid("this thread has no MCP servers")
    return thread.mcp


async def call(server: "Server", connection: "Connection", asked: params.McpToolCall) -> Json:
    """Call a tool of an MCP server of a thread; the client wants it, so nobody else is asked."""
    found = session(server, asked.thread_id)
    reply = await found.call(asked.server, asked.tool, dict(asked.arguments or {}))
    return {
        "content": list(reply.content),
        "structuredContent": reply.structured,
        "isError": reply.is_error,
    }


async def read(server: "Server", connection: "Connection", asked: params.McpRead) -> Json:
    """Read a resource of an MCP server of a thread."""
    if asked.thread_id is None:
        raise invalid("Invalid request: missing field `threadId`")
    contents = await session(server, asked.thread_id).read(asked.server, asked.uri)
    return {"contents": [dict(one) for one in contents]}


async def login(server: "Server", connection: "Connection", asked: params.McpLogin) -> Json:
    """Begin a login to an MCP server: the address for the browser; how it ended comes as a
    notice."""
    from octavo.config.mcp import mcp_servers  # noqa: PLC0415 - seldom asked for
    from octavo.mcp import login as logins  # noqa: PLC0415 - seldom asked for
    from octavo.mcp.tokens import Tokens  # noqa: PLC0415 - seldom asked for

    loaded = server.engine.settings()
    found = {one.name: one for one in mcp_servers(loaded)}.get(asked.name)
    if found is None:
        raise invalid(f"there is no MCP server named {asked.name!r}")
    settings = loaded.settings
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    login_id = uuid.uuid4().hex

    async def work() -> None:
        problem = None
        try:
            await logins.login(
                found,
                Tokens(server.home, settings.mcp_oauth_credentials_store),
                open_browser=address.set_result,
                callback_port=settings.mcp_oauth_callback_port,
                callback_url=settings.mcp_oauth_callback_url,
                scopes=tuple(asked.scopes or ()),
                environ=os.environ,
                deadline_s=asked.timeout_secs or logins.LOGIN_S,
            )
        except OctavoError as error:
            problem = str(error)
            if not address.done():
                address.set_exception(error)
                return
        told = {"name": asked.name, "loginId": login_id, "threadId": asked.thread_id}
        done = {**told, "success": problem is None, "error": problem}
        connection.tell("mcpServer/oauthLogin/completed", done)

    task = server.group.create_task(work(), name="mcp login")

    def stop() -> None:
        task.cancel()

    connection.closing.append(stop)
    return {"authorizationUrl": await address, "loginId": login_id}
