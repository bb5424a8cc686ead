from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.model.sse import SseEvent, SseParser
from octavo.protocol.errors import ModelError


def parse(*chunks: bytes) -> list[SseEvent]:
    parser = SseParser()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return found + parser.close()


def data(*texts: str) -> list[SseEvent]:
    return [SseEvent(data=text) for text in texts]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", data("a", "b")),
        (b"data:a\n\n", data("a")),
        (b"data:  a\n\n", data(" a")),
        (b"data: a\ndata: b\n\n", data("a\nb")),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", data("a", "b")),
        (b"data: a\r\rdata: b\r\r", data("a", "b")),
        (b": hello\n\ndata: a\n: in between\n\n", data("a")),
        (b"event: x\ndata: a\n\ndata: b\n\n", [SseEvent(name="x", data="a"), SseEvent(data="b")]),
        (b"\xef\xbb\xbfdata: a\n\n", data("a")),
        (b"id: 1\nretry: 5\nnonsense\ndata: a\n\n", data("a")),
        (b"data: a", data("a")),
        (b"data\n\n", data("")),
        (b"event: x\n\n", []),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_the_stream_format(stream: bytes, events: list[SseEvent]):
    assert parse(stream) == events


lines = st.lists(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12), min_size=1, max_size=3
)


@given(
    st.lists(lines, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(min_value=0, max_value=120)),
)
def test_cutting_the_bytes_anywhere_changes_nothing(
    events: list[list[str]], newline: str, cuts: list[int]
):
    text = "".join("".join(f"data: {line}{newline}" for line in one) + newline for one in events)
    raw = text.encode()
    at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[a:b] for a, b in pairwise(at)]
    assert parse(*chunks) == data(*("\n".join(one) for one in events))


@given(st.lists(st.binary(max_size=30)))
def test_no_bytes_break_it(chunks: list[bytes]):
    parse(*chunks)


def test_a_line_that_never_ends_is_an_error_and_not_all_of_the_memory():
    parser = SseParser(most_bytes=100)
    for _ in range(10):
        assert parser.feed(b"data: aaaa") == []
    with pytest.raises(ModelError, match="longer than 100 bytes"):
        parser.feed(b"data: aaaa")


def test_comments_may_go_on_for_ever():
    parser = SseParser(most_bytes=100)
    for _ in range(50):
        assert parser.feed(b": still here\n") == []
    assert parser.feed(b"data: a\n\n") == data("a")
