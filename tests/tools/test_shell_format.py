"""The lines of an answer, exactly."""

from octavo.process.output import Captured
from octavo.tools.shell_format import Answer, formatted


def answer(data, **more):
    given = {"lines": data.count(b"\n"), "wall_s": 0.5, "max_tokens": 100}
    output = Captured(head=data, total_bytes=len(data))
    return formatted(Answer(output=output, **{**given, **more}))


def test_a_command_that_ended():
    assert answer(b"hello\n", chunk_id="0a1b2c", exit_code=3) == (
        "Chunk ID: 0a1b2c\nWall time: 0.5000 seconds\nProcess exited with code 3\n"
        "Original token count: 2\nOutput:\nhello\n"
    )


def test_a_command_that_runs():
    assert answer(b"", chunk_id="0a1b2c", session_id=4711) == (
        "Chunk ID: 0a1b2c\nWall time: 0.5000 seconds\nProcess running with session ID 4711\n"
        "Original token count: 0\nOutput:\n"
    )


def test_an_output_that_is_too_long_says_so_in_front():
    assert answer(b"ab\n" * 10, max_tokens=2).endswith(
        "Original token count: 8\nOutput:\n"
        "Warning: truncated output (original token count: 8)\nTotal output lines: 10\n\n"
        "ab\na…6 tokens truncated…\nab\n"
    )


def test_bytes_that_were_never_kept_say_so_too():
    output = Captured(head=b"ab", tail=b"yz", total_bytes=4_000_000)
    text = formatted(Answer(output=output, lines=7, wall_s=0, max_tokens=100))
    assert "original token count: 1000000)\nTotal output lines: 7\n\nab\n[... 3999996 bytes" in text


def test_notes_stand_below_on_lines_of_their_own():
    assert answer(b"no end", notes=("one", "two")).endswith("Output:\nno end\none\ntwo")
    assert answer(b"end\n", notes=("one",)).endswith("Output:\nend\none")
    assert answer(b"", notes=("one",)).endswith("Output:\none")
