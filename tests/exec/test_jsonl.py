import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.exec.jsonl import JsonLines
from octavo.protocol import events, items
from octavo.protocol.usage import TokenUsage


def lines(*given_):
    writer = JsonLines()
    return [json.loads(line) for event in given_ for line in writer.lines(event)]


def started(item):
    return events.ItemStarted(turn_id="t", item=item)


def completed(item):
    return events.ItemCompleted(turn_id="t", item=item)


def command(**more):
    return items.CommandExecution(id="c", command=("sh", "-c", "a b"), cwd="/", **more)


def test_items_are_numbered_as_they_appear_and_keep_their_number():
    got = lines(
        completed(items.AgentMessage(id="m", text="x")),
        started(command()),
        completed(items.AgentMessage(id="n", text="y")),
        completed(command(status="failed", exit_code=3)),
    )
    assert [line["item"]["id"] for line in got] == ["item_0", "item_1", "item_2", "item_1"]


def test_a_command_has_the_published_fields_and_denials_only_where_there_are_some():
    (plain,) = lines(started(command()))
    assert plain["item"] == {
        "id": "item_0", "type": "command_execution", "command": "sh -c 'a b'",
        "aggregated_output": "", "exit_code": None, "status": "in_progress",
    }  # fmt: skip
    note = items.DenialNote(operation="create", subject="/x", rule="r")
    (denied,) = lines(completed(command(status="failed", exit_code=1, denials=(note,))))
    assert denied["item"]["denials"] == [{"operation": "create", "subject": "/x", "rule": "r"}]


@pytest.mark.parametrize("event", [
    started(items.AgentMessage(id="m", text="")),
    completed(items.Reasoning(id="r")),
    completed(items.UserMessage(id="u", content=())),
    completed(items.ImageView(id="i", path="/x")),
    events.AgentMessageDelta(item_id="m", text="x"),
    events.TurnDiff(turn_id="t", diff="x"),
    events.TurnInterrupted(turn_id="t"),
])  # fmt: skip
def test_what_clients_do_not_know_is_left_out(event):
    assert lines(event) == []


def test_a_refused_patch_has_a_status_clients_know():
    change = items.FileChange(id="f", changes=(), status="declined")
    call = items.McpToolCall(id="m", server="s", tool="t", status="declined", error="no")
    assert [line["item"]["status"] for line in lines(completed(change), completed(call))] == [
        "failed"
    ] * 2
    assert lines(completed(command(status="declined")))[0]["item"]["status"] == "declined"


def test_a_plan_is_one_item_closed_before_the_end():
    def plan(status):
        step = events.PlanStep(text="look", status=status)
        return events.PlanUpdated(turn_id="t", steps=(step,))

    done = events.TurnCompleted(turn_id="t", usage=TokenUsage())
    got = lines(plan("pending"), plan("completed"), done)
    assert [line["type"] for line in got] == [
        "item.started", "item.updated", "item.completed", "turn.completed",
    ]  # fmt: skip
    assert {line["item"]["id"] for line in got[:3]} == {"item_0"}
    assert got[2]["item"]["items"] == [{"text": "look", "completed": True}]


def test_a_failure_is_an_error_and_the_end():
    got = lines(events.TurnFailed(turn_id="t", message="no", hint="help"))
    assert got == [
        {"type": "error", "message": "no"}, {"type": "turn.failed", "error": {"message": "no"}},
    ]  # fmt: skip


def test_warnings_are_items_of_their_own():
    got = lines(events.Warned(message="a"), events.Warned(message="b"))
    assert [line["item"]["id"] for line in got] == ["item_0", "item_1"]


@given(st.text(st.characters(codec=None) | st.characters(categories=["Cs"])))
def test_any_text_is_one_line_of_json(text):
    writer = JsonLines()
    (line,) = writer.lines(completed(command(aggregated_output=text, status="completed")))
    assert b"\n" not in line
    kept = json.loads(line)["item"]["aggregated_output"]
    assert kept == text or any("\ud800" <= char <= "\udfff" for char in text)


def test_bytes_that_are_no_letters_become_escapes():
    (line,) = JsonLines().lines(completed(command(aggregated_output="a\udcff", status="completed")))
    assert json.loads(line)["item"]["aggregated_output"] == "a\\udcff"


def test_a_plan_is_a_message_that_clients_know_with_a_mark_of_ours():
    (got,) = lines(completed(items.ProposedPlan(id="p", text="# Do it")))
    assert got["item"] == {
        "id": "item_0", "type": "agent_message", "text": "# Do it", "proposed_plan": True,
    }  # fmt: skip


def test_reviews_and_goals_add_no_lines_of_their_own():
    mode = items.ReviewMode(id="r", state="entered", target="x")
    goal = events.GoalUpdated(goal=events.Goal(objective="x"))
    assert lines(completed(mode), goal) == []
