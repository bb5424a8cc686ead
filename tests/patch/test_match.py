"""Where a block stands: four passes, from the cursor on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.match import Finder, places

BLOCKS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3)


def test_the_first_place_at_or_after_the_cursor_is_taken_and_the_others_are_named():
    finder = Finder(["x", "a", "x", "x"])
    assert (finder.find(["x"]).at, finder.find(["x"]).others) == (0, (2, 3))
    assert finder.find(["x"], 1).at == 2
    assert finder.find(["a"], 2) is None


def test_an_exact_place_further_down_beats_a_loose_one():
    assert Finder(["a ", "a"]).find(["a"]).at == 1


@pytest.mark.parametrize(
    ("line", "wanted", "loose"),
    [
        ("a  ", "a", ""),
        ("    a", "a", "beginning"),
        ("say \u201chi\u201d \u2013 it\u2019s\u00a0x", 'say "hi" - it\'s x', "typographic"),
    ],
)
def test_each_pass_forgives_more(line, wanted, loose):
    found = Finder(["z", line]).find([wanted])
    assert found.at == 1
    assert loose in found.loose


def test_the_end_of_the_file_is_one_place_only():
    finder = Finder(["a", "b", "a"])
    assert finder.find_last(["a"]).at == 2
    assert finder.find_last(["b"]) is None
    assert finder.find_last(["a"], 3) is None
    assert finder.find_last(["b", " a"]).loose


@given(st.lists(st.sampled_from("ab"), max_size=12), BLOCKS, st.integers(0, 5))
def test_places_are_all_places_without_overlaps(lines, block, start):
    wanted = []
    at = start
    while at <= len(lines) - len(block):
        if lines[at : at + len(block)] == block:
            wanted.append(at)
            at += len(block)
        else:
            at += 1
    assert places(lines, block, start) == wanted
