"""What a shortened history keeps: whole steps, the user's words, the ledger."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.compact import cut_at, kept_words, replacement, summary_message, without_oldest
from octavo.engine.history import paired
from octavo.engine.ledger import Ledger, recovered
from octavo.engine.window import Limits, due
from octavo.protocol.content import InputText
from octavo.protocol.history import (
    FunctionCall,
    FunctionCallOutput,
    Message,
    Reasoning,
    SummaryText,
    assistant,
)
from octavo.protocol.ids import CallId
from octavo.protocol.usage import estimate_items


def user(text):
    return Message(role="user", content=(InputText(text=text),))


def call(name):
    return FunctionCall(name="exec_command", arguments='{"cmd":"ls"}', call_id=CallId(name))


def output(name, text="ok"):
    return FunctionCallOutput(call_id=CallId(name), output=text)


def thought(text):
    return Reasoning(summary=(SummaryText(text=text),), content=None)


STEPS = st.lists(
    st.one_of(
        st.text(max_size=80).map(lambda text: [user(text)]),
        st.text(max_size=80).map(lambda text: [assistant(text)]),
        st.integers(1, 4).map(
            lambda n: [
                thought("hm"),
                *(call(f"c{n}-{i}") for i in range(n)),
                *(output(f"c{n}-{i}", "x" * 50 * n) for i in range(n)),
            ]
        ),
    ),
    min_size=1,
    max_size=30,
)


def renumbered(steps):
    """Every call of a thread has an id of its own."""
    found = []
    for at, step in enumerate(steps):
        for item in step:
            match item:
                case FunctionCall(call_id=name):
                    found.append(call(f"{at}-{name}"))
                case FunctionCallOutput(call_id=name, output=text):
                    found.append(output(f"{at}-{name}", text))
                case _:
                    found.append(item)
    return found


def calls_and_outputs(items):
    calls = {item.call_id for item in items if isinstance(item, FunctionCall)}
    outputs = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
    return calls, outputs


@given(STEPS, st.integers(0, 3000))
def test_the_end_that_stays_fits_and_parts_nothing(steps, budget):
    items = renumbered(steps)
    at = cut_at(items, budget)
    tail = items[at:]
    assert estimate_items(tuple(tail)) <= budget
    calls, outputs = calls_and_outputs(tail)
    assert calls == outputs
    assert at == 0 or not isinstance(items[at - 1], Reasoning | FunctionCall)


@given(STEPS, st.integers(100, 3000))
def test_the_new_history_can_always_be_sent(steps, window):
    items = renumbered(steps)
    limits = Limits(window=window)
    new = replacement(
        items, opening=(user("<environment_context>"),), summary="s", ledger=Ledger(), limits=limits
    )
    assert list(paired(new)) == new
    assert sum(isinstance(item, Message) and "<context_summary>" in item.text for item in new) == 1


@given(STEPS)
def test_dropping_the_oldest_ends_and_leaves_no_output_alone(steps):
    items = renumbered(steps)
    rounds = 0
    while len(items) > 1:
        shorter = without_oldest(items)
        assert len(shorter) < len(items)
        calls, outputs = calls_and_outputs(shorter)
        assert outputs <= calls or len(shorter) == 1
        items = shorter
        rounds += 1
        assert rounds < 400


def test_the_end_begins_with_the_users_turn_where_that_fits():
    items = [user("a" * 4000), assistant("b"), user("next"), call("1"), output("1"), assistant("c")]
    assert cut_at(items, 900) == 2


def test_a_turn_too_long_is_kept_in_part():
    items = [user("go"), call("1"), output("1", "x" * 9000), assistant("done"), assistant("so")]
    assert cut_at(items, 300) == 3


def test_the_users_newest_words_stay_whole_and_the_oldest_is_cut_in_the_middle():
    items = [user("first " * 400), assistant("no"), user("<skill>x</skill>"), user("second")]
    kept = kept_words(items, 200)
    assert kept[-1] == user("second")
    assert len(kept) == 2
    assert kept[0].text.startswith("first first")
    assert "truncated" in kept[0].text


def test_an_earlier_summary_is_not_the_users_word():
    items = [summary_message("old", Ledger(goal="g")), user("new")]
    assert kept_words(items, 1000) == [user("new")]
    assert recovered(items).goal == "g"


def test_the_threshold_is_the_smaller_of_window_and_setting():
    assert Limits(window=100_000).threshold == 90_000
    assert Limits(window=100_000, limit=50_000).threshold == 50_000
    assert Limits(window=None, limit=50_000).threshold == 50_000
    assert not due(10**9, Limits(window=None))
    assert due(90_000, Limits(window=100_000))
