"""Keys for model providers: from the environment, or from `auth.json`. Never part of settings.

Nothing here is printed or logged. Signing in, and programs that print tokens, are elsewhere.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from octavo.config.look import read_regular
from octavo.config.schema import ModelProvider
from octavo.policy.paths import printable
from octavo.protocol.errors import ConfigError

FILE: Final = "auth.json"
KEY: Final = "OPENAI_API_KEY"
"""The key of the built-in provider."""
OVERRIDE: Final = "CODEX_API_KEY"
"""Stands in for the key of the built-in provider, as `exec` of scripts sets it."""
AT_MOST: Final = 1024 * 1024
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Secret:
    """A key. Only `reveal()` shows it; printing it does not."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source
        """Where it was found: the variable, the file, or the settings."""

    def reveal(self) -> str:
        """The key itself, for the header of a request."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret(from {self.source})"


def api_key(provider: ModelProvider, *, home: str, environ: Mapping[str, str]) -> Secret | None:
    """The key to send to a provider; None for one that needs none or gets it from a program.

    Raises ConfigError when a key is needed and there is none, with the provider's own
    instructions as the hint, and when `auth.json` may be read by other users.
    """
    if provider.auth is not None or provider.aws is not None:
        return None
    if provider.experimental_bearer_token is not None:
        return Secret(provider.experimental_bearer_token, "experimental_bearer_token")
    names = ((OVERRIDE,) if provider.requires_openai_auth else ()) + (
        (provider.env_key,) if provider.env_key else ()
    )
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            return Secret(value, name)
    if not names:
        return None
    kept = kept_keys(home)
    name = provider.env_key or KEY
    if name in kept:
        return Secret(kept[name], FILE)
    raise ConfigError(
        f"Missing environment variable: `{name}`.",
        key=name,
        hint=provider.env_key_instructions or f"set {name} to your key for {provider.name}",
    )


def kept_keys(home: str) -> Mapping[str, str]:
    """The keys in `auth.json`: a JSON object; what is not a name with a text is passed over."""
    path = Path(home) / FILE
    shown = printable(str(path))
    try:
        mode = path.stat().st_mode
        data = read_regular(str(path), AT_MOST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as wrong:
        raise ConfigError(f"cannot be read: {wrong.strerror or wrong}", file=shown) from wrong
    if os.name == "posix" and mode & OTHERS:
        raise ConfigError(
            f"is not used, because other users may open it (mode {stat.S_IMODE(mode):04o})",
            file=shown,
            hint=f"close it with: chmod 600 {shown}",
        )
    try:
        values = msgspec.json.decode(data, type=dict[str, object])
    except msgspec.DecodeError:  # the reason could quote the content
        raise ConfigError("is not a JSON object", file=shown) from None
    return {name: text for name, text in values.items() if isinstance(text, str) and text}
