"""Pictures for the model to see."""

import base64
import json
import struct
import zlib

import pytest

from octavo.protocol.errors import UsageError
from octavo.tools.view_image import MOST_SIDE, ViewImage


def png(width, height):
    def part(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(width) for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


async def view(world, path, *, original=False, **more):
    detail = more.pop("detail", None)
    arguments = {"path": path, **({"detail": detail} if detail else {})}
    call = world.call("view_image", json.dumps(arguments))
    return await ViewImage(original=original).run(call, world.context(**more))


async def test_a_picture_becomes_a_data_url(world):
    (world.folder / "a.png").write_bytes(png(3, 2))
    (image,) = (await view(world, "a.png")).output
    assert image.image_url == "data:image/png;base64," + base64.b64encode(png(3, 2)).decode()
    assert world.events[0].item.path == str(world.folder / "a.png")


async def test_full_detail_only_where_it_is_offered(world):
    (world.folder / "a.png").write_bytes(png(3, 2))
    assert (await view(world, "a.png", detail="original")).output[0].detail is None
    assert (await view(world, "a.png", original=True, detail="original")).output[
        0
    ].detail == "original"
    assert "detail" in ViewImage(original=True).spec.parameters["properties"]
    assert "detail" not in ViewImage().spec.parameters["properties"]


async def test_a_model_that_cannot_see_gets_words(world):
    answer = await view(world, "a.png", pictures=False)
    assert "cannot see pictures" in answer.output
    assert world.events == []


@pytest.mark.parametrize(
    ("path", "words"),
    [("no.png", "there is no file"), (".", "a folder"), ("text", "not a PNG"), ("secret", "hides")],
)
async def test_what_cannot_be_shown_is_told(world, path, words):
    (world.folder / "text").write_text("hello")
    world.access.hidden.add(str(world.folder / "secret"))
    with pytest.raises(UsageError, match=words):
        await view(world, path)


async def test_a_picture_that_is_too_large_is_told(world):
    whole = png(1, 1)
    large = whole[:16] + struct.pack(">II", MOST_SIDE + 1, 1) + whole[24:]
    (world.folder / "large.png").write_bytes(large)
    with pytest.raises(UsageError, match="too large: 6001×1 pixels"):
        await view(world, "large.png")


async def test_a_pipe_is_not_waited_for(world):
    import os

    os.mkfifo(world.folder / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        await view(world, "pipe")
