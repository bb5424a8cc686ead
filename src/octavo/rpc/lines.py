"""Bytes in pieces become lines. Pure; a line without end costs bounded memory."""

from typing import Final

LONGEST: Final = 64 << 20
"""Bytes; a longer line is dropped, and said so."""


class TooLong:
    """Stands for a line that was dropped."""


class Splitter:
    """Feed pieces, get lines without their ends. Empty lines are left out."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes | TooLong]:
        """The lines that are complete now."""
        found: list[bytes | TooLong] = []
        *whole, last = data.split(b"\n")
        for piece in whole:
            self._add(piece)
            if self._dropping:
                found.append(TooLong())
            elif line := bytes(self._rest).rstrip(b"\r"):
                found.append(line)
            self._rest.clear()
            self._dropping = False
        self._add(last)
        return found

    def end(self) -> bytes | None:
        """A last line without an end, if there is one."""
        line = b"" if self._dropping else bytes(self._rest).rstrip(b"\r")
        self._rest.clear()
        return line or None

    def _add(self, piece: bytes) -> None:
        if self._dropping:
            return
        if len(self._rest) + len(piece) > self._longest:
            self._rest.clear()
            self._dropping = True
            return
        self._rest += piece
