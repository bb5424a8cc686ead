"""Server-sent events: bytes in, events out. No I/O.

Follows the HTML standard's event stream format and forgives what servers get wrong: any line
ending, split characters, comments, no space after the colon, a last event without an empty line.
"""

from typing import Final

from msgspec import Struct

from octavo.protocol.errors import ModelError, ModelErrorKind

MOST_BYTES: Final = 64 * 1024 * 1024
"""One event may be so long; a picture as base64 fits, a server that never ends a line does not."""
BOM: Final = b"\xef\xbb\xbf"


class SseEvent(Struct, frozen=True, kw_only=True):
    """One event: its name, "" when it has none, and its data lines joined by newlines."""

    name: str = ""
    data: str


class SseParser:
    """Feed it bytes as they come, in pieces of any size."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        """Bytes of the event that is being read."""
        self._line: list[bytes] = []
        """Pieces of a line whose end has not come yet."""
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes. Raises ModelError when one grows too long."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        found: list[SseEvent] = []
        for piece in chunk.splitlines(keepends=True):
            self._count(len(piece))
            self._line.append(piece)
            if piece.endswith((b"\n", b"\r")):
                found += self._end_line()
        return found

    def close(self) -> list[SseEvent]:
        """The stream is over: what was still waiting for its empty line."""
        return [*(self._end_line() if self._line else ()), *self._dispatch()]

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            raise ModelError(
                "stream disconnected before completion: "
                f"one event is longer than {self._most} bytes",
                kind=ModelErrorKind.INCOMPLETE,
            )

    def _end_line(self) -> list[SseEvent]:
        line = b"".join(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._first:
            line = line.removeprefix(BOM)
            self._first = False
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif not self._data:
            self._size = 0  # comments between events may go on for ever
        return []

    def _dispatch(self) -> list[SseEvent]:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        return [SseEvent(name=name, data="\n".join(data))] if data else []
