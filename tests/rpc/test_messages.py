"""Anything becomes a message or an error that says what is wrong; nothing raises."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.rpc.messages import (
    INVALID_REQUEST,
    PARSE_ERROR,
    Bad,
    Error,
    Failure,
    Notification,
    Request,
    Response,
    decode,
    failure,
    notification,
    reply,
    request,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
IDS = st.integers(-(2**31), 2**31) | st.text(max_size=12)
KINDS = Request | Notification | Response | Failure | Bad


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_some_message(data):
    assert isinstance(decode(data), KINDS)


@given(JSON)
def test_any_json_is_some_message(value):
    assert isinstance(decode(json.dumps(value).encode()), KINDS)


@given(IDS, st.text(max_size=20), JSON)
def test_what_is_written_is_read_back(id_, method, value):
    asked = decode(request(id_, method, value))
    assert isinstance(asked, Request)
    assert (asked.id, asked.method) == (id_, method)
    given_back = None if asked.params is None else msgspec.json.decode(asked.params)
    assert given_back == value
    told = decode(notification(method, value, 1))
    assert isinstance(told, Notification)
    answered = decode(reply(id_, value))
    assert isinstance(answered, Response)
    assert (answered.id, msgspec.json.decode(answered.result)) == (id_, value)
    refused = decode(failure(id_, Error(-32600, method)))
    assert refused == Failure(id_, -32600, method)


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"{", PARSE_ERROR, None),
        (b"\xff\xfe", PARSE_ERROR, None),
        (b"[" * 100_000, PARSE_ERROR, None),
        (b"[1]", INVALID_REQUEST, None),
        (b'"x"', INVALID_REQUEST, None),
        (b"{}", INVALID_REQUEST, None),
        (b'{"id":null,"method":"x"}', INVALID_REQUEST, None),
        (b'{"id":7}', INVALID_REQUEST, 7),
        (b'{"id":7,"method":5}', INVALID_REQUEST, 7),
        (b'{"id":true,"method":"x"}', INVALID_REQUEST, None),
        (b'{"id":{},"method":"x"}', INVALID_REQUEST, None),
        (b'{"id":1.5,"method":"x"}', INVALID_REQUEST, None),
    ],
)
def test_what_is_no_message_says_which_kind_of_wrong_it_is(line, code, id_):
    found = decode(line)
    assert isinstance(found, Bad)
    assert (found.code, found.id) == (code, id_)
