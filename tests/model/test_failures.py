import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.model import failures
from octavo.protocol.errors import ModelErrorKind as K

URL = "http://h/v1/responses"


def body(**error: object) -> str:
    return json.dumps({"error": error})


@pytest.mark.parametrize(
    ("status", "reason", "text", "kind", "message"),
    [
        (429, "Too Many Requests", "", K.RATE_LIMITED, "exceeded retry limit, last status: 429 Too Many Requests"),
        (429, "Too Many Requests", body(type="insufficient_quota"), K.QUOTA, "Quota exceeded. Check your plan and billing details."),
        (503, "Service Unavailable", body(code="server_is_overloaded"), K.OVERLOADED, "Selected model is at capacity. Please try a different model."),
        (400, "Bad Request", "anything at all", K.INVALID_REQUEST, "anything at all"),
        (400, "Bad Request", body(code="context_length_exceeded"), K.CONTEXT_WINDOW, body(code="context_length_exceeded")),
        (400, "Bad Request", body(message="prompt is too long: 3 > 2"), K.CONTEXT_WINDOW, body(message="prompt is too long: 3 > 2")),
        (401, "Unauthorized", body(message="bad key"), K.AUTH, f"unexpected status 401 Unauthorized: bad key, url: {URL}"),
        (404, "Not Found", "nothing here", K.SERVER, f"unexpected status 404 Not Found: nothing here, url: {URL}"),
        (500, "Internal Server Error", "", K.SERVER, f"unexpected status 500 Internal Server Error: the server gave no reason, url: {URL}"),
    ],
)  # fmt: skip
def test_an_http_status_becomes_a_failure(
    status: int, reason: str, text: str, kind: K, message: str
):
    found = failures.from_status(status, reason, text, url=URL)
    assert (found.kind, str(found), found.status) == (kind, message, status)


def test_a_usage_limit_tells_when_it_ends():
    text = body(type="usage_limit_reached", resets_at=1_700_000_000)
    found = failures.from_status(429, "", text, url=URL)
    assert found.kind is K.USAGE_LIMIT
    assert "2023-11-14 22:13 UTC" in str(found)
    soon = failures.in_stream({"code": "usage_limit_reached", "resets_in_seconds": 90})
    assert "in 2 minutes" in str(soon)


@pytest.mark.parametrize(
    ("error", "kind", "part"),
    [
        ({"code": "context_length_exceeded"}, K.CONTEXT_WINDOW, "context window"),
        ({"code": "invalid_prompt", "message": "No."}, K.INVALID_REQUEST, "No."),
        ({"code": "server_is_overloaded"}, K.OVERLOADED, "at capacity"),
        ({"code": "insufficient_quota"}, K.QUOTA, "Quota exceeded"),
        ({"code": "rate_limit_exceeded", "message": "try again in 0.5s"}, K.RATE_LIMITED, "rate limit exceeded: try"),
        ({"code": "odd", "message": "boom"}, K.DISCONNECTED, "stream disconnected before completion: boom"),
        ("plain words", K.DISCONNECTED, "plain words"),
        (None, K.DISCONNECTED, "no reason"),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_becomes_a_failure(error: object, kind: K, part: str):
    found = failures.in_stream(error)
    assert found.kind is kind
    assert part in str(found)


def test_a_rate_limit_carries_the_wait_it_names():
    found = failures.in_stream({"code": "rate_limit_exceeded", "message": "try again in 0.5s"})
    assert found.retry_after_ms == 500


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "resets_at", "detail"]), inner
        )
    ),
    max_leaves=6,
)


@given(values, st.integers(300, 599))
def test_no_answer_of_a_server_breaks_it(value: object, status: int):
    assert str(failures.in_stream(value))
    assert str(failures.from_status(status, "", json.dumps(value), url=URL))


@given(st.text(max_size=40))
def test_no_body_breaks_it(text: str):
    assert str(failures.from_status(500, "", text, url=URL))
