"""Models we know: window, tools, pictures, prices. Shipped, never fetched; a wrong line is a bug.

What is not publicly known for certain is None. An unknown name works with careful assumptions and
`known=False`, so that the person gets one warning.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Struct

from octavo.model.request import Effort
from octavo.protocol.usage import TokenUsage


class Price(Struct, frozen=True, kw_only=True):
    """US dollars per million tokens."""

    input: float
    cached_input: float
    output: float
    cache_write: float | None = None
    """None: writing costs what reading does."""


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What one model can do."""

    name: str
    context_window: int = 128_000
    """Tokens, input and output together."""
    max_output_tokens: int | None = None
    default_effort: Effort | None = None
    reasoning_summary: bool = True
    """Takes `reasoning.summary`."""
    thinking: Literal["budget", "adaptive"] | None = "budget"
    """Messages wire: how it is told to think."""
    verbosity: bool = False
    freeform_patch: bool = False
    """Knows `apply_patch` as a tool that takes free text."""
    parallel_tool_calls: bool = True
    images: bool = True
    output_limit_bytes: int = 40_000
    """Of one tool answer in the conversation (10,000 tokens)."""
    price: Price | None = None
    known: bool = True


FALLBACK_OUTPUT_BYTES: Final = 10_000


def _gpt(name: str, price: Price | None, *, window: int = 272_000) -> ModelInfo:
    return ModelInfo(
        name=name,
        context_window=window,
        max_output_tokens=128_000,
        default_effort="medium",
        thinking=None,
        verbosity=True,
        freeform_patch=True,
        price=price,
    )


def _older(name: str, window: int, most: int, price: Price | None) -> ModelInfo:
    return ModelInfo(
        name=name,
        context_window=window,
        max_output_tokens=most,
        reasoning_summary=False,
        thinking=None,
        price=price,
    )


def _claude(
    name: str,
    most: int,
    price: Price,
    *,
    thinking: Literal["budget", "adaptive"] | None = "budget",
) -> ModelInfo:
    return ModelInfo(
        name=name, context_window=200_000, max_output_tokens=most, thinking=thinking, price=price
    )


def _local(name: str, window: int) -> ModelInfo:
    return ModelInfo(
        name=name, context_window=window, default_effort="medium", images=False, thinking=None
    )


GPT_5: Final = Price(input=1.25, cached_input=0.125, output=10)
GPT_5_MINI: Final = Price(input=0.25, cached_input=0.025, output=2)
GPT_5_2: Final = Price(input=1.75, cached_input=0.175, output=14)
OPUS_4: Final = Price(input=15, cached_input=1.5, output=75, cache_write=18.75)
OPUS_4_5: Final = Price(input=5, cached_input=0.5, output=25, cache_write=6.25)
SONNET: Final = Price(input=3, cached_input=0.3, output=15, cache_write=3.75)
HAIKU_4_5: Final = Price(input=1, cached_input=0.1, output=5, cache_write=1.25)
HAIKU_3_5: Final = Price(input=0.8, cached_input=0.08, output=4, cache_write=1)

MODELS: Final = {
    info.name: info
    for info in (
        _gpt("gpt-5", GPT_5),
        _gpt("gpt-5-mini", GPT_5_MINI),
        _gpt("gpt-5-nano", Price(input=0.05, cached_input=0.005, output=0.4)),
        _gpt("gpt-5-codex", GPT_5),
        _gpt("gpt-5.1", GPT_5),
        _gpt("gpt-5.1-codex", GPT_5),
        _gpt("gpt-5.1-codex-max", GPT_5),
        _gpt("gpt-5.1-codex-mini", GPT_5_MINI),
        _gpt("gpt-5.2", GPT_5_2),
        _gpt("gpt-5.2-codex", GPT_5_2),
        _gpt("gpt-5.5", None),
        _older("gpt-4.1", 1_047_576, 32_768, Price(input=2, cached_input=0.5, output=8)),
        _older("gpt-4.1-mini", 1_047_576, 32_768, Price(input=0.4, cached_input=0.1, output=1.6)),
        _older("gpt-4.1-nano", 1_047_576, 32_768, Price(input=0.1, cached_input=0.025, output=0.4)),
        _older("gpt-4o", 128_000, 16_384, Price(input=2.5, cached_input=1.25, output=10)),
        _older("gpt-4o-mini", 128_000, 16_384, Price(input=0.15, cached_input=0.075, output=0.6)),
        ModelInfo(
            name="o3",
            context_window=200_000,
            max_output_tokens=100_000,
            default_effort="medium",
            thinking=None,
            price=Price(input=2, cached_input=0.5, output=8),
        ),
        ModelInfo(
            name="o4-mini",
            context_window=200_000,
            max_output_tokens=100_000,
            default_effort="medium",
            thinking=None,
            price=Price(input=1.1, cached_input=0.275, output=4.4),
        ),
        _claude("claude-opus-4-6", 128_000, OPUS_4_5, thinking="adaptive"),
        _claude("claude-opus-4-5", 64_000, OPUS_4_5),
        _claude("claude-opus-4-1", 32_000, OPUS_4),
        _claude("claude-opus-4", 32_000, OPUS_4),
        _claude("claude-sonnet-4-6", 64_000, SONNET, thinking="adaptive"),
        _claude("claude-sonnet-4-5", 64_000, SONNET),
        _claude("claude-sonnet-4", 64_000, SONNET),
        _claude("claude-haiku-4-5", 64_000, HAIKU_4_5),
        _claude("claude-3-7-sonnet", 64_000, SONNET),
        _claude("claude-3-5-haiku", 8_192, HAIKU_3_5, thinking=None),
        _local("gpt-oss:20b", 131_072),
        _local("gpt-oss:120b", 131_072),
        _local("gpt-oss-20b", 131_072),
        _local("gpt-oss-120b", 131_072),
    )
}

_DATED: Final = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest|0)$")


def lookup(name: str) -> ModelInfo:
    """What is known about a model; a provider's prefix and a date at the end do not matter.

    For an unknown name: careful assumptions, with `known` false.
    """
    bare = name.rsplit("/", 1)[-1].lower()
    found = MODELS.get(bare) or MODELS.get(_DATED.sub("", bare))
    if found is None:
        return ModelInfo(
            name=name, known=False, output_limit_bytes=FALLBACK_OUTPUT_BYTES, thinking="budget"
        )
    return found if found.name == name else msgspec.structs.replace(found, name=name)


def cost(info: ModelInfo, usage: TokenUsage) -> float | None:
    """US dollars; None when the price is not known."""
    price = info.price
    if price is None:
        return None
    fresh = max(0, usage.input - usage.cached_input - usage.cache_write_input)
    written = price.input if price.cache_write is None else price.cache_write
    return (
        fresh * price.input
        + usage.cached_input * price.cached_input
        + usage.cache_write_input * written
        + usage.output * price.output
    ) / 1_000_000
