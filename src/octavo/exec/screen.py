"""Where a run's words go: stdout, stderr, and a line that shows that something is going on.

Thin; what is written is decided in `human` and `jsonl`.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

TICK_S: Final = 0.12
FIRST_S: Final = 0.6
"""Quiet for so long before the line appears."""
FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CLEAR: Final = "\r\x1b[2K"


class Screen:
    """The two outputs of one run."""

    def __init__(self, *, colour: str, environ: Mapping[str, str]) -> None:
        self._terminal = sys.stderr.isatty()
        self.streaming = self._terminal
        self.result_shown = self._terminal and sys.stdout.isatty()
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        self.colour = colour == "always" or (colour == "auto" and self._terminal and not plain)
        self.can_ask = self._terminal and sys.stdin.isatty()
        self._shown = False
        self._last = time.monotonic()
        self._began = self._last
        self._open = False

    def note(self, text: str) -> None:
        """To stderr, at once."""
        self.still()
        sys.stderr.write(text)
        sys.stderr.flush()
        self._open = not text.endswith("\n")

    def result(self, text: str) -> None:
        """To stdout, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def line(self, data: bytes) -> None:
        """One line to stdout, at once."""
        sys.stdout.buffer.write(data + b"\n")
        sys.stdout.buffer.flush()

    def read(self, prompt: str) -> str:
        """A line from whoever sits there. Raises EOFError."""
        self.still()
        return input(prompt)

    def still(self) -> None:
        """Take the moving line away before something is written."""
        self._last = time.monotonic()
        if self._shown:
            self._shown = False
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def let_go(self) -> None:
        """Nobody reads stdout any more: nothing may fail on it later."""
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    @asynccontextmanager
    async def busy(self, *, enabled: bool) -> AsyncIterator[None]:
        """While the block runs, show that it does; only on a terminal."""
        if not (enabled and self._terminal):
            yield
            return
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(self._tick(), name="spinner")
            try:
                yield
            finally:
                ticker.cancel()
                self.still()

    async def _tick(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if self._open or (not self._shown and now - self._last < FIRST_S):
                continue
            number += 1
            frame = FRAMES[number % len(FRAMES)]
            self._shown = True
            sys.stderr.write(f"{CLEAR}{frame} {now - self._began:.0f} s")
            sys.stderr.flush()
