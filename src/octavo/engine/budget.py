"""What a piece of work may cost, checked before each request: tokens, money, time, turns.

A thread and the agents it starts share one `Meter`, so that together they keep one budget.
"""

from msgspec import Struct

from octavo.model.catalog import ModelInfo, cost
from octavo.protocol.errors import LimitReached
from octavo.protocol.usage import TokenUsage


class Budget(Struct, frozen=True, kw_only=True):
    """The most that may be spent; None is no limit."""

    tokens: int | None = None
    """All tokens, input and output, of all requests."""
    usd: float | None = None
    seconds: float | None = None
    """From the first request on."""
    turns: int | None = None


class Meter:
    """What has been spent of a budget. Not thread-safe; one event loop uses it."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.tokens = 0
        self.usd = 0.0
        self.turns = 0
        self._since: float | None = None

    def begin_turn(self) -> None:
        """Another turn. Raises LimitReached when there may be none."""
        most = self.budget.turns
        if most is not None and self.turns >= most:
            raise reached("turns", f"{self.turns} of {most}", "turns")
        self.turns += 1

    def spent(self, usage: TokenUsage, info: ModelInfo) -> None:
        """A response was paid for."""
        self.tokens += usage.total
        self.usd += cost(info, usage) or 0.0

    def check(self, now: float) -> None:
        """May one more request be made? Raises LimitReached. `now`: monotonic seconds."""
        budget = self.budget
        if budget.tokens is not None and self.tokens >= budget.tokens:
            raise reached("tokens", f"{self.tokens:,} of {budget.tokens:,}", "tokens")
        if budget.usd is not None and self.usd >= budget.usd:
            raise reached("money", f"${self.usd:.4f} of ${budget.usd:.2f}", "usd")
        left = self.seconds_left(now)
        if left is not None and left <= 0:
            raise self.out_of_time()

    def seconds_left(self, now: float) -> float | None:
        """How long the work may still take; None: as long as it likes. The first call starts it."""
        if self._since is None:
            self._since = now
        if self.budget.seconds is None:
            return None
        return max(0.0, self._since + self.budget.seconds - now)

    def out_of_time(self) -> LimitReached:
        """The error of a budget of time that is spent."""
        return reached("time", f"{self.budget.seconds:g} s", "seconds")

    def priced(self, info: ModelInfo) -> None:
        """Can the money be counted at all? Raises LimitReached when the price is not known."""
        if self.budget.usd is not None and info.price is None:
            raise LimitReached(
                f"the price of the model {info.name} is not known, so a budget of "
                f"${self.budget.usd:.2f} cannot be kept",
                hint=f'set it: [model_prices."{info.name}"] input = …, output = … '
                "(dollars for a million tokens)",
            )


def reached(what: str, spent: str, key: str) -> LimitReached:
    return LimitReached(
        f"the budget for {what} is spent: {spent}", hint=f"raise `budget.{key}`, or begin anew"
    )
