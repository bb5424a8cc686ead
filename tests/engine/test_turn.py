"""The turn machine, as transcripts: what is fed, what it asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.turn import (
    AskToEnd,
    Begin,
    CancelTools,
    Failed,
    Finish,
    Interrupt,
    ItemArrived,
    MayEnd,
    Outcome,
    Record,
    ResponseDone,
    RunTool,
    Sample,
    SampleFailed,
    State,
    Steer,
    StopSampling,
    ToolDone,
    TurnMachine,
)
from octavo.protocol.content import InputText
from octavo.protocol.history import FunctionCall, FunctionCallOutput, Message, assistant
from octavo.protocol.ids import CallId


def user(text):
    return Message(role="user", content=(InputText(text=text),))


def call(name):
    return FunctionCall(name="exec_command", arguments="{}", call_id=CallId(name))


def output(name, text="ok"):
    return FunctionCallOutput(call_id=CallId(name), output=text)


def done(name, text="ok"):
    return ToolDone(CallId(name), output(name, text))


class Play:
    """Feeds a machine and remembers what it asked for since the last look."""

    def __init__(self, retries=5, *, objects=False):
        self.machine = TurnMachine(retries=retries)
        self.asked = []
        self.objects = objects
        """Somebody else answers `AskToEnd`; else nobody objects."""

    def feed(self, *events):
        for event in events:
            self.asked += list(self.machine.feed(event))
            if self.asked[-1:] == [AskToEnd()] and not self.objects:
                self.asked[-1:] = self.machine.feed(MayEnd())
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
def play():
    return Play()


def test_a_message_alone_ends_the_turn(play):
    assert play.feed(Begin((user("hi"),))) == [Record((user("hi"),)), Sample()]
    said = assistant("hello")
    assert play.feed(ItemArrived(said), ResponseDone()) == [
        Record((said,)),
        Finish(Outcome.COMPLETED),
    ]


def test_a_tool_starts_while_the_response_still_comes_in(play):
    play.feed(Begin(()))
    assert play.feed(ItemArrived(call("a"))) == [Record((call("a"),)), RunTool(call("a"))]
    assert play.feed(done("a")) == []
    assert play.feed(ResponseDone()) == [Record((output("a"),)), Sample()]


def test_tools_that_finish_out_of_order_are_recorded_in_the_order_of_their_calls(play):
    play.feed(Begin(()), ItemArrived(call("a")), ItemArrived(call("b")), ResponseDone())
    assert play.feed(done("b", "B")) == []
    assert play.feed(done("a", "A")) == [Record((output("a", "A"), output("b", "B"))), Sample()]


def test_what_a_tool_adds_stands_right_after_its_output(play):
    play.feed(Begin(()), ItemArrived(call("a")), ResponseDone())
    answer = ToolDone(CallId("a"), output("a"), also=(user("a picture"),))
    assert play.feed(answer)[0] == Record((output("a"), user("a picture")))


def test_a_response_without_any_item_ends_the_turn(play):
    play.feed(Begin(()))
    assert play.feed(ResponseDone()) == [Finish(Outcome.COMPLETED)]


def test_whoever_objects_to_the_end_is_heard_by_the_model():
    play = Play(objects=True)
    play.feed(Begin(()))
    assert play.feed(ResponseDone()) == [AskToEnd()]
    more = (user("the tests still fail"),)
    assert play.feed(MayEnd(more)) == [Record(more), Sample()]
    assert play.feed(ResponseDone()) == [AskToEnd()]
    assert play.feed(MayEnd()) == [Finish(Outcome.COMPLETED)]


def test_words_that_come_while_somebody_is_asked_go_on_with_the_turn():
    play = Play(objects=True)
    play.feed(Begin(()), ResponseDone())
    assert play.machine.steerable
    more = (user("one more thing"),)
    assert play.feed(Steer(more)) == []
    assert play.feed(MayEnd()) == [Record(more), Sample()]


def test_an_interrupt_while_somebody_is_asked_ends_the_turn():
    play = Play(objects=True)
    play.feed(Begin(()), ResponseDone())
    assert play.feed(Interrupt()) == [Finish(Outcome.INTERRUPTED)]
    assert play.feed(MayEnd((user("too late"),))) == []


def test_a_server_that_wants_another_request_gets_it(play):
    play.feed(Begin(()))
    assert play.feed(ResponseDone(end_turn=False)) == [Sample()]


def test_words_that_come_while_the_model_writes_start_a_new_request(play):
    play.feed(Begin(()))
    more = (user("shorter"),)
    assert play.feed(Steer(more)) == [StopSampling(), Record(more), Sample()]


def test_words_that_come_while_a_tool_runs_wait_for_its_output(play):
    play.feed(Begin(()), ItemArrived(call("a")), ResponseDone())
    more = (user("shorter"),)
    assert play.feed(Steer(more)) == []
    assert play.feed(done("a")) == [Record((output("a"),)), Record(more), Sample()]


def test_the_rest_of_a_stopped_response_is_ignored(play):
    play.feed(Begin(()), ItemArrived(call("a")), Steer((user("no"),)))
    assert play.feed(ItemArrived(assistant("late")), ResponseDone()) == []


def test_a_broken_stream_keeps_its_finished_items_and_asks_again(play):
    play.feed(Begin(()))
    broken = SampleFailed("cut", retry_ms=200)
    asked = play.feed(ItemArrived(call("a")), broken)
    assert asked == [Record((call("a"),)), RunTool(call("a"))]
    assert play.feed(done("a")) == [Record((output("a"),)), Sample(200, "cut", 1)]


def test_retries_are_counted_per_request_and_end(play):
    play = Play(retries=2)
    play.feed(Begin(()))
    broken = SampleFailed("cut", code="disconnected", retry_ms=1, exit_code=6)
    assert [play.feed(broken)[-1].attempt for _ in range(2)] == [1, 2]
    error = Failed("cut", "disconnected", None, 6)
    assert play.feed(broken) == [StopSampling(), Finish(Outcome.FAILED, error)]


def test_a_finished_response_makes_the_retries_new(play):
    play.feed(Begin(()), SampleFailed("cut", retry_ms=1))
    play.feed(ResponseDone(end_turn=False))
    assert play.feed(SampleFailed("cut", retry_ms=1))[-1].attempt == 1


def test_an_error_that_cannot_heal_ends_the_turn_at_once(play):
    play.feed(Begin(()))
    asked = play.feed(SampleFailed("no such model", code="invalid_request"))
    assert asked[-1] == Finish(Outcome.FAILED, Failed("no such model", "invalid_request"))


def test_an_interrupt_waits_for_every_output_and_leaves_a_marker(play):
    play.feed(Begin(()), ItemArrived(call("a")), ItemArrived(call("b")), done("a"))
    marker = user("stopped")
    assert play.feed(Interrupt(marker)) == [StopSampling(), CancelTools()]
    assert play.feed(done("b", "aborted")) == [
        Record((output("a"), output("b", "aborted"))),
        Record((marker,)),
        Finish(Outcome.INTERRUPTED),
    ]


def test_what_was_queued_is_not_lost_by_an_interrupt(play):
    play.feed(Begin(()), ItemArrived(call("a")), ResponseDone(), Steer((user("and"),)))
    play.feed(Interrupt())
    assert Record((user("and"),)) in play.feed(done("a"))


def test_late_news_is_not_an_error(play):
    play.feed(Begin(()), ResponseDone())
    assert play.feed(done("a"), Interrupt(), ResponseDone(), Steer(())) == []


def test_nonsense_is_our_defect(play):
    with pytest.raises(RuntimeError, match="ResponseDone while IDLE"):
        play.feed(ResponseDone())


EVENTS = st.lists(
    st.one_of(
        st.sampled_from("abcdef").map(lambda name: ItemArrived(call(name))),
        st.sampled_from("abcdef").map(done),
        st.just(ItemArrived(assistant("words"))),
        st.sampled_from([None, True, False]).map(ResponseDone),
        st.sampled_from([None, 5]).map(lambda ms: SampleFailed("broken", retry_ms=ms)),
        st.just(Steer((user("more"),))),
        st.just(Interrupt(user("stopped"))),
        st.just(Failed("disk full")),
    ),
    max_size=40,
)


@given(EVENTS)
def test_whatever_happens_each_call_gets_its_output_before_the_turn_is_over(events):
    machine = TurnMachine(retries=2)
    running, asked = set(), list(machine.feed(Begin((user("go"),))))
    sampling = True
    for event in events:
        if isinstance(event, ToolDone):
            if event.call_id not in running:
                continue
            running.discard(event.call_id)
        elif isinstance(event, ItemArrived | ResponseDone | SampleFailed) and not sampling:
            continue  # the driver closed that stream
        elif isinstance(event, ItemArrived) and RunTool(event.item) in asked:
            continue  # ids are unique
        for command in machine.feed(event):
            asked.append(command)
            running |= {command.call.call_id} if isinstance(command, RunTool) else set()
        sampling = machine.state is State.SAMPLING
    asked += [command for name in sorted(running) for command in machine.feed(done(name))]
    if machine.state is not State.OVER:
        asked += machine.feed(Interrupt())
    assert machine.state is State.OVER
    assert isinstance(asked[-1], Finish)
    recorded = [item for command in asked if isinstance(command, Record) for item in command.items]
    calls = [item.call_id for item in recorded if isinstance(item, FunctionCall)]
    outputs = [item.call_id for item in recorded if isinstance(item, FunctionCallOutput)]
    assert calls == outputs
    assert sum(isinstance(command, Finish) for command in asked) == 1
    assert asked.count(Record((user("more"),))) <= sum(isinstance(e, Steer) for e in events)
