"""Tokens: what a server counted, and what we estimate where it has not counted yet.

Estimates are byte lengths over four; only encrypted reasoning and pictures are weighed apart,
because their length on the wire says little about what the model sees.
"""

import msgspec
from msgspec import Struct

from octavo.protocol.content import ContentPart, InputImage
from octavo.protocol.history import (
    CustomToolCallOutput,
    FunctionCallOutput,
    HistoryItem,
    Message,
    Reasoning,
    Unknown,
)
from octavo.protocol.images import original_tokens
from octavo.protocol.wire import JSON

BYTES_PER_TOKEN = 4
IMAGE_BYTES = 7_373
"""What an inline picture weighs, whatever its size."""
ENCRYPTED_OVERHEAD_BYTES = 650
BASELINE_TOKENS = 12_000
"""In every prompt; not counted in what people are shown as left."""


class TokenUsage(Struct, frozen=True, kw_only=True, rename=lambda name: f"{name}_tokens"):
    """Tokens of one response, or of many added up. On the wire the names end in `_tokens`."""

    input: int = 0
    """All that was read, cached parts included."""
    cached_input: int = 0
    cache_write_input: int = 0
    output: int = 0
    """All that was written, reasoning included."""
    reasoning_output: int = 0
    total: int = 0

    @property
    def total_tokens(self) -> int:
        """All tokens."""
        return self.total

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            input=self.input + other.input,
            cached_input=self.cached_input + other.cached_input,
            cache_write_input=self.cache_write_input + other.cache_write_input,
            output=self.output + other.output,
            reasoning_output=self.reasoning_output + other.reasoning_output,
            total=self.total + other.total,
        )


def tokens_of_bytes(length: int) -> int:
    """About so many tokens; never 0 for something."""
    return -(-length // BYTES_PER_TOKEN)


def tokens_of_text(text: str) -> int:
    """About so many tokens."""
    return tokens_of_bytes(len(text.encode("utf-8", "surrogatepass")))


def estimate_item(item: HistoryItem) -> int:
    """About so many tokens this item adds to a prompt. What is never sent adds none."""
    match item:
        case Unknown():
            return 0
        case Reasoning(encrypted_content=str(sealed)):
            length = len(sealed) * 3 // 4 - ENCRYPTED_OVERHEAD_BYTES
            return tokens_of_bytes(max(0, length))
        case Message(content=parts):
            return _with_pictures(item, parts)
        case FunctionCallOutput(output=tuple(parts)) | CustomToolCallOutput(output=tuple(parts)):
            return _with_pictures(item, parts)
        case _:
            return tokens_of_bytes(len(JSON.encode(item)))


def estimate_items(items: tuple[HistoryItem, ...]) -> int:
    """About so many tokens these items add to a prompt."""
    return sum(map(estimate_item, items))


def _with_pictures(item: HistoryItem, parts: tuple[ContentPart, ...]) -> int:
    length = len(JSON.encode(item))
    tokens = 0
    for part in parts:
        if isinstance(part, InputImage) and part.image_url.startswith("data:"):
            length -= len(part.image_url.encode("utf-8", "surrogatepass"))
            if part.detail == "original" and (patches := original_tokens(part.image_url)):
                tokens += patches
            else:
                length += IMAGE_BYTES
    return tokens + tokens_of_bytes(max(0, length))


def active_tokens(last: TokenUsage | None, since: tuple[HistoryItem, ...]) -> int:
    """How full the window is: what the server counted last, plus what came since."""
    return (0 if last is None else last.total) + estimate_items(since)


def usable_window(context_window: int, *, percent: int = 95) -> int:
    """The part of the window that may be filled."""
    return context_window * percent // 100


def percent_left(active: int, context_window: int) -> int:
    """What a person is shown as left, 0 to 100, without what every prompt has anyway."""
    room = context_window - BASELINE_TOKENS
    if room <= 0:
        return 0
    left = room - max(0, active - BASELINE_TOKENS)
    return max(0, min(100, round(left * 100 / room)))


def encode_usage(usage: TokenUsage) -> dict[str, int]:
    """The numbers under their wire names."""
    found: dict[str, int] = msgspec.to_builtins(usage)
    return found
