"""Properties of the head-and-tail buffer and of decoding in pieces."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from octavo.process.output import (
    Captured,
    HeadTailBuffer,
    Utf8Deltas,
    incomplete_suffix,
    omission_marker,
    orphaned_prefix,
)

letters = st.text(alphabet="a\n é€𝄞\u0301")
chunks = st.lists(st.binary(max_size=40), max_size=20)
sizes = st.integers(min_value=0, max_value=50)


def filled(pieces: list[bytes], head: int, tail: int) -> HeadTailBuffer:
    buffer = HeadTailBuffer(head_bytes=head, tail_bytes=tail)
    for piece in pieces:
        buffer.append(piece)
    return buffer


@given(chunks, sizes, sizes)
def test_the_first_and_the_last_bytes_are_kept_and_the_rest_is_counted(pieces, head, tail):
    whole = b"".join(pieces)
    kept = filled(pieces, head, tail).snapshot()
    assert kept.head == whole[:head]
    rest = whole[head:]
    assert kept.tail == rest[max(0, len(rest) - tail) :]
    assert kept.total_bytes == len(whole)
    assert kept.omitted_bytes == max(0, len(whole) - head - tail)


@given(chunks, sizes, sizes)
def test_the_way_it_is_cut_into_reads_makes_no_difference(pieces, head, tail):
    assert (
        filled(pieces, head, tail).snapshot() == filled([b"".join(pieces)], head, tail).snapshot()
    )


@given(letters, sizes, sizes)
def test_a_cut_never_breaks_a_letter(text, head, tail):
    shown = filled([text.encode()], head, tail).snapshot().text()
    assert "\ufffd" not in shown


@given(letters, sizes, sizes)
def test_the_marker_accounts_for_every_byte_that_is_not_shown(text, head, tail):
    captured = filled([text.encode()], head, tail).snapshot()
    shown = captured.text()
    if not captured.omitted_bytes:
        assert shown == text
        return
    before = captured.head[: len(captured.head) - incomplete_suffix(captured.head)]
    after = captured.tail[orphaned_prefix(captured.tail) :]
    missing = len(text.encode()) - len(before) - len(after)
    assert omission_marker(missing) in shown.split("\n")
    assert shown.startswith(before.decode())
    assert shown.endswith(after.decode())


def test_the_marker_stands_on_a_line_of_its_own():
    captured = Captured(head=b"begin", tail=b"end\n", total_bytes=109)
    assert captured.text() == "begin\n[... 100 bytes left out ...]\nend\n"
    captured = Captured(head=b"begin\n", tail=b"end\n", total_bytes=110)
    assert captured.text() == "begin\n[... 100 bytes left out ...]\nend\n"
    assert Captured(total_bytes=7).text() == "[... 7 bytes left out ...]\n"


def test_broken_bytes_are_replaced_not_refused():
    assert Captured(head=b"a\xffb\xc3", total_bytes=4).text() == "a\ufffdb\ufffd"


@given(chunks, sizes, sizes)
def test_taking_gives_each_byte_once(pieces, head, tail):
    buffer = HeadTailBuffer(head_bytes=head, tail_bytes=tail)
    total = 0
    for piece in pieces:
        buffer.append(piece)
        total += buffer.take(final=False).total_bytes
    total += buffer.take(final=True).total_bytes
    assert total == len(b"".join(pieces))
    assert buffer.take(final=True) == Captured()


@given(letters, st.integers(min_value=1, max_value=5))
def test_taking_in_the_middle_of_a_letter_leaves_the_letter_for_later(text, step):
    data = text.encode()
    buffer = HeadTailBuffer(head_bytes=1000, tail_bytes=1000)
    pieces = []
    for start in range(0, len(data), step):
        buffer.append(data[start : start + step])
        pieces.append(buffer.take(final=False).text())
    pieces.append(buffer.take(final=True).text())
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.binary(max_size=6)))
def test_decoding_in_pieces_equals_decoding_at_once(pieces):
    deltas = Utf8Deltas()
    decoded = [deltas.feed(piece) for piece in pieces] + [deltas.finish()]
    assert "".join(decoded) == b"".join(pieces).decode("utf-8", "replace")


@given(letters)
def test_fed_byte_by_byte_each_letter_comes_out_once_and_whole(text):
    deltas = Utf8Deltas()
    pieces = [deltas.feed(bytes([byte])) for byte in text.encode()]
    assert deltas.finish() == ""
    assert [piece for piece in pieces if piece] == list(text)


@given(st.binary(max_size=8))
def test_an_incomplete_suffix_is_what_a_decoder_would_wait_for(data):
    held = incomplete_suffix(data)
    deltas = Utf8Deltas()
    assert deltas.feed(data[: len(data) - held]) + deltas.feed(data[len(data) - held :]) == (
        data[: len(data) - held].decode("utf-8", "replace")
    )
    assert bool(deltas.finish()) == bool(held)


def test_memory_stays_bounded_however_much_is_written():
    chunk = b"y\n" * 32_768
    buffer = HeadTailBuffer(head_bytes=100_000, tail_bytes=100_000)
    tracemalloc.start()
    try:
        for _ in range(500):
            buffer.append(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert buffer.total_bytes == 500 * len(chunk)
