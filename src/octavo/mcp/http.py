"""Servers at an address: headers, tokens, the streams of a session.

Loaded for such servers only.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from octavo.mcp.base import McpError, World, titled
from octavo.mcp.oauth import StoredLogin
from octavo.protocol.mcp import HttpTransport, McpServer

CONNECT_S: Final = 30.0
READ_S: Final = 3600.0
"""Answers have their own deadlines; this ends a connection that is dead for certain."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@asynccontextmanager
async def reached(server: McpServer, world: World) -> AsyncIterator[TransportStreams]:
    """The streams of a session. Raises McpError for a token or header that is not there."""
    transport = server.transport
    assert isinstance(transport, HttpTransport)
    async with (
        client_for(server, world) as client,
        streamable_http_client(transport.url, http_client=client) as streams,
    ):
        yield streams


def client_for(
    server: McpServer, world: World, *, auth: httpx2.Auth | None = None
) -> httpx2.AsyncClient:
    """A client with all that the settings add to its requests. Raises McpError."""
    transport = server.transport
    assert isinstance(transport, HttpTransport)
    headers = headers_of(server, world.environ)
    if auth is None and world.tokens is not None and "authorization" not in headers:
        auth = StoredLogin(server, world.tokens)
    secure = urlsplit(transport.url).scheme == "https"
    return httpx2.AsyncClient(
        headers=headers,
        auth=auth,
        # a plain http address needs no certificates, and building a context for them takes long
        verify=world.verify if secure else False,
        timeout=httpx2.Timeout(CONNECT_S, read=READ_S),
        follow_redirects=False,
        # proxy variables are meant for the way out; a local server is not on it
        trust_env=urlsplit(transport.url).hostname not in LOOPBACK,
    )


def headers_of(server: McpServer, environ: Mapping[str, str]) -> dict[str, str]:
    """Headers of every request, names in lower case. Raises McpError."""
    transport = server.transport
    assert isinstance(transport, HttpTransport)
    headers = {name.lower(): value for name, value in transport.http_headers.items()}
    for name, variable in transport.env_http_headers.items():
        value = environ.get(variable, "")
        if value:
            headers[name.lower()] = checked(server, variable, value)
    variable = transport.bearer_token_env_var or ""
    if variable:
        token = environ.get(variable, "").strip()
        if not token:
            raise McpError(
                f"{titled(server)}: the variable {variable} with its token is not set",
                hint="Set it, or take `bearer_token_env_var` out of the settings.",
            )
        headers["authorization"] = "Bearer " + checked(server, variable, token)
    return headers


def checked(server: McpServer, variable: str, value: str) -> str:
    """A value that can be sent. Raises McpError, without showing it."""
    if not value.isascii() or not value.isprintable():
        raise McpError(f"{titled(server)}: the value of {variable} cannot be sent as a header")
    return value
