"""What the model is shown: pairs complete, nothing too long, the same bytes each time."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.history import LOST, History, limited, paired
from octavo.protocol.content import InputImage, InputText
from octavo.protocol.history import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Message,
    Unknown,
    assistant,
)
from octavo.protocol.ids import CallId
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import encode_item


def call(name):
    return FunctionCall(name="exec_command", arguments="{}", call_id=CallId(name))


def output(name, text="ok"):
    return FunctionCallOutput(call_id=CallId(name), output=text)


@given(st.lists(st.text(max_size=50), max_size=20), st.integers(0, 400), st.integers(0, 100))
def test_a_limit_is_reached_exactly_where_the_weight_says(texts, limit, counted):
    items = [Message(role="user", content=(InputText(text=text),)) for text in texts]
    history = History(usage=TokenUsage(total=counted))
    for item in items:
        history.add(item)
    assert history.reaches(limit) == (history.tokens() >= limit)


def test_a_call_without_an_output_gets_one():
    shown = list(paired([call("a"), assistant("and")]))
    assert shown[1] == FunctionCallOutput(call_id=CallId("a"), output=LOST, id="fco_a")


def test_a_custom_call_gets_a_custom_output():
    lost = CustomToolCall(name="apply_patch", input="x", call_id=CallId("a"))
    assert isinstance(list(paired([lost]))[1], CustomToolCallOutput)


def test_an_output_without_a_call_and_an_unknown_item_are_left_out():
    assert list(paired([output("a"), Unknown(raw={"type": "new"}), assistant("x")])) == [
        assistant("x")
    ]


ITEMS = st.lists(
    st.one_of(
        st.sampled_from("abc").map(call),
        st.sampled_from("abc").map(output),
        st.just(assistant("words")),
        st.just(Unknown(raw={"type": "new"})),
    ),
    max_size=20,
)


@given(ITEMS)
def test_every_output_follows_exactly_one_open_call(items):
    open_calls = []
    for item in paired(items):
        if isinstance(item, FunctionCall):
            open_calls.append(item.call_id)
        elif isinstance(item, FunctionCallOutput):
            assert item.call_id in open_calls
            open_calls.remove(item.call_id)


@given(ITEMS)
def test_repairs_come_out_the_same_each_time(items):
    first = [encode_item(item) for item in History(items).prompt()]
    assert [encode_item(item) for item in History(items).prompt()] == first


def test_a_model_without_eyes_reads_words_instead():
    picture = Message(role="user", content=(InputText(text="see"), InputImage(image_url="data:,x")))
    history = History([picture, call("a"), output("a", (InputImage(image_url="data:,y"),))])
    shown = history.prompt(pictures=False)
    assert not any(b"data:" in encode_item(item) for item in shown)
    assert b"data:" in encode_item(history.prompt()[0])


@given(st.text(max_size=400), st.integers(min_value=8, max_value=200))
def test_recorded_outputs_are_bounded(text, most):
    kept = limited(output("a", text), most)
    assert len(kept.output.encode("utf-8", "replace")) <= most * 1.2 + 60


def test_what_came_after_the_last_count_is_estimated():
    history = History([assistant("x")])
    history.counted(TokenUsage(total=500))
    assert history.tokens() == 500
    history.add(output("a", "y" * 400))
    assert 600 <= history.tokens() < 700
