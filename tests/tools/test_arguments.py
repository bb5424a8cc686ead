"""Arguments of calls, as models write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import UsageError
from octavo.protocol.ids import CallId
from octavo.tools.arguments import MOST, parsed, whole
from octavo.tools.base import ToolCall
from octavo.tools.shell import ExecArguments


def call(arguments):
    return ToolCall(call_id=CallId("c"), name="x", arguments=arguments)


def test_numbers_written_as_text_are_taken():
    asked = parsed(call('{"cmd": "ls", "yield_time_ms": "500", "tty": "true"}'), ExecArguments)
    assert (asked.yield_time_ms, asked.tty) == (500, True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cmd": 1}', '{"cmd": "x", "tty": []}', '"x"', "\ud800"]
)
def test_what_cannot_be_read_is_told(text):
    with pytest.raises(UsageError, match="failed to parse function arguments: "):
        parsed(call(text), ExecArguments)


@given(st.text())
def test_any_text_is_read_or_told(text):
    try:
        parsed(call(text), ExecArguments)
    except UsageError as error:
        assert "failed to parse" in str(error)  # noqa: PT017 - either is fine


@given(st.none() | st.floats())
def test_any_number_becomes_a_whole_one_in_bounds(value):
    found = whole(value)
    assert found is None or 0 <= found <= MOST
