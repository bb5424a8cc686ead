"""`--limit NAME=VALUE` as people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.cli.limits import KINDS, SIZES, TIMES, parse
from octavo.protocol.errors import UsageError


@pytest.mark.parametrize(("word", "field", "value"), [
    ("memory=512M", "memory_bytes", 512 << 20), ("memory=1g", "memory_bytes", 1 << 30),
    ("memory=1GB", "memory_bytes", 1 << 30), ("memory=100", "memory_bytes", 100),
    ("memory=0.5k", "memory_bytes", 512), ("processes=100", "processes", 100),
    ("cpu=30", "cpu_s", 30), ("cpu=2m", "cpu_s", 120), ("cpu=1h", "cpu_s", 3600),
    ("cpu=100ms", "cpu_s", 1), ("file-size=1G", "file_bytes", 1 << 30),
    ("files=256", "open_files", 256), ("output=1M", "output_bytes", 1 << 20),
])  # fmt: skip
def test_a_limit_is_a_number_with_a_unit(word, field, value):
    parsed = parse((word,))
    assert getattr(parsed.limits, field) == value
    assert parsed.wall_s is None


@pytest.mark.parametrize(("word", "seconds"), [
    ("wall=2", 2.0), ("wall=250ms", 0.25), ("wall=1.5s", 1.5), ("wall=2m", 120.0), ("wall=1h", 3600.0),
])  # fmt: skip
def test_the_wall_clock_may_be_a_fraction(word, seconds):
    assert parse((word,)).wall_s == pytest.approx(seconds)


def test_several_limits_come_together_and_the_last_of_a_kind_counts():
    parsed = parse(("cpu=1", "memory=1k", "cpu=3", "wall=9"))
    assert (parsed.limits.cpu_s, parsed.limits.memory_bytes, parsed.wall_s) == (3, 1024, 9.0)


@pytest.mark.parametrize("word", [
    "", "=", "cpu", "cpu=", "=5", "cpu=-1", "cpu=0", "cpu=one", "cpu=1x", "cpu=1 s", "memory=1kk",
    "memory=1s", "processes=1k", "nonsense=1", "CPU=1", "wall=1e3", "wall=.5", "memory=1\n",
])  # fmt: skip
def test_anything_else_is_wrong_use_and_says_what_is_allowed(word):
    with pytest.raises(UsageError) as caught:
        parse((word,))
    assert "expected" in str(caught.value)


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 10**9))
def test_every_number_above_zero_is_taken_as_it_is(name, number):
    parsed = parse((f"{name}={number}",))
    field = KINDS[name][0]
    assert (getattr(parsed.limits, field) if field else parsed.wall_s) == number


@given(st.text(max_size=20))
def test_no_text_ends_in_anything_but_a_limit_or_wrong_use(text):
    try:
        parse((text,))
    except UsageError as wrong:
        assert str(wrong)  # noqa: PT017 - either outcome is fine


def test_units_are_what_their_names_say():
    assert SIZES["m"] == 1024 * SIZES["k"] == 1024 * 1024
    assert TIMES["h"] == 60 * TIMES["m"] == 3600 * TIMES["s"]
