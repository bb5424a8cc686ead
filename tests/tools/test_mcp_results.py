"""What models and clients get of a result."""

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.mcp.base import Reply
from octavo.protocol.content import InputImage, InputText
from octavo.tools import mcp_results
from octavo.tools.mcp_results import for_clients, for_model


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width=1, height=1):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0" * 4)), chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def text(words):
    return {"type": "text", "text": words}


def image(data, kind="image/png"):
    return {"type": "image", "data": data, "mimeType": kind}


def shown(*content, structured=None, is_error=False, pictures=True, output_tokens=10_000):
    reply = Reply(content=content, structured=structured, is_error=is_error)
    return for_model(reply, seconds=0.25, output_tokens=output_tokens, pictures=pictures)


def body(found):
    head = "Wall time: 0.2500 seconds\nOutput:\n"
    assert found.startswith(head)
    return found[len(head) :]


def test_structured_content_stands_for_the_texts():
    assert body(shown(text("a: 1"), structured={"a": 1})) == '{"a":1}'


def test_the_words_of_an_error_are_not_replaced():
    assert body(shown(text("broken"), structured={"a": 1}, is_error=True)) == "broken"


def test_texts_are_joined():
    assert body(shown(text("one"), text("two"))) == "one\ntwo"


def test_pictures_come_in_their_place():
    head, before, picture, after = shown(text("a"), image(png()), text("b"))
    assert head.text == "Wall time: 0.2500 seconds\nOutput:\n"
    assert (before, after) == (InputText(text="a"), InputText(text="b"))
    assert picture.image_url == f"data:image/png;base64,{png()}"


def test_pictures_beside_structured_content_are_kept():
    parts = shown(text("x"), image(png()), structured={"a": 1})
    assert [type(part) for part in parts] == [InputText, InputText, InputImage]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (image("!!!"), "not a PNG"),
        (image(base64.b64encode(b"GIF, not").decode(), "image/gif"), "not a PNG"),
        (image(png(50_000, 50_000)), "too large to be shown"),
        ({"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}, "audio/wav, about 3 bytes"),
        ({"type": "resource_link", "uri": "a://b", "name": "b", "description": "c"},
         "resource a://b — b — c"),
        ({"type": "resource", "resource": {"uri": "a://b", "text": "hi"}}, "resource a://b:\nhi"),
        ({"type": "resource", "resource": {"uri": "a://b", "blob": "AAAA"}}, "a://b, about 3 bytes"),
        ({"type": "hologram"}, "[hologram: cannot be shown]"),
        ({}, "something of no known kind"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_named(block, words):
    assert words in body(shown(block))


def test_a_picture_in_a_resource_is_a_picture():
    resource = {"uri": "a://b", "blob": png(), "mimeType": "image/png"}
    parts = shown({"type": "resource", "resource": resource})
    assert isinstance(parts[-1], InputImage)


def test_a_model_that_cannot_see_is_told_of_pictures():
    assert "this model cannot see pictures" in body(shown(image(png()), pictures=False))


def test_only_so_many_pictures_are_shown():
    parts = shown(*[image(png())] * 25)
    assert sum(isinstance(part, InputImage) for part in parts) == mcp_results.MOST_PICTURES


def test_long_texts_are_cut_in_the_middle():
    found = body(shown(text("a" * 5000 + "z" * 5000), output_tokens=100))
    assert found.startswith("aaa")
    assert found.endswith("zzz")
    assert len(found) < 500


def test_clients_get_a_result_as_it_came():
    found = for_clients(Reply(content=(text("a"), image(png())), structured={"a": 1}))
    assert found.content == (text("a"), image(png()))
    assert found.structured_content == {"a": 1}


def test_clients_get_no_more_than_they_can_bear():
    huge = image("A" * (mcp_results.ITEM_BYTES + 1))
    found = for_clients(Reply(content=(huge, text("a")), structured={"a": "b" * 9_000_000}))
    assert found.content[0] == text("[image left out: too long]")
    assert found.content[1] == text("a")
    assert found.content[2] == text("[structured content left out: too long]")
    assert found.structured_content is None


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "audio", "resource", "resource_link"]) | json},
    optional=dict.fromkeys(("text", "data", "mimeType", "resource", "uri", "name"), json),
)


@given(st.lists(blocks, max_size=4), json, st.booleans())
def test_whatever_a_server_sends_can_be_told(content, structured, is_error):
    reply = Reply(content=tuple(content), structured=structured, is_error=is_error)
    found = for_model(reply, seconds=0, output_tokens=50, pictures=True)
    assert found
    for_clients(reply)
