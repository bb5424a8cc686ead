"""Records of fixed size: what is sent is what is read, and nothing else is taken for one."""

import os
import signal
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("wait statuses are POSIX", allow_module_level=True)

from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.linux import status

WORD = st.integers(0, 2**32 - 1)


@given(kind=WORD, index=WORD, errno=WORD, value=WORD)
def test_a_record_comes_back_as_it_was_sent(kind, index, errno, value):
    sent = status.Record(kind, index=index, errno=errno, value=value)
    found = status.decode(sent.encode())
    assert (found.kind, found.index, found.errno, found.value) == (kind, index, errno, value)


@given(st.binary(max_size=64).filter(lambda data: len(data) != status.SIZE))
def test_anything_of_another_size_is_no_record(data):
    assert status.decode(data) is None


def test_a_record_fits_the_pipe_in_one_piece():
    assert len(status.Record(status.EXITED, value=-1).encode()) == status.SIZE <= 4096


def test_sending_to_nobody_is_not_an_error():
    read, write = os.pipe()
    os.close(read)
    status.send(write, status.Record(status.READY))
    os.close(write)
    status.send(write, status.Record(status.READY))


@pytest.mark.parametrize("code", [0, 1, 2, 125, 126, 127, 255])
def test_an_exit_code_stays_what_it_is(code):
    assert status.shell_code(code << 8) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_is_128_and_its_number(number):
    assert status.shell_code(number) == 128 + number
    assert status.shell_code(number | 0x80) == 128 + number  # with a core dump
