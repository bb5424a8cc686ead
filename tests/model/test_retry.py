import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.model.retry import (
    LONGEST_WAIT_MS,
    backoff_ms,
    next_retry,
    retry_after_ms,
    said_wait_ms,
    unreachable_ms,
)
from octavo.protocol.errors import ModelError, ModelErrorKind


def lost(**more: int) -> ModelError:
    return ModelError("gone", kind=ModelErrorKind.DISCONNECTED, **more)


def test_waits_double_from_a_fifth_of_a_second():
    assert [backoff_ms(n, jitter=1.0) for n in (1, 2, 3, 4, 5)] == [200, 400, 800, 1600, 3200]
    assert backoff_ms(1, jitter=0.9) == 180


@given(st.integers(-5, 10_000), st.floats(0.9, 1.1))
def test_a_wait_is_always_a_sane_number(attempt: int, jitter: float):
    assert 0 < backoff_ms(attempt, jitter=jitter) < 10**9
    assert 5_000 <= unreachable_ms(attempt) <= 60_000


def test_without_a_connection_waits_grow_to_a_minute():
    assert [unreachable_ms(n) for n in (1, 2, 3, 4, 5, 6)] == [
        5_000, 10_000, 20_000, 40_000, 60_000, 60_000,
    ]  # fmt: skip


def test_the_servers_own_wait_wins():
    notice = next_retry(lost(retry_after_ms=2_000), 1, 2, jitter=1.0)
    assert notice is not None
    assert notice.delay_ms == 2_000


def test_the_notice_reads_as_clients_know_it():
    assert str(next_retry(lost(), 1, 2, jitter=1.0)) == "Reconnecting... 1/2 (gone)"


def test_it_ends():
    assert next_retry(lost(), 3, 2, jitter=1.0) is None
    assert next_retry(lost(), 101, 1000, jitter=1.0) is None
    assert next_retry(lost(retry_after_ms=LONGEST_WAIT_MS + 1), 1, 2, jitter=1.0) is None


def test_what_cannot_heal_is_not_tried_again():
    assert next_retry(ModelError("x", kind=ModelErrorKind.QUOTA), 1, 5, jitter=1.0) is None


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Please try again in 1.898s. Visit", 1898),
        ("try again in 250ms", 250),
        ("Try again in 2 seconds", 2000),
        ("try again in 1m", 60_000),
        ("try again in 5 sheep", None),
        ("try again later", None),
    ],
)
def test_a_wait_in_a_message_is_understood(text: str, wait: int | None):
    assert said_wait_ms(text) == wait


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("2", 2000),
        ("0.5", 500),
        (None, None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90_000),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
        ("Thu, 99 Jan 1970 00:00:01 GMT", None),
    ],
)
def test_a_retry_after_header_is_understood(header: str | None, wait: int | None):
    assert retry_after_ms(header, now_s=10.0) == wait


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_waits(text: str):
    said_wait_ms(text)
    retry_after_ms(text, now_s=0)
