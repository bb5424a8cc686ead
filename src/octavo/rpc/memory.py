"""Two transports that are joined in memory: a client and a server in one program."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from octavo.rpc.lines import TooLong
from octavo.rpc.streams import Closed

MOST: Final = 256
"""Lines on the way; whoever writes more waits."""


class End:
    """One end."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue(MOST)
        self._open = True
        self._other = self

    def join(self, other: "End") -> None:
        """From here on what is written here arrives there, and the other way round."""
        self._other, other._other = other, self

    async def lines(self) -> AsyncIterator[bytes | TooLong]:
        """See `Transport`."""
        while self._open:
            line = await self._inbox.get()
            if line is None:
                return
            yield line

    async def write(self, data: bytes) -> None:
        """See `Transport`."""
        if not (self._open and self._other._open):
            raise Closed
        await self._other._inbox.put(data.rstrip(b"\n"))

    async def close(self) -> None:
        """See `Transport`."""
        self._shut()
        self._other._shut()

    def _shut(self) -> None:
        self._open = False
        while self._inbox.full():
            self._inbox.get_nowait()  # wakes a writer, who finds it closed next time
        self._inbox.put_nowait(None)


def pair() -> tuple[End, End]:
    """Both ends."""
    here, there = End(), End()
    here.join(there)
    return here, there
