"""A handle on a command that somebody else runs: type into it, resize it, end it.

Made before the command; what is typed before it runs is kept for it.
"""

import asyncio

from octavo.process.child import Child
from octavo.process.pump import Feeder, Pump
from octavo.protocol.errors import UsageError


class Control:
    """For `process.run.run` and what is built on it. Everything returns at once."""

    def __init__(self, *, stdin: bool = True) -> None:
        self.stdin = stdin
        """The command's input stays open until `end_input`."""
        self.terminated = False
        """It was ended through this handle."""
        self._child: Child | None = None
        self._feeder: Feeder | None = None
        self._early = bytearray()
        self._ended = False
        self._over = False
        self._running = asyncio.Event()

    @property
    def ended(self) -> bool:
        """No more input comes."""
        return self._ended

    def write(self, data: bytes) -> None:
        """Input for the command. Raises UsageError when it takes none, LimitReached when it has
        not read for too long."""
        if not self.stdin or self._ended:
            raise UsageError("the command's standard input is closed")
        if self._feeder is None:
            self._early += data
        else:
            self._feeder.write(data)

    async def drained(self) -> None:
        """Until the command has taken what was written, or takes nothing any more."""
        await self._running.wait()
        if self._feeder is not None:
            await self._feeder.idle()

    def end_input(self) -> None:
        """No more input after what was written."""
        self._ended = True
        if self._feeder is not None:
            self._feeder.end()

    def resize(self, rows: int, cols: int) -> None:
        """A new size for its terminal. Raises UsageError when it has none."""
        if self._child is not None and not self._over:
            self._child.resize(rows, cols)

    def terminate(self) -> None:
        """End it, everything it started included."""
        self.terminated = True
        if self._child is not None and not self._over:
            self._child.kill()

    # ---- for whoever runs it ------------------------------------------------------------------

    def attach(self, child: Child, pump: Pump) -> None:
        """The command runs now."""
        self._child = child
        self._running.set()
        if self.stdin:
            self._feeder = pump.feeder()
            self._feeder.write(bytes(self._early))
            self._early.clear()
            if self._ended:
                self._feeder.end()
        else:
            child.close_stdin()
        if self.terminated:
            child.kill()

    def detach(self) -> None:
        """It is over."""
        self._over = True
        self._running.set()
