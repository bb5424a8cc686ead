import base64

import msgspec

from octavo.protocol.content import InputImage, InputText
from octavo.protocol.history import FunctionCallOutput, Message, Reasoning, Unknown
from octavo.protocol.usage import (
    IMAGE_BYTES,
    TokenUsage,
    active_tokens,
    encode_usage,
    estimate_item,
    percent_left,
    tokens_of_text,
    usable_window,
)
from octavo.protocol.wire import encode_item


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + bytes(8)
    data = head + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes(4000)
    return "data:image/png;base64," + base64.b64encode(data).decode()


def user(*parts: InputText | InputImage) -> Message:
    return Message(role="user", content=parts)


def test_usage_adds_up():
    one = TokenUsage(input=1, cached_input=2, cache_write_input=3, output=4, total=5)
    assert one + one == TokenUsage(input=2, cached_input=4, cache_write_input=6, output=8, total=10)


def test_the_wire_names_end_in_tokens():
    assert encode_usage(TokenUsage(input=3))["input_tokens"] == 3
    assert msgspec.json.decode(b'{"output_tokens":4}', type=TokenUsage).output == 4


def test_text_counts_a_quarter_of_its_bytes():
    assert tokens_of_text("") == 0
    assert tokens_of_text("abcde") == 2
    item = user(InputText(text="x" * 400))
    assert estimate_item(item) == -(-len(encode_item(item)) // 4)


def test_sealed_reasoning_is_weighed_without_its_wrapping():
    assert estimate_item(Reasoning(encrypted_content="x" * 4000)) == (3000 - 650 + 3) // 4
    assert estimate_item(Reasoning(encrypted_content="x")) == 0


def test_a_picture_weighs_the_same_whatever_its_length():
    small, large = png(10, 10), png(10, 10) + "A" * 100_000
    both = {estimate_item(user(InputImage(image_url=url))) for url in (small, large)}
    assert len(both) == 1
    assert IMAGE_BYTES / 4 < both.pop() < IMAGE_BYTES / 4 + 30


def test_a_picture_at_full_detail_weighs_its_patches():
    item = user(InputImage(image_url=png(640, 64), detail="original"))
    assert 40 <= estimate_item(item) < 80
    huge = user(InputImage(image_url=png(100_000, 100_000), detail="original"))
    assert 10_000 <= estimate_item(huge) < 10_050


def test_pictures_in_tool_answers_count_too():
    part = InputImage(image_url=png(1, 1))
    assert estimate_item(FunctionCallOutput(call_id="c", output=(part,))) > 1_800


def test_what_is_never_sent_weighs_nothing():
    assert estimate_item(Unknown(raw={"type": "x", "much": "y" * 1000})) == 0


def test_the_window_fills_with_what_came_since_the_last_count():
    new = user(InputText(text="x" * 4000))
    assert active_tokens(TokenUsage(total=500), (new,)) == 500 + estimate_item(new)
    assert active_tokens(None, ()) == 0


def test_what_people_see_as_left_excludes_the_baseline():
    assert usable_window(100_000) == 95_000
    assert percent_left(0, 112_000) == percent_left(12_000, 112_000) == 100
    assert percent_left(62_000, 112_000) == 50
    assert percent_left(500_000, 112_000) == 0
    assert percent_left(1, 8_000) == 0
