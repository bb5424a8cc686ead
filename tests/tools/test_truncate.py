"""Long texts lose their middle, never half a letter."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.content import InputImage, InputText, OutputText, Refusal
from octavo.tools.truncate import mark, shorten_parts, shorten_text, size_of, tokens

TEXTS = st.text(st.sampled_from("aä€😀\n"), max_size=60)


def test_a_token_is_four_bytes():
    assert [tokens(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_head_and_tail_stay():
    assert shorten_text("0123456789", 4) == "01…2 tokens truncated…89"
    assert shorten_text("0123456789", 10) == "0123456789"
    assert shorten_text("0123456789", 0) == "…3 tokens truncated…"


@given(TEXTS, st.integers(0, 80))
def test_what_stays_is_the_beginning_and_the_end_within_the_budget(text, most):
    short = shorten_text(text, most)
    if short == text:
        return
    assert size_of(text) > most
    head, _, rest = short.partition("…")
    _, _, tail = rest.rpartition("…")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert size_of(head) + size_of(tail) <= most
    assert size_of(head) + size_of(tail) > most - 2 * 4
    assert short == head + mark(size_of(text) - size_of(head) - size_of(tail)) + tail


def test_half_letters_are_replaced_before_they_are_cut():
    assert shorten_text("\ud800" * 9, 2) == "?…2 tokens truncated…?"


PARTS = st.lists(
    TEXTS.map(lambda text: InputText(text=text))
    | TEXTS.map(lambda text: OutputText(text=text))
    | TEXTS.map(lambda text: Refusal(refusal=text))
    | st.just(InputImage(image_url="data:x")),
    max_size=5,
)


@given(PARTS, st.integers(0, 100))
def test_parts_share_one_budget_and_pictures_stay(parts, most):
    kept = shorten_parts(parts, most)
    pictures = [part for part in parts if isinstance(part, InputImage)]
    assert [part for part in kept if isinstance(part, InputImage)] == pictures
    words = sum(size_of(part.refusal if isinstance(part, Refusal) else part.text) for part in parts if not isinstance(part, InputImage))  # fmt: skip
    if words <= most:
        assert kept == tuple(parts)


def test_texts_that_do_not_fit_are_summed_up():
    kept = shorten_parts([InputText(text="ab"), InputText(text="cd"), InputText(text="ef")], 2)
    assert [part.text for part in kept] == ["ab", "[2 more texts left out]"]
