"""The ledger: what was recorded once stays as it is, through any number of summaries."""

import json

from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.compact import summary_message
from octavo.engine.ledger import Ledger, recovered, rendered, sections, updated, words_read
from octavo.protocol.content import InputText
from octavo.protocol.history import FunctionCall, FunctionCallOutput, Message
from octavo.protocol.ids import CallId

TEXTS = st.text(max_size=60)
LEDGERS = st.builds(
    Ledger,
    goal=TEXTS,
    rules=st.lists(TEXTS, max_size=4, unique=True).map(tuple),
    rejected=st.lists(TEXTS, max_size=4, unique=True).map(tuple),
    next_step=TEXTS,
    read=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


def asked(name, arguments, answer, call_id="1"):
    return [
        FunctionCall(name=name, arguments=json.dumps(arguments), call_id=CallId(call_id)),
        FunctionCallOutput(call_id=CallId(call_id), output=answer),
    ]


@given(LEDGERS)
def test_a_ledger_comes_back_from_the_history_as_it_was(ledger):
    assert recovered([summary_message("s", ledger)]) == ledger


@given(LEDGERS, st.lists(TEXTS, max_size=5))
def test_rules_and_dead_ends_are_only_added_to(ledger, lines):
    summary = "## Rules\n" + "\n".join(f"- {line}" for line in lines) + "\n## Rejected\n- x"
    new = updated(ledger, [], summary, goal="other")
    assert new.rules[: len(ledger.rules)] == ledger.rules
    assert new.rejected[: len(ledger.rejected)] == ledger.rejected
    assert new.goal == (ledger.goal or "other")


def test_a_broken_block_is_an_empty_ledger():
    text = rendered(Ledger(goal="g")).replace('"goal"', "goal")
    assert recovered([Message(role="user", content=(InputText(text=text),))]) == Ledger()


def test_the_lists_of_a_summary_are_found_whatever_else_it_says():
    found = sections(
        "Rules are below.\n\n# Rules:\n- never push\n-  keep 3.11 \n\n## Rejected\n- none\n"
        "## Other\n- not this\n## Next step\n- run the tests"
    )
    assert found == {
        "rules": ["never push", "keep 3.11"],
        "rejected": [],
        "next_step": ["run the tests"],
    }


def test_files_plan_and_next_step_come_from_the_calls():
    plan = {
        "plan": [
            {"step": "look", "status": "completed"},
            {"step": "write", "status": "in_progress"},
            {"step": "test", "status": "pending"},
        ]
    }
    items = [
        *asked("exec_command", {"cmd": "cat a.py && sed -n 1,5p b.py"}, "text", "1"),
        *asked("apply_patch", {"input": "…"}, "Success\nM a.py\nA new/c.py", "2"),
        *asked("update_plan", plan, "Plan updated", "3"),
    ]
    files = {"a.py": "aa", "b.py": "bb"}
    new = updated(Ledger(), items, "", goal="g", hash_file=files.get)
    assert new.changed == ("a.py", "new/c.py")
    assert new.read == files
    assert new.plan == ("[x] look", "[>] write", "[ ] test")
    assert new.next_step == "write"


def test_a_file_that_changed_since_it_was_read_is_named():
    before = Ledger(read={"a": "1", "b": "1", "gone": "1"})
    new = updated(before, [], "", goal="", hash_file={"a": "1", "b": "2"}.get)
    assert new.stale == ("b", "gone")
    assert new.read == {"a": "1", "b": "2"}


def test_only_reading_commands_name_files():
    assert list(words_read("cat -n x 'y z'; rm w | head -5 v")) == ["x", "y z", "v"]
    assert list(words_read("cat 'unclosed")) == []
