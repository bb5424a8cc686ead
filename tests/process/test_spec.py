import os
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.process.spec import ExitStatus, OutputCaps, Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import UsageError


@given(st.integers(min_value=0, max_value=255))
def test_an_exit_code_is_read_from_the_wait_status(code):
    assert ExitStatus.from_wait_status(code << 8) == ExitStatus(code=code)


@pytest.mark.skipif(sys.platform == "win32", reason="no wait statuses there")
@given(st.integers(min_value=0, max_value=0xFF7F))
def test_a_wait_status_means_what_the_system_says_it_means(status):
    if not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
        return
    known = os.waitstatus_to_exitcode(status)
    found = ExitStatus.from_wait_status(status)
    assert found == (ExitStatus(code=known) if known >= 0 else ExitStatus(signal=-known))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ExitStatus(code=0), 0),
        (ExitStatus(code=3), 3),
        (ExitStatus(signal=9), 137),
        (ExitStatus(signal=15), 143),
        (ExitStatus(), 255),
    ],
)
def test_one_number_says_it_as_a_shell_does(status, code):
    assert status.shell_code == code
    assert status.ok == (code == 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"argv": ("a\0b",)},
        {"argv": ("a",), "cwd": ""},
        {"argv": ("a",), "cwd": "x\0"},
        {"argv": ("a",), "env": {"A=B": "c"}},
        {"argv": ("a",), "env": {"": "c"}},
        {"argv": ("a",), "env": {"A": "c\0"}},
    ],
)
def test_what_no_system_can_start_is_refused_at_once(wrong):
    with pytest.raises(UsageError):
        ProcessSpec(**{"env": {}, **wrong})


@pytest.mark.parametrize(("rows", "cols"), [(0, 80), (24, 0), (-1, 80), (24, 65_536)])
def test_a_terminal_has_a_size_the_kernel_can_hold(rows, cols):
    with pytest.raises(UsageError):
        Terminal(rows=rows, cols=cols)


def test_negative_caps_are_refused():
    with pytest.raises(UsageError):
        OutputCaps(tail_bytes=-1)


def test_a_spec_survives_the_wire():
    spec = ProcessSpec(
        argv=("a", "b"), env={"A": "b"}, cwd="/", stdio=Terminal(rows=3), caps=OutputCaps()
    )
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ProcessSpec) == spec
    assert msgspec.convert({"argv": ["a"], "env": {}}, ProcessSpec).stdio == Pipes()
