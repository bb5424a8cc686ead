"""Who is asked, and how: one value per provider, with the secrets already resolved.

Pure. The four built-in ones need no settings beyond a key, the local two not even that.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from octavo.model.codec import WireOptions
from octavo.model.retry import REQUEST_RETRIES, STREAM_IDLE_MS, STREAM_RETRIES

WireApi = Literal["responses", "chat", "messages"]


class Provider(Struct, frozen=True, kw_only=True):
    """A server that answers for models."""

    id: str
    name: str
    base_url: str
    """Without the last part: `https://host/v1`."""
    wire_api: WireApi = "responses"
    env_key: str | None = None
    """The variable the key comes from; named in messages, never read here."""
    api_key: str | None = None
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    request_max_retries: int = REQUEST_RETRIES
    stream_max_retries: int = STREAM_RETRIES
    stream_idle_timeout_ms: int = STREAM_IDLE_MS
    connect_timeout_ms: int = 15_000
    instructions_as: Literal["developer", "field"] = "developer"
    echo_reasoning: bool = True
    """Chat wire: send thoughts back, as tool loops of reasoning models want it."""
    text_calls: bool = True
    """Chat wire: recognise calls that a small model wrote as text."""

    @property
    def wire_options(self) -> WireOptions:
        """What the codecs need to know."""
        return WireOptions(
            instructions_as=self.instructions_as,
            echo_reasoning=self.echo_reasoning,
            text_calls=self.text_calls,
        )


BUILT_IN: Final = {
    provider.id: provider
    for provider in (
        Provider(
            id="openai",
            name="OpenAI",
            base_url="https://api.openai.com/v1",
            env_key="OPENAI_API_KEY",
        ),
        Provider(
            id="anthropic",
            name="Anthropic",
            base_url="https://api.anthropic.com/v1",
            wire_api="messages",
            env_key="ANTHROPIC_API_KEY",
        ),
        Provider(id="ollama", name="Ollama", base_url="http://localhost:11434/v1", wire_api="chat"),
        Provider(
            id="lmstudio", name="LM Studio", base_url="http://localhost:1234/v1", wire_api="chat"
        ),
    )
}
"""Built-in ids cannot be redefined in settings."""
