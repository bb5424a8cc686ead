import base64

from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.images import image_size, original_tokens

GIF = b"GIF89a" + (300).to_bytes(2, "little") + (20).to_bytes(2, "little") + bytes(10)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x04ab"  # an application block first
    b"\xff\xc0\x00\x11\x08" + (20).to_bytes(2, "big") + (300).to_bytes(2, "big") + bytes(10)
)
WEBP_X = (
    b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (299).to_bytes(3, "little") + (19).to_bytes(3, "little")
)
WEBP_L = (
    b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + (299 | 19 << 14).to_bytes(4, "little") + bytes(9)
)
WEBP = (
    b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + (300).to_bytes(2, "little") + (20).to_bytes(2, "little")
)


def test_all_four_formats_tell_their_size():
    for data in (GIF, JPEG, WEBP_X, WEBP_L, WEBP):
        assert image_size(data) == (300, 20)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", GIF, WEBP]))
def test_no_bytes_break_it(tail: bytes, head: bytes):
    image_size(head[:20] + tail)


@given(st.text(max_size=80))
def test_no_url_breaks_it(url: str):
    original_tokens(url)
    original_tokens("data:image/png;base64," + url)


def test_a_picture_costs_a_token_per_patch():
    url = "data:image/gif;base64," + base64.b64encode(GIF + bytes(2)).decode()
    assert original_tokens(url) == 10
