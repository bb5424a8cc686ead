"""Which hooks run, and the JSON they read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.hook_match import Told, concerned, matches, payload
from octavo.protocol.hooks import Hook

TOLD = Told(session_id="s", cwd="/w", model="m")


def hook(matcher, event="PreToolUse"):
    return Hook(event=event, command="true", key=str(matcher), source="x", matcher=matcher)


def test_nothing_an_empty_text_and_a_star_mean_everything():
    for matcher in (None, "", "*"):
        assert matches(matcher, ["Bash"])
        assert matches(matcher, [])


def test_names_are_exact_and_other_signs_make_a_pattern():
    assert matches("Bash", ["Bash"])
    assert not matches("Bash", ["Bash2"])
    assert matches("Write|Edit", ["apply_patch", "Write", "Edit"])
    assert not matches("bash", ["Bash"])
    assert matches("^Ba", ["Bash"])
    assert matches("mcp__.*__read", ["mcp__files__read_all"])
    assert not matches("mcp__files", ["mcp__files__read"])
    assert not matches("(", ["("])


def test_prompts_and_stops_have_nothing_to_match():
    hooks = [hook("never", "UserPromptSubmit"), hook("never", "Stop"), hook("never")]
    assert concerned(hooks, "UserPromptSubmit") == hooks[:1]
    assert concerned(hooks, "Stop") == hooks[1:2]
    assert concerned(hooks, "PreToolUse", ["Bash"]) == []


def test_a_hook_reads_one_line_with_the_published_fields():
    line = payload("PreToolUse", TOLD, {"tool_name": "Bash", "tool_input": {"command": "ls\n"}})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "session_id": "s", "transcript_path": None, "cwd": "/w", "hook_event_name": "PreToolUse",
        "model": "m", "permission_mode": "default", "tool_name": "Bash",
        "tool_input": {"command": "ls\n"},
    }  # fmt: skip


@given(st.text(), st.lists(st.text()))
def test_no_matcher_is_too_strange(matcher, names):
    assert matches(matcher, names) in (True, False)


@given(st.text(st.characters(codec=None)))
def test_no_text_is_too_strange_to_be_told(text):
    json.loads(payload("Stop", TOLD, {"last_assistant_message": text}))
