"""Which standard descriptors may cross the border, and which stay outside behind a pipe."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from octavo.sandbox.linux import stdio, sysc

pytestmark = pytest.mark.linux


@pytest.fixture
def opened(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    held = []

    def open_(flags, name="file"):
        held.append(os.open(tmp_path / name, flags | os.O_CREAT, 0o600))
        return held[-1]

    yield open_
    for fd in held:
        os.close(fd)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_flags_are_those_the_file_was_opened_with(opened, flags):
    kept = os.O_ACCMODE | os.O_APPEND
    assert sysc.flags_of(opened(flags)) & kept == flags


def test_a_closed_descriptor_is_an_error(opened):
    with pytest.raises(OSError, match=r"."):
        sysc.flags_of(987)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_file_open_for_writing_stays_outside(opened, flags):
    assert stdio.needs_relay(opened(flags))


def test_a_named_file_open_for_reading_may_be_opened_again_inside(opened):
    assert not stdio.needs_relay(opened(os.O_RDONLY))


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_file_whose_name_leads_elsewhere_stays_outside(opened, tmp_path, change):
    fd = opened(os.O_RDONLY)
    (tmp_path / "file").unlink()
    if change == "replaced":
        (tmp_path / "keeps the number away").write_text("x")
        (tmp_path / "file").write_text("another")
    assert stdio.needs_relay(fd)


def test_a_file_in_memory_stays_outside():
    fd = os.memfd_create("x")
    try:
        assert stdio.needs_relay(fd)
    finally:
        os.close(fd)


def test_pipes_devices_and_closed_ones_need_no_relay():
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    try:
        assert [stdio.needs_relay(fd) for fd in (read, write, null, 987)] == [False] * 4
    finally:
        for fd in (read, write, null):
            os.close(fd)
