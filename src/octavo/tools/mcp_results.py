"""What a tool of an MCP server gave back: for the model, and for people. Pure but for pictures.

The server decides what it sends; how much of it goes on is decided here.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from octavo.mcp.base import Reply
from octavo.protocol.content import ContentPart, InputImage, InputText
from octavo.protocol.images import image_size
from octavo.protocol.items import McpResult
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.tools.truncate import shorten_parts, shorten_text, size_of
from octavo.tools.view_image import LONGEST_SIDE, MOST_BYTES, MOST_SIDE, Picture, kind_of, smaller

MOST_PICTURES: Final = 20
"""The model is shown of one result."""
SHOWN_BYTES: Final = 1 << 20
"""Of one text in the item that clients and files get."""
ITEM_BYTES: Final = 8 << 20
"""Of all of a result in the item."""
Block = Mapping[str, Any]


def for_model(
    reply: Reply, *, seconds: float, output_tokens: int, pictures: bool
) -> str | tuple[ContentPart, ...]:
    """One text where there are no pictures, else parts in their order."""
    head = f"Wall time: {seconds:.4f} seconds\nOutput:\n"
    blocks = blocks_for_model(reply)
    parts = with_few_pictures([part_of(one, pictures=pictures) for one in blocks])
    limit = output_tokens * BYTES_PER_TOKEN
    if not any(isinstance(part, InputImage) for part in parts):
        text = "\n".join(part.text for part in parts if isinstance(part, InputText))
        return head + shorten_text(text, limit)
    return (InputText(text=head), *shorten_parts(parts, limit))


def blocks_for_model(reply: Reply) -> list[Block]:
    """Structured content says all that the texts beside it say."""
    if reply.structured is None or reply.is_error:
        return list(reply.content)
    text = msgspec.json.encode(reply.structured).decode()
    seen = (one for one in reply.content if one.get("type") not in ("text", "resource_link"))
    return [{"type": "text", "text": text}, *seen]


def part_of(block: Block, *, pictures: bool = True) -> ContentPart:
    """One block of a result as the model gets it."""
    match block:
        case {"type": "text", "text": str(text)}:
            return InputText(text=text)
        case {"type": "image", "data": str(data)}:
            return picture(data, str(block.get("mimeType", "image")), pictures=pictures)
        case {"type": "resource_link", "uri": str(uri)}:
            words = (block.get("title") or block.get("name"), block.get("description"))
            return InputText(text=" — ".join([f"resource {uri}", *(str(w) for w in words if w)]))
        case {"type": "resource", "resource": {"text": str(text), "uri": str(uri)}}:
            return InputText(text=f"resource {uri}:\n{text}")
        case {"type": "resource", "resource": {"blob": str(data), "mimeType": str(kind)}} if (
            kind.startswith("image/")
        ):
            return picture(data, kind, pictures=pictures)
        case _:
            return InputText(text=unshown(block))


def unshown(block: Block) -> str:
    """A note in place of what a model cannot take."""
    inner = block.get("resource")
    found = inner if isinstance(inner, Mapping) else block
    data = found.get("data") or found.get("blob") or ""
    size = f", about {len(str(data)) * 3 // 4} bytes" if data else ""
    what = found.get("mimeType") or block.get("type") or "something of no known kind"
    where = f" {found['uri']}" if isinstance(found.get("uri"), str) else ""
    return f"[{what}{where}{size}: cannot be shown]"


def picture(data: str, kind: str, *, pictures: bool) -> ContentPart:
    """A picture that a model API will take, or a note why not."""
    if not pictures:
        return InputText(text=f"[{kind}: this model cannot see pictures]")
    try:
        raw = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return InputText(text=f"[{kind}: its data is broken]")
    found, size = kind_of(raw), image_size(raw)
    if found is None or size is None or 0 in size:
        return InputText(text=f"[{kind}: not a PNG, JPEG, GIF or WebP picture]")
    one = Picture(data=raw, kind=found, width=size[0], height=size[1])
    if max(size) > LONGEST_SIDE:
        one = smaller(one) or one
    if max(one.width, one.height) > MOST_SIDE or len(one.data) > MOST_BYTES:
        return InputText(text=f"[{kind}, {size[0]}×{size[1]}: too large to be shown]")
    return InputImage(image_url=one.url)


def with_few_pictures(parts: Iterable[ContentPart]) -> list[ContentPart]:
    """All texts, and the first pictures."""
    kept: list[ContentPart] = []
    shown = 0
    for part in parts:
        shown += isinstance(part, InputImage)
        kept.append(
            InputText(text="[one more picture left out]")
            if isinstance(part, InputImage) and shown > MOST_PICTURES
            else part
        )
    return kept


def for_clients(reply: Reply) -> McpResult:
    """The same as it came, as long as it is not too long."""
    left = ITEM_BYTES
    content: list[object] = []
    for block in reply.content:
        shown, size = bounded(block)
        if size > left:
            content.append({"type": "text", "text": f"[{block.get('type')} left out: too long]"})
            continue
        left -= size
        content.append(shown)
    structured = reply.structured
    if structured is not None and len(msgspec.json.encode(structured)) > left:
        content.append({"type": "text", "text": "[structured content left out: too long]"})
        structured = None
    return McpResult(content=tuple(content), structured_content=structured)


def bounded(block: Block) -> tuple[Block, int]:
    """A block with a text that is not too long, and its size."""
    text = block.get("text")
    if isinstance(text, str) and size_of(text) > SHOWN_BYTES:
        block = {**block, "text": shorten_text(text, SHOWN_BYTES)}
    return block, len(msgspec.json.encode(block))
