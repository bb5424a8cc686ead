"""Asking a configured server what it can do."""

import os
from collections.abc import Mapping, Sequence

from octavo.api.providers import CA_VARIABLES, wire_provider
from octavo.api.sandbox import state_home
from octavo.config.auth import api_key
from octavo.config.providers import provider as provider_settings
from octavo.config.settings import load_settings
from octavo.model.check import Report, check
from octavo.model.http import HttpModelClient


async def check_provider(
    *,
    environ: Mapping[str, str],
    provider: str | None = None,
    model: str | None = None,
    overrides: Sequence[str] = (),
) -> Report:
    """Try what a provider's server can do: models, streaming, tool calls. Raises ConfigError."""
    home = state_home(environ)
    flags = {} if provider is None else {"model_provider": provider}
    settings = load_settings(
        home=home, cwd=os.getcwd(), environ=environ, overrides=overrides, flags=flags
    ).settings
    chosen = provider_settings(settings)
    key = api_key(chosen, home=home, environ=environ)
    client = HttpModelClient(
        wire_provider(settings.model_provider, chosen, key.reveal() if key else None, environ),
        ca_file=next((v for n in CA_VARIABLES if (v := environ.get(n))), None),
    )
    async with client:
        return await check(client.provider, model=model or settings.model, client=client)
