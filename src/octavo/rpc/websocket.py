"""Clients over WebSocket: one JSON object per message, a token instead of the user's own pipes."""

import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from octavo.protocol.errors import UsageError
from octavo.rpc.lines import LONGEST, TooLong
from octavo.rpc.streams import Closed, Transport

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

OPEN_S: Final = 10.0
CLOSE_S: Final = 2.0
SHORTEST_TOKEN: Final = 16


class Messages:
    """A transport over one connection."""

    def __init__(self, connection: "ServerConnection") -> None:
        self._connection = connection

    async def lines(self) -> AsyncIterator[bytes | TooLong]:
        """See `Transport`."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - loaded already

        try:
            async for message in self._connection:
                yield message.encode() if isinstance(message, str) else message
        except ConnectionClosed:
            return

    async def write(self, data: bytes) -> None:
        """See `Transport`."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - loaded already

        try:
            await self._connection.send(data.rstrip(b"\n").decode())
        except ConnectionClosed as error:
            raise Closed from error

    async def close(self) -> None:
        """See `Transport`."""
        await self._connection.close()


def place_of(url: str) -> tuple[str, int]:
    """Host and port of `ws://HOST:PORT`; the host is an address. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))
    except ValueError:
        host, port = "", None
    if not host or port is None or parts.path not in ("", "/"):
        raise UsageError(f"--listen {url}: not understood", hint="for example ws://127.0.0.1:8080")
    return host, port


def digest_of(*, file: str | None, sha256: str | None) -> bytes | None:
    """The SHA-256 of the token clients have to send; None: none is asked for. Raises UsageError."""
    if file is not None and sha256 is not None:
        raise UsageError("give the token by its file or by its hash, not both")
    if sha256 is not None:
        try:
            found = bytes.fromhex(sha256)
        except ValueError:
            found = b""
        if len(found) != hashlib.sha256().digest_size:
            raise UsageError("--ws-token-sha256 has to be 64 hexadecimal digits")
        return found
    if file is None:
        return None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{file}: cannot be read: {reason}") from error
    if len(token) < SHORTEST_TOKEN:
        raise UsageError(f"{file}: a token has at least {SHORTEST_TOKEN} characters")
    return hashlib.sha256(token.encode()).digest()


def refusal(authorization: str | None, origin: str | None, wanted: bytes | None) -> str | None:
    """Why a client may not connect; None when it may. The token is compared in constant time."""
    if origin is not None:
        return "pages of a browser may not connect"
    if wanted is None:
        return None
    scheme, _, token = (authorization or "").partition(" ")
    given = hashlib.sha256(token.strip().encode()).digest()
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
        return "a bearer token is needed"
    return None


async def serve(
    url: str,
    connected: Callable[[Transport], Awaitable[None]],
    *,
    token: bytes | None,
    ready: Callable[[str], None],
) -> None:
    """Serve clients until cancelled; `ready` is told the address.

    Raises UsageError for an address others can reach without a token, and for one that is taken.
    """
    from websockets.asyncio.server import serve as listen  # noqa: PLC0415 - seldom used

    host, port = place_of(url)
    if token is None and not ipaddress.ip_address(host).is_loopback:
        raise UsageError(
            f"{host} can be reached from other machines and no token is asked for",
            hint="give --ws-token-file, or listen on 127.0.0.1",
        )

    def admit(connection: "ServerConnection", request: "Request") -> "Response | None":
        headers = request.headers
        why = refusal(headers.get("Authorization"), headers.get("Origin"), token)
        return None if why is None else connection.respond(HTTPStatus.UNAUTHORIZED, why + "\n")

    async def one(connection: "ServerConnection") -> None:
        await connected(Messages(connection))

    try:
        server = await listen(
            one, host, port, process_request=admit, max_size=LONGEST, open_timeout=OPEN_S,
            close_timeout=CLOSE_S, compression=None,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(f"--listen {url}: {error.strerror or error}") from error
    async with server:
        found = next(iter(server.sockets)).getsockname()[1]
        ready(f"ws://{f'[{host}]' if ':' in host else host}:{found}")
        await server.serve_forever()
