"""How full the model's window may get, and what of it a shortened history keeps. Pure."""

from typing import Final

from msgspec import Struct

from octavo.protocol.usage import usable_window

THRESHOLD_PERCENT: Final = 90
"""Of the context window, unless the settings name a number."""
KEPT_USER_TOKENS: Final = 20_000
TAIL_TOKENS: Final = 16_000
TAIL_PERCENT: Final = 12
"""The last stretch is kept whole up to the smaller of the two."""


class Limits(Struct, frozen=True, kw_only=True):
    """When a history is too long. Tokens."""

    window: int | None
    """Of the model; None: unknown, nothing is ever due."""
    limit: int | None = None
    """The settings' own threshold."""

    @property
    def threshold(self) -> int | None:
        """From so many tokens on the history is shortened before the next request."""
        if self.window is None:
            return self.limit
        most = min(self.window * THRESHOLD_PERCENT // 100, usable_window(self.window))
        return most if self.limit is None else min(self.limit, most)

    @property
    def tail(self) -> int:
        """So much of the end stays verbatim."""
        if self.window is None:
            return TAIL_TOKENS
        return min(TAIL_TOKENS, self.window * TAIL_PERCENT // 100)

    @property
    def user_words(self) -> int:
        """So much of the user's earlier words stays."""
        if self.window is None:
            return KEPT_USER_TOKENS
        return min(KEPT_USER_TOKENS, self.window // 5)


def due(tokens: int, limits: Limits) -> bool:
    """Is the next request too long?"""
    return limits.threshold is not None and tokens >= limits.threshold
