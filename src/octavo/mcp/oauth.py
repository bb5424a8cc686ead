"""OAuth for servers at an address: the flow with a browser, and logins that are renewed.

Loaded for servers at an address only. The flow itself (discovery, registration, PKCE) is the
protocol library's; ours is where tokens are kept, and that nobody but `login` opens a browser.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.oauth2 import OAuthContext
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl, BaseModel, ValidationError

from octavo.mcp.base import McpError, titled
from octavo.mcp.tokens import Tokens
from octavo.protocol.mcp import HttpTransport, McpServer

CLIENT: Final = "Octavo"
PUBLIC: Final = "none"
"""A client without a secret."""
EARLY_S: Final = 30.0
"""Tokens are renewed so long before they end."""
Entry = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


class NotLoggedIn(McpError):  # noqa: N818 - says what is
    """The server wants a login, and there is none that it accepts."""

    def __init__(self, server: McpServer) -> None:
        super().__init__(
            f"{titled(server)} wants a login",
            hint=f"Run `octavo mcp login {server.name}`.",
        )


class Kept:
    """One login as the library's `TokenStorage`; what it does not know about is kept beside it."""

    def __init__(self, server: McpServer, tokens: Tokens, *, fresh: bool = False) -> None:
        assert isinstance(server.transport, HttpTransport)
        self.server = server
        self._where = (server.name, server.transport.url)
        self._tokens = tokens
        self._client_id = server.transport.oauth_client_id
        self.entry: Entry = {} if fresh else tokens.find(*self._where) or {}

    def save(self) -> None:
        """Write all of it down."""
        self._tokens.keep(*self._where, self.entry)

    def drop(self) -> None:
        """It is worth nothing any more."""
        self.entry = {}
        self._tokens.forget(*self._where)

    def reload(self) -> bool:
        """Another program may have renewed it. True: it is not the one we had."""
        found = self._tokens.find(*self._where) or {}
        changed = found.get("tokens") != self.entry.get("tokens")
        self.entry = found
        return changed

    async def get_tokens(self) -> OAuthToken | None:
        return part(OAuthToken, self.entry.get("tokens"))

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.entry["tokens"] = tokens.model_dump(mode="json", exclude_none=True)
        seconds = tokens.expires_in
        self.entry["expires_at"] = None if seconds is None else time.time() + seconds

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        if self._client_id is not None:
            return OAuthClientInformationFull(
                client_id=self._client_id, token_endpoint_auth_method=PUBLIC
            )
        return part(OAuthClientInformationFull, self.entry.get("client"))

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.entry["client"] = client_info.model_dump(mode="json", exclude_none=True)


def part(kind: type[Model], value: object) -> Model | None:
    """A stored model; None where it is missing or no longer understood."""
    try:
        return None if value is None else kind.model_validate(value)
    except ValidationError:
        return None


class Wanted(OAuthContext):
    """The library's state, with a resource that the user chose."""

    wanted = ""

    def get_resource_url(self) -> str:
        return self.wanted

    def should_include_resource_param(self, protocol_version: str | None = None) -> bool:
        return True


class Provider(OAuthClientProvider):
    """The library's flow with the user's scopes and resource."""

    def __init__(
        self,
        kept: Kept,
        *,
        redirect_uri: str = "http://127.0.0.1/callback",
        scopes: tuple[str, ...] = (),
        redirect: Callable[[str], Awaitable[None]] | None = None,
        callback: Callable[[], Awaitable[AuthorizationCodeResult]] | None = None,
    ) -> None:
        transport = kept.server.transport
        assert isinstance(transport, HttpTransport)
        self.kept = kept
        self._scopes = " ".join(scopes or transport.scopes)
        metadata = OAuthClientMetadata(
            client_name=CLIENT,
            redirect_uris=[AnyUrl(redirect_uri)],
            token_endpoint_auth_method=PUBLIC,
            scope=self._scopes or None,
        )
        super().__init__(transport.url, metadata, kept, redirect, callback)
        resource = transport.oauth_resource
        if resource is not None:
            self.context = Wanted(**vars(self.context))
            self.context.wanted = resource

    async def _perform_authorization(self) -> httpx2.Request:
        if self._scopes:
            self.context.client_metadata.scope = self._scopes
        return await super()._perform_authorization()

    async def _initialize(self) -> None:
        await super()._initialize()
        entry, context = self.kept.entry, self.context
        context.oauth_metadata = part(OAuthMetadata, entry.get("metadata"))
        context.protected_resource_metadata = part(ProtectedResourceMetadata, entry.get("resource"))
        expires = entry.get("expires_at")
        if isinstance(expires, int | float):
            context.token_expiry_time = expires - EARLY_S

    def remember(self) -> None:
        """What a later run needs to renew the tokens, written down with them."""
        context, entry = self.context, self.kept.entry
        for name, model in (
            ("metadata", context.oauth_metadata),
            ("resource", context.protected_resource_metadata),
        ):
            if model is not None:
                entry[name] = model.model_dump(mode="json", exclude_none=True)
        self.kept.save()


class StoredLogin(httpx2.Auth):
    """Sends the stored token and renews it; never asks anybody. Raises NotLoggedIn."""

    def __init__(self, server: McpServer, tokens: Tokens) -> None:
        self._server = server
        self._kept = Kept(server, tokens)
        self._provider = Provider(self._kept)
        self._lock = anyio.Lock()

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """See `httpx2.Auth`."""
        provider = self._provider
        if not provider._initialized:
            await provider._initialize()
        context = provider.context
        if not context.is_token_valid() and context.can_refresh_token():
            async with self._lock:
                if not context.is_token_valid():
                    answer = yield await provider._refresh_token()
                    await self._renewed(answer)
        used = self._authorize(request)
        response = yield request
        if response.status_code != 401:
            return
        if used is not None and context.can_refresh_token():
            async with self._lock:
                now = context.current_tokens
                if now is not None and now.access_token == used:
                    answer = yield await provider._refresh_token()
                    await self._renewed(answer)
            if self._authorize(request) is not None:
                response = yield request
        if response.status_code == 401:
            raise NotLoggedIn(self._server)

    def _authorize(self, request: httpx2.Request) -> str | None:
        tokens = self._provider.context.current_tokens
        if tokens is None or not tokens.access_token:
            return None
        request.headers["Authorization"] = f"Bearer {tokens.access_token}"
        return tokens.access_token

    async def _renewed(self, answer: httpx2.Response) -> None:
        await answer.aread()
        if await self._provider._handle_refresh_response(answer):
            self._kept.save()
        elif self._kept.reload():
            await self._provider._initialize()  # somebody else has renewed it
