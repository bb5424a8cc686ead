"""Long outputs cut in the middle: the first and the last half of a budget, whole letters only.

Pure. A token is taken for four bytes of UTF-8.
"""

from collections.abc import Sequence
from typing import Final

from octavo.protocol.content import ContentPart, InputImage, InputText, OutputText, Refusal
from octavo.protocol.usage import BYTES_PER_TOKEN

MARK_BYTES: Final = 40
"""More than the mark that stands in the middle ever needs."""


def tokens(size_bytes: int) -> int:
    """About so many tokens."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def size_of(text: str) -> int:
    """Bytes in UTF-8; half letters count as they are replaced."""
    return len(text.encode("utf-8", "replace"))


def mark(cut_bytes: int) -> str:
    """What stands for the part that was cut out."""
    return f"…{tokens(cut_bytes)} tokens truncated…"


def shorten_text(text: str, max_bytes: int) -> str:
    """The text, or its first and last `max_bytes // 2` with a mark between them.

    The mark comes on top of the budget.
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return text
    head, tail = ends(data, max_bytes)
    return head + mark(len(data) - size_of(head) - size_of(tail)) + tail


def ends(data: bytes, max_bytes: int) -> tuple[str, str]:
    """Beginning and end of valid UTF-8 within a budget, no letter split."""
    half = max(max_bytes, 0) // 2
    stop = half
    while stop and data[stop] & 0xC0 == 0x80:
        stop -= 1
    start = len(data) - (max(max_bytes, 0) - half)
    while start < len(data) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[:stop].decode(), data[start:].decode()


def shorten_parts(parts: Sequence[ContentPart], max_bytes: int) -> tuple[ContentPart, ...]:
    """Texts share the budget in their order; pictures are kept and do not count.

    What is left out is summed up in one note at the end.
    """
    left = max_bytes
    omitted = 0
    kept: list[ContentPart] = []
    for part in parts:
        if isinstance(part, InputImage):
            kept.append(part)
            continue
        text = part.refusal if isinstance(part, Refusal) else part.text
        size = size_of(text)
        if size <= left:
            kept.append(part)
            left -= size
        elif left > 0:
            kept.append(with_text(part, shorten_text(text, left)))
            left = 0
        else:
            omitted += 1
    if omitted:
        word = "text" if omitted == 1 else "texts"
        kept.append(InputText(text=f"[{omitted} more {word} left out]"))
    return tuple(kept)


def with_text(part: InputText | OutputText | Refusal, text: str) -> ContentPart:
    """The same kind of part with other words."""
    match part:
        case OutputText():
            return OutputText(text=text)
        case Refusal():
            return Refusal(refusal=text)
        case _:
            return InputText(text=text)
