"""Logging in to MCP servers and out again, for commands and for clients of the app server.

Light to import: what the flow needs is loaded when somebody logs in.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from octavo.mcp.base import McpError, titled
from octavo.mcp.loading import loaded
from octavo.mcp.tokens import Tokens
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.mcp import AuthStatus, HttpTransport, McpServer

if TYPE_CHECKING:
    import ssl

LOGIN_S: Final = 300.0
PROBE_S: Final = 5.0


async def login(
    server: McpServer,
    tokens: Tokens,
    *,
    open_browser: Callable[[str], None],
    callback_port: int | None = None,
    callback_url: str | None = None,
    scopes: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    deadline_s: float = LOGIN_S,
    verify: "ssl.SSLContext | bool" = True,
) -> None:
    """Let the user log in, and keep the tokens.

    `open_browser` gets the address to open; it may print it as well, and must not wait.
    `callback_port`: where the browser comes back to on this machine, None for any free port;
    `callback_url`: what the browser is told instead, when something forwards to that port.

    Raises UsageError for a server that takes no login, and McpError for one that refuses, or when
    nobody answers in time.
    """
    transport = http_of(server)
    if transport.bearer_token_env_var is not None:
        raise UsageError(
            f"{titled(server)} has a token in {transport.bearer_token_env_var}: no login is needed"
        )
    flow = await loaded("flow")
    try:
        async with asyncio.timeout(deadline_s):
            await flow.log_in(
                server,
                tokens,
                open_browser=open_browser,
                callback_port=callback_port or 0,
                callback_url=callback_url,
                scopes=scopes,
                environ=environ or {},
                verify=verify,
            )
    except TimeoutError:
        raise McpError(f"nobody logged in to {titled(server)} within {deadline_s:g} s") from None


async def logout(server: McpServer, tokens: Tokens) -> bool:
    """Forget the tokens. True: there were some. Raises UsageError for a stdio server, McpError
    when they cannot be removed."""
    return await asyncio.to_thread(tokens.forget, server.name, http_of(server).url)


async def auth_status(
    server: McpServer,
    tokens: Tokens | None,
    *,
    environ: Mapping[str, str],
    deadline_s: float = PROBE_S,
    verify: "ssl.SSLContext | bool" = True,
) -> AuthStatus:
    """How we are known to the server; never raises, `unknown` when it cannot be told.

    Asks the server only where neither the settings nor a stored login tell.
    """
    transport = server.transport
    if not isinstance(transport, HttpTransport):
        return "unsupported"
    headers = {name.lower() for name in (*transport.http_headers, *transport.env_http_headers)}
    if transport.bearer_token_env_var is not None or "authorization" in headers:
        return "bearer_token"
    try:
        if tokens is not None and tokens.find(server.name, transport.url) is not None:
            return "o_auth"
        flow = await loaded("flow")
        async with asyncio.timeout(deadline_s):
            wants = await flow.wants_login(server, environ=environ, verify=verify)
    except (OctavoError, TimeoutError, OSError):
        return "unknown"
    if wants is None:
        return "unknown"
    return "not_logged_in" if wants else "unsupported"


def http_of(server: McpServer) -> HttpTransport:
    """Its address. Raises UsageError for a program."""
    if not isinstance(server.transport, HttpTransport):
        raise UsageError(f"{titled(server)} is a program: it takes no login")
    return server.transport
