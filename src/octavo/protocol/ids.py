"""Names of threads, turns, items and calls; ids that sort by time.

Pure: the clock and the randomness come from the caller.
"""

from typing import Final, NewType

ThreadId = NewType("ThreadId", str)
TurnId = NewType("TurnId", str)
ItemId = NewType("ItemId", str)
CallId = NewType("CallId", str)
"""Pairs a tool call with its output. Made by the model, or by us where a server leaves it out."""

RANDOM_BYTES: Final = 10
"""So much randomness `uuid7` wants."""
LAST_MS: Final = (1 << 48) - 1


def uuid7(now_ms: int, random: bytes) -> str:
    """A UUID version 7 (RFC 9562): later clocks sort later as text.

    `random` needs `RANDOM_BYTES`; more are ignored. Raises ValueError for fewer, or for a clock
    outside 48 bits.
    """
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"uuid7 needs {RANDOM_BYTES} random bytes, got {len(random)}")
    if not 0 <= now_ms <= LAST_MS:
        raise ValueError(f"the clock does not fit into 48 bits: {now_ms}")
    noise = int.from_bytes(random[:RANDOM_BYTES], "big")
    high = (noise >> 62) & 0xFFF
    low = noise & ((1 << 62) - 1)
    text = f"{now_ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def item_id(prefix: str, uuid: str) -> ItemId:
    """An id for an item made here: `msg_…`, `fco_…`, `ctco_…`."""
    return ItemId(f"{prefix}_{uuid}")
