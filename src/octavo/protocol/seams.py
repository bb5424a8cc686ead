"""Where the world comes in: time and names. Real ones are made by `octavo.api`, others by tests.

The other seams are where their values are: `octavo.model.client.ModelClient`,
`octavo.tools.base` (launcher, approver) and `octavo.store` (store).
"""

from typing import Protocol


class Clock(Protocol):
    """Time. Nothing in the engine looks at another one."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, for what people and files see."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back. For durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. A test's clock jumps instead."""
        ...


class Ids(Protocol):
    """Names nobody has used before, sorted by time."""

    def uuid(self) -> str:
        """A UUID version 7."""
        ...

    def jitter(self) -> float:
        """A number from 0.9 to 1.1, so that many clients do not knock at once."""
        ...
