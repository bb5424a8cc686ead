"""Keep the beginning and the end of an output, count the rest; decode without broken letters.

Pure: bytes in, bytes and text out. Memory stays bounded whatever a command writes.
"""

import codecs

from msgspec import Struct


class Captured(Struct, frozen=True, kw_only=True):
    """What was kept of one output. `head` and `tail` touch when nothing was left out."""

    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0
    """Everything that was written, kept or not."""

    @property
    def omitted_bytes(self) -> int:
        """Written but not kept."""
        return self.total_bytes - len(self.head) - len(self.tail)

    def text(self) -> str:
        """As text: broken UTF-8 replaced, and one line in place of what was left out."""
        if not self.omitted_bytes:
            return (self.head + self.tail).decode("utf-8", "replace")
        head = self.head[: len(self.head) - incomplete_suffix(self.head)]
        tail = self.tail[orphaned_prefix(self.tail) :]
        before = head.decode("utf-8", "replace")
        marker = omission_marker(self.total_bytes - len(head) - len(tail))
        separator = "" if not before or before.endswith("\n") else "\n"
        return f"{before}{separator}{marker}\n{tail.decode('utf-8', 'replace')}"


def omission_marker(count: int) -> str:
    """The line that stands for bytes that were not kept."""
    return f"[... {count} bytes left out ...]"


class HeadTailBuffer:
    """Collects an output within `head_bytes + tail_bytes` of memory.

    `take` hands over what arrived since the last time and starts again.
    """

    def __init__(self, *, head_bytes: int, tail_bytes: int) -> None:
        self.head_bytes = head_bytes
        self.tail_bytes = tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def append(self, data: bytes) -> None:
        """Add what was just read."""
        self.total_bytes += len(data)
        room = self.head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if len(data) >= self.tail_bytes:
            self._tail[:] = data[len(data) - self.tail_bytes :]
            return
        self._tail += data
        excess = len(self._tail) - self.tail_bytes
        if excess > 0:
            del self._tail[:excess]

    def snapshot(self) -> Captured:
        """What is kept now."""
        return Captured(
            head=bytes(self._head), tail=bytes(self._tail), total_bytes=self.total_bytes
        )

    def take(self, *, final: bool) -> Captured:
        """What is kept now, and start again with nothing.

        Unless it is the `final` one, the first bytes of a letter whose rest has not arrived
        stay behind for the next time.
        """
        captured = self.snapshot()
        held = 0 if final else incomplete_suffix(captured.tail or captured.head)
        self._head.clear()
        self._tail.clear()
        self.total_bytes = 0
        if not held:
            return captured
        head, tail = captured.head, captured.tail
        self.append((tail or head)[-held:])
        return Captured(
            head=head if tail else head[:-held],
            tail=tail[:-held] if tail else b"",
            total_bytes=captured.total_bytes - held,
        )


class Utf8Deltas:
    """Text as it arrives: a letter split over two reads comes out once, whole.

    The pieces joined are the same as decoding everything at once.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """The letters that are complete now; may be empty."""
        return self._decoder.decode(data)

    def finish(self) -> str:
        """What was still waiting for its rest, as a replacement letter."""
        return self._decoder.decode(b"", final=True)


def incomplete_suffix(data: bytes) -> int:
    """How many bytes at the end begin a letter that could still become complete."""
    window = data[-3:]
    for length in range(1, len(window) + 1):
        lead = window[-length]
        if lead & 0xC0 == 0x80:  # a continuation byte: its leader is further left
            continue
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # A leader that can no longer be completed decodes to something at once.
        return length if not decoder.decode(window[-length:]) else 0
    return 0


def orphaned_prefix(data: bytes) -> int:
    """How many bytes at the start continue a letter whose beginning was cut off."""
    count = 0
    while count < min(3, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count
