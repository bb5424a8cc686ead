from hypothesis import given
from hypothesis import strategies as st

from octavo.exec.plain import plain, unstyled


@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text):
    shown = plain(text)
    assert not any(char < " " and char not in "\n\t" for char in shown)
    assert not any("\x7f" <= char <= "\x9f" or char in "\u202e\u2066" for char in shown)


@given(st.text(st.characters(exclude_categories=["C"])))
def test_words_in_any_language_stay_as_they_are(text):
    assert plain(text) == text


def test_spaces_and_joined_signs_of_all_kinds_stay():
    text = "a\u00a0b\u3000c \U0001f469\u200d\U0001f4bb\ttab\nline"
    assert plain(text) == text


def test_what_is_taken_out_can_be_seen():
    assert plain("a\x1b[2Jb\rc\r\nd") == "a\\x1b[2Jb\\x0dc\nd"
    assert plain("rm \u202etxt.exe") == "rm \\u202etxt.exe"


def test_colours_of_an_output_are_left_out():
    assert unstyled("\x1b[1;31mred\x1b[0m\x1b[K \x1b]0;title\x07") == "red \\x1b]0;title\\x07"
