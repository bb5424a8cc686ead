"""A login with a browser: the server is asked, the browser is sent out, and comes back to us.

Loaded when somebody logs in, or to find out whether a server wants that.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthFlowError
from mcp.shared.auth import AuthorizationCodeResult
from pydantic import ValidationError

from octavo.mcp.base import McpError, World, line_of, titled
from octavo.mcp.http import client_for
from octavo.mcp.oauth import Kept, Provider
from octavo.mcp.program import no_programs
from octavo.mcp.tokens import Tokens
from octavo.protocol.errors import UsageError
from octavo.protocol.mcp import HttpTransport, McpServer

if TYPE_CHECKING:
    import ssl

HELLO: Final = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "octavo-mcp-client", "version": "0"},
    },
}
ACCEPT: Final = {"accept": "application/json, text/event-stream"}
REQUEST: Final = re.compile(rb"GET (\S+) HTTP/1\.[01]\r?\n")
HEAD_BYTES: Final = 16 << 10
HEAD_S: Final = 10.0
PAGE: Final = "<!doctype html><meta charset=utf-8><title>Octavo</title><p>{text}"
DONE: Final = "You are logged in. This window can be closed."


async def log_in(
    server: McpServer,
    tokens: Tokens,
    *,
    open_browser: Callable[[str], None],
    callback_port: int,
    callback_url: str | None,
    scopes: tuple[str, ...],
    environ: Mapping[str, str],
    verify: "ssl.SSLContext | bool",
) -> None:
    """See `octavo.mcp.login.login`. The caller limits the time."""
    async with returning(callback_port) as back:
        address = callback_url or f"http://127.0.0.1:{back.port}/callback"

        async def send_out(url: str) -> None:
            back.state = parse_qs(urlsplit(url).query).get("state", [""])[0]
            open_browser(url)

        kept = Kept(server, tokens, fresh=True)
        provider = Provider(
            kept, redirect_uri=address, scopes=scopes, redirect=send_out, callback=back.result
        )
        await ask(server, provider, environ=environ, verify=verify)
        if provider.context.current_tokens is None:
            raise UsageError(f"{titled(server)} wants no login")
        await asyncio.to_thread(provider.remember)


async def ask(
    server: McpServer,
    provider: Provider,
    *,
    environ: Mapping[str, str],
    verify: "ssl.SSLContext | bool",
) -> None:
    """One request that makes the server ask for a login. Raises McpError."""
    transport = server.transport
    assert isinstance(transport, HttpTransport)
    world = World(cwd="/", environ=environ, start=no_programs, verify=verify)
    try:
        async with client_for(server, world, auth=provider) as client:
            request = client.build_request("POST", transport.url, json=HELLO, headers=ACCEPT)
            response = await client.send(request, stream=True)
            await response.aclose()
    except OAuthFlowError as error:  # registration and token errors are of this kind, too
        raise McpError(f"{titled(server)}: the login failed: {line_of(str(error))}") from error
    except ValidationError as error:
        text = line_of(str(error.errors()[0]["msg"]))
        raise McpError(f"{titled(server)}: its login server answers wrongly: {text}") from error
    except httpx2.HTTPError as error:
        raise McpError(f"{titled(server)} cannot be reached: {line_of(str(error))}") from error


async def wants_login(
    server: McpServer, *, environ: Mapping[str, str], verify: "ssl.SSLContext | bool"
) -> bool | None:
    """Does it refuse those it does not know? None: it cannot be told. Raises McpError."""
    transport = server.transport
    assert isinstance(transport, HttpTransport)
    world = World(cwd="/", environ=environ, start=no_programs, verify=verify)
    try:
        async with client_for(server, world) as client:
            request = client.build_request("POST", transport.url, json=HELLO, headers=ACCEPT)
            response = await client.send(request, stream=True)
            await response.aclose()
    except httpx2.HTTPError:
        return None
    return response.status_code == 401


class Return:
    """Where the browser comes back to."""

    def __init__(self) -> None:
        self.port = 0
        self.state = ""
        """What the browser has to bring back; whoever brings something else is somebody else."""
        self._came: asyncio.Future[AuthorizationCodeResult] = (
            asyncio.get_running_loop().create_future()
        )

    async def result(self) -> AuthorizationCodeResult:
        """What the browser brings. Raises OAuthFlowError when the user or the server said no."""
        return await self._came

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a browser."""
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            status, text = self._take(head)
            page = PAGE.format(text=text).encode()
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\n"
                f"content-length: {len(page)}\r\nconnection: close\r\n\r\n".encode()
                + page
            )
            async with asyncio.timeout(HEAD_S):
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # not the browser we wait for
        finally:
            writer.close()

    def _take(self, head: bytes) -> tuple[str, str]:
        found = REQUEST.match(head)
        if found is None:
            return "400 Bad Request", "This is not what was expected."
        said = parse_qs(urlsplit(found[1].decode("ascii", "replace")).query)
        given = {name: values[0] for name, values in said.items()}
        if ("error" in given or "code" in given) and given.get("state") != self.state:
            return "400 Bad Request", "This belongs to another login."
        if "error" in given:
            reason = line_of(given.get("error_description") or given["error"])
            if not self._came.done():
                self._came.set_exception(OAuthFlowError(reason))
            return "200 OK", "The login was refused. The reason is in the terminal."
        if "code" not in given:
            return "404 Not Found", "Nothing is here."
        if not self._came.done():
            self._came.set_result(
                AuthorizationCodeResult(
                    code=given["code"], state=given.get("state"), iss=given.get("iss")
                )
            )
        return "200 OK", DONE

    def forget(self) -> None:
        """Nobody asks for the result any more."""
        if self._came.done() and not self._came.cancelled():
            self._came.exception()  # looked at, so that nobody complains
        self._came.cancel()


@asynccontextmanager
async def returning(port: int) -> AsyncIterator[Return]:
    """Wait for the browser on this machine. Raises McpError when the port is taken."""
    back = Return()
    try:
        server = await asyncio.start_server(back.serve, "127.0.0.1", port, limit=HEAD_BYTES)
    except OSError as error:
        raise McpError(
            f"port {port} on this machine is not free: {error.strerror}",
            hint="Choose another one in `mcp_oauth_callback_port`.",
        ) from error
    try:
        back.port = server.sockets[0].getsockname()[1]
        yield back
    finally:
        back.forget()
        server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await server.wait_closed()
