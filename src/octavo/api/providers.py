"""Clients for the servers of models: one for each provider of an engine."""

import os
from collections.abc import Mapping
from typing import Final

from octavo.api.options import Given
from octavo.api.tokens import CommandToken
from octavo.config.auth import api_key
from octavo.config.providers import provider as provider_settings
from octavo.config.schema import ModelProvider, Settings
from octavo.model.client import ModelClient
from octavo.model.http import HttpModelClient
from octavo.model.provider import Provider
from octavo.protocol.seams import Clock

CA_VARIABLES: Final = ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE")


class Clients:
    """Owns the connections to providers until `close`."""

    def __init__(
        self, given: Given, *, home: str, environ: Mapping[str, str], clock: Clock
    ) -> None:
        self._given = given
        self._home = home
        self._environ = environ
        self._clock = clock
        self._made: dict[tuple[str, str | None], HttpModelClient] = {}

    def client(self, settings: Settings) -> tuple[ModelClient, str, int]:
        """Who answers under these settings, its name, and how often a stream is tried again."""
        given = self._given.model
        if given is not None and not isinstance(given, str):
            return given, "given", 5
        chosen = provider_settings(settings)
        name = settings.model_provider
        secret = api_key(chosen, home=self._home, environ=self._environ)
        key = None if secret is None else secret.reveal()
        if (name, key) not in self._made:
            self._made[name, key] = self._connect(name, chosen, key)
        return self._made[name, key], name, chosen.stream_max_retries

    def _connect(self, name: str, chosen: ModelProvider, key: str | None) -> HttpModelClient:
        token = None
        if chosen.auth is not None:
            folder = self._home if os.path.isdir(self._home) else os.getcwd()
            token = CommandToken(chosen.auth, cwd=folder, environ=self._environ, clock=self._clock)
        return HttpModelClient(
            wire_provider(name, chosen, key, self._environ),
            ca_file=next((v for n in CA_VARIABLES if (v := self._environ.get(n))), None),
            originator=self._given.originator,
            token=token,
        )

    async def close(self) -> None:
        """End all connections."""
        for client in self._made.values():
            await client.aclose()
        self._made.clear()


def wire_provider(
    name: str, chosen: ModelProvider, key: str | None, environ: Mapping[str, str]
) -> Provider:
    """The settings of a provider with everything from the environment put in."""
    headers = dict(chosen.http_headers)
    for header, variable in chosen.env_http_headers.items():
        if environ.get(variable):
            headers[header] = environ[variable]
    return Provider(
        id=name,
        name=chosen.name or name,
        base_url=chosen.base_url or "",
        wire_api=chosen.wire_api,
        env_key=chosen.env_key,
        api_key=key,
        headers=headers,
        query=chosen.query_params,
        request_max_retries=chosen.request_max_retries,
        stream_max_retries=chosen.stream_max_retries,
        stream_idle_timeout_ms=chosen.stream_idle_timeout_ms,
        connect_timeout_ms=chosen.websocket_connect_timeout_ms,
    )
