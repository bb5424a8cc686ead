"""Where a run's words go: stdout, stderr, and a line that shows that something is going on.

Thin; what is written is decided in `human` and `jsonl`.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from octavo.exec.keyboard import forget_typed, line_from
from octavo.exec.plain import plain

TICK_S: Final = 0.12
FIRST_S: Final = 0.6
"""Quiet for so long before the line appears."""
FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES: Final = "|/-\\"
CLEAR: Final = "\r\x1b[2K"
STDIN: Final = 0


class Screen:
    """The two outputs of one run."""

    def __init__(self, *, colour: str, environ: Mapping[str, str]) -> None:
        self._terminal = sys.stderr.isatty()
        dumb = environ.get("TERM") == "dumb"
        self.streaming = self._terminal
        self.result_shown = self._terminal and sys.stdout.isatty()
        wanted = self._terminal and not environ.get("NO_COLOR") and not dumb
        self.colour = colour == "always" or (colour == "auto" and wanted)
        self.can_ask = self._terminal and sys.stdin.isatty()
        self._moving = self._terminal and not dumb
        utf8 = (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
        self._frames = FRAMES if utf8 else PLAIN_FRAMES
        self._shown = False
        self._asking = False
        self._open = False
        self._began = self._last = time.monotonic()

    def note(self, text: str) -> None:
        """To stderr, at once."""
        self.still()
        sys.stderr.write(text)
        sys.stderr.flush()
        self._open = not text.endswith("\n")

    def result(self, text: str) -> None:
        """To stdout, at once; as it is, but for a terminal."""
        if sys.stdout.isatty():
            text = plain(text)
        sys.stdout.flush()
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.buffer.write(text.encode(encoding, "backslashreplace"))
        sys.stdout.buffer.flush()

    def line(self, data: bytes) -> None:
        """One line to stdout, at once."""
        sys.stdout.buffer.write(data + b"\n")
        sys.stdout.buffer.flush()

    async def ask(self, prompt: str) -> str:
        """A line from whoever sits there. Raises EOFError."""
        self._asking = True
        try:
            forget_typed(STDIN)
            self.note(prompt)
            return await line_from(STDIN)
        finally:
            self._asking = self._open = False
            self._last = time.monotonic()

    def still(self) -> None:
        """Take the moving line away before something is written."""
        self._last = time.monotonic()
        if self._shown:
            self._shown = False
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def let_go(self) -> None:
        """Nobody reads any more: nothing may fail on it later."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
            try:
                stream.flush()
            except OSError:
                with suppress(OSError):
                    os.dup2(nowhere, fd)
        os.close(nowhere)

    async def tick(self) -> None:
        """Move a line while nothing else is said; only on a terminal."""
        number = 0
        while self._moving:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            quiet = self._shown or now - self._last >= FIRST_S
            if self._open or self._asking or not quiet:
                continue
            number += 1
            frame = self._frames[number % len(self._frames)]
            self._shown = True
            with suppress(OSError):  # a terminal that has gone is noticed by what has to be said
                sys.stderr.write(f"{CLEAR}{frame} {now - self._began:.0f} s")
                sys.stderr.flush()
