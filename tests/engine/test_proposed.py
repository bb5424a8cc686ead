"""The plan is cut out of a message, and however the message comes in pieces the rest is the same."""

from hypothesis import example, given
from hypothesis import strategies as st

from octavo.engine.proposed import CLOSE, OPEN, Cut, PlanCutter, cut

PIECES = st.sampled_from(
    [OPEN, CLOSE, "\n", " ", "text", "<", "</", "<proposed", "_plan>", "`", "\t", "é", "1. do it"]
)


def test_the_block_is_cut_out_and_its_text_is_the_plan():
    found = cut("Here it is.\n\n<proposed_plan>\n# Do it\n- one\n</proposed_plan>\nGood luck.\n")
    assert found == Cut(text="Here it is.\n\nGood luck.\n", plan="# Do it\n- one")


def test_a_message_that_is_only_a_plan_leaves_nothing():
    assert cut("<proposed_plan>\nA\n</proposed_plan>") == Cut(text="", plan="A")
    assert cut("  <proposed_plan>A</proposed_plan>  \n") == Cut(text="", plan="A")


def test_a_block_that_never_ends_is_a_plan_to_the_end():
    assert cut("Hm.\n<proposed_plan>\nA\nB") == Cut(text="Hm.\n", plan="A\nB")


def test_of_two_blocks_the_last_counts_and_none_is_shown():
    text = "<proposed_plan>A</proposed_plan>\nbetter:\n<proposed_plan>B</proposed_plan>"
    assert cut(text) == Cut(text="better:\n", plan="B")


def test_words_about_the_tag_are_words():
    text = "I will end with `<proposed_plan>`, as told.\n  < proposed_plan>\n<proposed_pl"
    assert cut(text) == Cut(text=text)


def test_an_empty_block_is_an_empty_plan():
    assert cut("a\n<proposed_plan>\n</proposed_plan>\n") == Cut(text="a\n", plan="")


@given(st.lists(PIECES, max_size=20).map("".join), st.data())
def test_pieces_shown_are_together_the_whole_without_the_plan(text, data):
    cutter, shown, rest = PlanCutter(), "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += cutter.feed(rest[:size])
        rest = rest[size:]
    assert Cut(text=shown + cutter.end(), plan=cutter.plan) == cut(text)


@example(f"{OPEN}a{CLOSE}{OPEN}b")
@given(st.lists(PIECES, max_size=20).map("".join))
def test_no_tag_that_begins_a_line_is_ever_shown(text):
    assert not any(line.lstrip(" \t").startswith(OPEN) for line in cut(text).text.split("\n"))


@given(st.text(alphabet="ab<>\n ", max_size=40))
def test_a_message_without_a_block_stays_as_it_is(text):
    assert cut(text) == Cut(text=text)
