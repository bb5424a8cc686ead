"""Where the prompt comes from: the table of the published program, row by row."""

import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

if os.name != "posix":
    pytest.skip("pipes cannot be waited on here", allow_module_level=True)

from octavo.exec import prompt
from octavo.exec.prompt import NoPromptError, decode, prompt_from, read_all, read_ready
from octavo.protocol.errors import OctavoError


@pytest.fixture
def ask(tmp_path):
    """`ask(word, data)`: the prompt and the notes; data None: /dev/null."""

    def once(word, data=None, **more):
        path = os.devnull
        if data is not None:
            path = tmp_path / "stdin"
            path.write_bytes(data)
        fd, notes = os.open(path, os.O_RDONLY), []
        try:
            return prompt_from(word, fd, note=notes.append, **more), notes
        finally:
            os.close(fd)

    return once


@pytest.mark.parametrize(("word", "data", "prompt_", "notes"), [
    ("-", b"data\n", "data\n", []),
    (None, b"data\n", "data\n", [prompt.READING]),
    ("P", b"DATA\n", "P\n\n<stdin>\nDATA\n</stdin>", [prompt.READING_MORE]),
    ("P", b"DATA", "P\n\n<stdin>\nDATA\n</stdin>", [prompt.READING_MORE]),
    ("P", b" \n", "P", [prompt.READING_MORE]),
    ("P", b"", "P", []),
    ("P", None, "P", []),
    ("", None, "", []),
])  # fmt: skip
def test_the_prompt_is_put_together_as_published(ask, word, data, prompt_, notes):
    assert ask(word, data) == (prompt_, notes)


def test_a_resumed_thread_with_a_prompt_reads_nothing(ask):
    assert ask("P", b"data", resumed=True) == ("P", [])
    assert ask("-", b"data", resumed=True) == ("data", [])


@pytest.mark.parametrize("data", [None, b"", b" \n"])
def test_nothing_at_all_is_no_prompt(ask, data):
    with pytest.raises(NoPromptError, match="No prompt provided via stdin"):
        ask(None, data)


def test_people_are_told_before_the_wait():
    told = []
    read, write = os.pipe()

    def note(line):
        told.append(line)
        os.write(write, b"now")
        os.close(write)

    try:
        assert prompt_from(None, read, note=note) == "now"
    finally:
        os.close(read)
    assert told == [prompt.READING]


def test_an_open_pipe_that_says_nothing_is_left_alone_and_that_is_said():
    read, write = os.pipe()
    notes = []
    try:
        assert prompt_from("P", read, note=notes.append) == "P"
    finally:
        os.close(read)
        os.close(write)
    assert notes == [prompt.SILENT]


def test_a_pipe_that_pauses_gives_what_came_and_that_is_said():
    read, write = os.pipe()
    notes = []
    os.write(write, b"half")
    try:
        assert read_ready(read, notes.append, pause_s=0.01) == b"half"
    finally:
        os.close(read)
        os.close(write)
    assert notes == [prompt.READING_MORE, prompt.PAUSED.format(0.01)]


def test_a_closed_standard_input_is_an_empty_one():
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert prompt_from("P", read, note=pytest.fail) == "P"


@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig", "utf-8"])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")))
def test_text_is_read_in_each_coding_that_says_so(coding, text):
    assert decode(text.encode(coding)) == text


@given(st.binary())
def test_bytes_are_text_or_a_clear_refusal(data):
    with contextlib.suppress(OctavoError):
        decode(data)


def test_the_first_bad_byte_is_named():
    with pytest.raises(OctavoError, match=r"invalid byte at offset 2\)"):
        decode(b"ab\xff")


def test_too_much_is_refused(tmp_path):
    (tmp_path / "much").write_bytes(b"x" * 11)
    fd = os.open(tmp_path / "much", os.O_RDONLY)
    try:
        with pytest.raises(OctavoError, match="more than 10 bytes"):
            read_all(fd, at_most=10)
        os.lseek(fd, 0, os.SEEK_SET)
        with pytest.raises(OctavoError, match="more than 10 bytes"):
            read_ready(fd, [].append, at_most=10)
    finally:
        os.close(fd)
