from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.windows import log

AT = datetime(2026, 1, 2, 3, 4, 5, 6999, tzinfo=UTC)


def test_a_line_has_time_program_and_text():
    assert log.line(AT, "helper", "START: x") == b"[2026-01-02 03:04:05.006 helper] START: x\n"
    assert log.file_name(AT) == "sandbox.2026-01-02.log"


@given(st.text())
def test_a_line_is_one_line_of_utf_8_whatever_it_is_about(text):
    line = log.line(AT, "helper", text).decode()
    assert line.splitlines() == [line[:-1]]
