import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.model.thinking import ThoughtSplitter


def split(*pieces: str) -> tuple[str, str]:
    splitter = ThoughtSplitter()
    found = [piece for text in pieces for piece in splitter.feed(text)] + splitter.end()
    thought = "".join(text for kind, text in found if kind == "thought")
    return thought, "".join(text for kind, text in found if kind == "speech")


@pytest.mark.parametrize(
    ("text", "thought", "speech"),
    [
        ("<think>hm</think>Hi", "hm", "Hi"),
        ("\n<thinking>hm</thinking>\n\nHi", "hm", "Hi"),
        ("[THINK]hm[/THINK]Hi", "hm", "Hi"),
        ("<think>hm", "hm", ""),
        ("Hi <think>x</think>", "", "Hi <think>x</think>"),
        ("<thi", "", "<thi"),
        ("<b>Hi", "", "<b>Hi"),
        ("", "", ""),
    ],
)
def test_thoughts_and_speech_are_told_apart(text: str, thought: str, speech: str):
    assert split(text) == (thought, speech)
    assert split(*text)[0] == thought
    assert split(*text)[1].lstrip("\n") == speech


@given(st.text(max_size=30), st.text(alphabet="ab <>/think", max_size=30), st.integers(1, 5))
def test_cutting_anywhere_changes_nothing(head: str, tail: str, size: int):
    text = f"<think>{head}{tail}"
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    one, many = split(text), split(*pieces)
    assert one[0] == many[0]
    assert one[1].lstrip("\n") == many[1].lstrip("\n")
