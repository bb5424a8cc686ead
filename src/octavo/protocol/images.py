"""How large a picture is, from the first bytes of the file: PNG, GIF, JPEG, WebP.

Pure; enough to weigh a picture without an image library.
"""

import base64
import binascii
from typing import Final

HEAD_BYTES: Final = 256 * 1024
"""A JPEG may carry so much before its size (colour profile, thumbnail)."""
PATCH: Final = 32
MOST_PATCHES: Final = 10_000


def original_tokens(url: str) -> int | None:
    """Tokens of a `data:` URL at full detail: one per 32 by 32 pixels. None: size unknown."""
    comma = url.find(",")
    if comma < 0 or ";base64" not in url[:comma]:
        return None
    head = url[comma + 1 : comma + 1 + HEAD_BYTES // 3 * 4]
    head = head[: len(head) // 4 * 4]
    try:
        size = image_size(base64.b64decode(head))
    except (binascii.Error, ValueError):
        return None
    if size is None:
        return None
    width, height = size
    return min(-(-width // PATCH) * -(-height // PATCH), MOST_PATCHES)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None when the bytes are no picture we know."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return _big(data, 16, 4), _big(data, 20, 4)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return _little(data, 6, 2), _little(data, 8, 2)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return None


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            return _big(data, at + 7, 2), _big(data, at + 5, 2)
        at += 2 + _big(data, at + 2, 2)
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
        case b"VP8L":
            bits = _little(data, 21, 4)
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        case b"VP8 ":
            return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
        case _:
            return None
