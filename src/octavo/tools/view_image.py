"""`view_image`: a picture of the user's disk for the model to see.

Pictures are sent as they are; one that is too large is made smaller with Pillow where that is
installed, else the model is told.
"""

import asyncio
import base64
import io
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.patch.plan import Other
from octavo.protocol.content import ImageDetail, InputImage
from octavo.protocol.errors import UsageError
from octavo.protocol.events import ItemCompleted
from octavo.protocol.images import image_size
from octavo.protocol.items import ImageView
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import ToolCall, ToolContext, ToolOutput
from octavo.tools.disk import Resolver, read_seen

LONGEST_SIDE: Final = 2048
"""Pixels; a larger picture is made smaller where that is possible."""
MOST_SIDE: Final = 6000
"""Pixels; so large may be sent as it is."""
MOST_BYTES: Final = 20 << 20
BLIND: Final = "[this model cannot see pictures; {path} was not shown]"
MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Arguments(Struct):
    """Of `view_image`."""

    path: str
    detail: ImageDetail | None = None


class Picture(Struct, frozen=True, kw_only=True):
    """What is sent."""

    data: bytes
    kind: str
    width: int
    height: int

    @property
    def url(self) -> str:
        """As a `data:` URL."""
        return f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"


class ViewImage:
    """Shows pictures. With `original` the model may ask for full detail."""

    parallel = True

    def __init__(self, *, original: bool = False) -> None:
        self._original = original
        properties: dict[str, Any] = {
            "path": {"type": "string", "description": "PNG, JPEG, GIF or WebP file."}
        }
        if original:
            properties["detail"] = {
                "type": "string",
                "enum": ["auto", "original"],
                "description": "`original` shows it as it is.",
            }
        self.spec = FunctionTool(
            name="view_image",
            description="Look at a picture on this machine.",
            parameters=schema(properties, required=("path",)),
        )

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Show it. Raises UsageError saying why it cannot be shown."""
        asked = parsed(call, Arguments)
        path = Resolver(context.cwd)(asked.path)
        if not context.pictures:
            return ToolOutput(output=BLIND.format(path=path))
        full = self._original and asked.detail == "original"
        picture = await asyncio.to_thread(load, path, context, original=full)
        item = ImageView(id=call.item_id, path=path)
        context.emit(ItemCompleted(turn_id=context.turn_id, item=item))
        image = InputImage(image_url=picture.url, detail="original" if full else None)
        return ToolOutput(output=(image,))


def load(path: str, context: ToolContext, *, original: bool) -> Picture:
    """The picture, small enough to be sent. Raises UsageError."""
    picture = recognised(path, read(path, context))
    side = max(picture.width, picture.height)
    if side > LONGEST_SIDE and not original:
        picture = smaller(picture) or picture
        side = max(picture.width, picture.height)
    if side > MOST_SIDE or len(picture.data) > MOST_BYTES:
        raise UsageError(
            f"{path} is too large: {picture.width}×{picture.height} pixels, {len(picture.data)} "
            f"bytes; at most {MOST_SIDE} pixels a side and {MOST_BYTES} bytes can be shown",
            hint="Make a smaller copy with a command, or cut out what matters.",
        )
    return picture


def read(path: str, context: ToolContext) -> bytes:
    """The file as commands could read it. Raises UsageError."""
    try:
        if "\0" in path or (context.sandboxed and not context.access.reads(path)):
            raise UsageError(f"{path!r} may not be read: the permission profile hides it")
        found = read_seen(path, context)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if found is Other.MISSING:
        raise UsageError(f"there is no file {path}")
    if isinstance(found, Other):
        raise UsageError(f"{path} is {found}, not a picture")
    return found


def recognised(path: str, data: bytes) -> Picture:
    """What kind of picture it is, by its first bytes. Raises UsageError."""
    kind = kind_of(data)
    size = image_size(data)
    if kind is None or size is None or 0 in size:
        raise UsageError(f"{path} is not a PNG, JPEG, GIF or WebP picture")
    return Picture(data=data, kind=kind, width=size[0], height=size[1])


def kind_of(data: bytes) -> str | None:
    """The media type; None when it is none we send."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in MAGIC if data.startswith(magic)), None)


def smaller(picture: Picture) -> Picture | None:
    """At most LONGEST_SIDE pixels a side; None without Pillow, or when it cannot read it."""
    try:
        pillow = import_module("PIL.Image")  # an extra, 20 MB, rarely needed
    except ImportError:
        return None
    try:
        with pillow.open(io.BytesIO(picture.data)) as image:
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            out = io.BytesIO()
            image.save(out, "PNG" if picture.kind != "image/jpeg" else "JPEG")
            width, height = image.size
    except (OSError, ValueError, pillow.DecompressionBombError):
        return None
    kind = picture.kind if picture.kind == "image/jpeg" else "image/png"
    return Picture(data=out.getvalue(), kind=kind, width=width, height=height)
