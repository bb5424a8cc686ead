"""A clock that jumps, and names that count: tests that wait for nothing and repeat exactly."""

import asyncio
import heapq
from itertools import count

from octavo.protocol.ids import RANDOM_BYTES, uuid7

START_MS = 1_700_000_000_000
TURNS = 4
"""So often everybody else gets to run before the clock jumps."""


class JumpingClock:
    """`sleep` returns as soon as everybody else waits, and the time is then as if it had passed.

    >>> clock = JumpingClock()
    >>> clock.advance(2.5)
    >>> clock.monotonic()
    2.5
    """

    def __init__(self, *, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        self._now = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self.slept: list[float] = []
        """Every wait that was asked for, in seconds."""

    def now_ms(self) -> int:
        return self._start_ms + round(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Time passes; sleepers whose time has come wake."""
        self._now += seconds
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Wait in order: of several sleepers the one that is due first wakes first."""
        self.slept.append(seconds)
        done = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, next(self._order), done)
        heapq.heappush(self._waiting, entry)
        try:
            await self._until(done)
        finally:
            done.cancel()

    async def _until(self, done: "asyncio.Future[None]") -> None:
        while not done.done():
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self._forget_cancelled()
            if self._waiting and self._waiting[0][2] is done:
                self._now = max(self._now, self._waiting[0][0])
                self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._now:
            done = heapq.heappop(self._waiting)[2]
            if not done.done():
                done.set_result(None)

    def _forget_cancelled(self) -> None:
        self._waiting = [one for one in self._waiting if not one[2].cancelled()]
        heapq.heapify(self._waiting)


class CountedIds:
    """Names that are the same in every run; no jitter."""

    def __init__(self, *, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        self._numbers = count(1)

    def uuid(self) -> str:
        """The next one."""
        number = next(self._numbers)
        return uuid7(self._start_ms, number.to_bytes(RANDOM_BYTES, "big"))

    def jitter(self) -> float:
        return 1.0
