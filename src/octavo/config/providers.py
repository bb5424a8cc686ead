"""The model providers: those that are built in, those of the settings, and what contradicts itself.

Pure. Keys and tokens are read by `octavo.config.auth`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from octavo.config.schema import ModelProvider, Settings
from octavo.policy.reader import OriginOf, Reader, nowhere
from octavo.policy.words import choices, dotted, quoted, suggestion
from octavo.protocol.errors import ConfigError

BUILT_IN: Final[Mapping[str, ModelProvider]] = {
    "openai": ModelProvider(
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        env_key="OPENAI_API_KEY",
        requires_openai_auth=True,
    ),
    "anthropic": ModelProvider(
        name="Anthropic",
        base_url="https://api.anthropic.com/v1",
        env_key="ANTHROPIC_API_KEY",
        wire_api="messages",
    ),
    "ollama": ModelProvider(name="Ollama", base_url="http://localhost:11434/v1", wire_api="chat"),
    "lmstudio": ModelProvider(
        name="LM Studio", base_url="http://localhost:1234/v1", wire_api="chat"
    ),
}
LOCAL: Final = ("ollama", "lmstudio")
"""What `--oss` may pick."""


def provider(settings: Settings, name: str | None = None) -> ModelProvider:
    """The provider of that id, or the one in force. Raises ConfigError naming the nearest id, or
    for one without a `base_url`."""
    wanted = settings.model_provider if name is None else name
    if wanted == "openai" and settings.openai_base_url:
        return replace(BUILT_IN["openai"], base_url=settings.openai_base_url)
    known = {**settings.model_providers, **BUILT_IN}
    if wanted not in known:
        raise ConfigError(
            f"model_provider: there is no model provider {quoted(wanted)}"
            f"{suggestion(wanted, known)}",
            key="model_provider",
            hint=f"known: {choices(sorted(known))}",
        )
    found = known[wanted]
    if not found.base_url:
        key = dotted(("model_providers", wanted))
        raise ConfigError(f"{key}: `base_url` is missing", key=key)
    return found if found.name else replace(found, name=wanted)


def check_providers(settings: Settings, origin_of: OriginOf = nowhere) -> None:
    """Raises ConfigError for a provider that redefines a built-in one or contradicts itself."""
    reader = Reader(origin_of, prefix=("model_providers",))
    for name, found in settings.model_providers.items():
        if name in BUILT_IN:
            hint = "give yours another name, and choose it with model_provider"
            raise reader.problem((name,), "is built in and cannot be redefined", hint=hint)
        others = [
            key
            for key, given in {
                "env_key": found.env_key,
                "experimental_bearer_token": found.experimental_bearer_token,
                "requires_openai_auth": found.requires_openai_auth,
            }.items()
            if given
        ]
        for key in ("auth", "aws"):
            if getattr(found, key) is not None and others:
                raise reader.problem((name, others[0]), f"cannot be used together with `{key}`")
        if found.auth is not None and found.aws is not None:
            raise reader.problem((name, "aws"), "cannot be used together with `auth`")
    if settings.model_provider not in {**settings.model_providers, **BUILT_IN}:
        known = sorted({**settings.model_providers, **BUILT_IN})
        near = suggestion(settings.model_provider, known)
        raise Reader(origin_of).problem(
            ("model_provider",),
            f"there is no model provider {quoted(settings.model_provider)}{near}",
            hint=f"known: {choices(known)}",
        )
