"""What programs print becomes an answer, or a failure in words; never an exception."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.hook_answers import Answer, Ended, Said, merged, understood
from octavo.protocol.hooks import LABELS, Hook

EVENTS = sorted(LABELS)


def said(event, value="", *, code=0, stderr=""):
    stdout = value if isinstance(value, str) else json.dumps(value)
    return understood(event, Ended(code=code, stdout=stdout, stderr=stderr))


def hook(key="h", **more):
    return Hook(event="PreToolUse", command="true", key=key, source="hooks.json", **more)


@pytest.mark.parametrize("event", EVENTS)
def test_silence_is_consent(event):
    assert said(event) == Answer()
    assert said(event, "{}") == Answer()


@pytest.mark.parametrize("event", ["UserPromptSubmit", "PostToolUse", "Stop", "SubagentStop"])
def test_a_block_needs_a_reason(event):
    assert said(event, {"decision": "block", "reason": "no"}).block == "no"
    assert "reason" in said(event, {"decision": "block"}).failure
    assert "reason" in said(event, {"decision": "block", "reason": " "}).failure


def test_a_permission_decision_denies_allows_or_asks():
    def decided(**specific):
        return said("PreToolUse", {"hookSpecificOutput": specific})

    denied = decided(permissionDecision="deny", permissionDecisionReason="no rm here")
    assert denied.block == "no rm here"
    assert "Reason" in decided(permissionDecision="deny").failure
    assert decided(permissionDecision="allow").allow
    assert decided(permissionDecision="ask").ask
    assert decided(permissionDecision="maybe").failure
    other = decided(permissionDecision="allow", updatedInput={"command": "ls"})
    assert other.updated == {"command": "ls"}
    assert "allow" in decided(updatedInput={"command": "ls"}).failure
    assert decided(additionalContext="mind the gap").context == ("mind the gap",)


def test_a_permission_request_is_answered_and_nothing_else():
    def decided(**decision):
        return said("PermissionRequest", {"hookSpecificOutput": {"decision": decision}})

    assert decided(behavior="allow").allow
    assert decided(behavior="deny", message="not today").block == "not today"
    assert decided(behavior="deny").block
    for extra in ("updatedInput", "updatedPermissions", "interrupt"):
        assert decided(behavior="allow", **{extra: True}).failure
    assert decided(behavior="perhaps").failure


@pytest.mark.parametrize("event", EVENTS)
def test_what_means_nothing_at_an_event_is_a_failure(event):
    assert said(event, {"contineu": False}).failure
    assert said(event, {"hookSpecificOutput": {"hookEventName": "Nonsense"}}).failure
    assert said(event, {"hookSpecificOutput": {"surprise": 1}}).failure
    assert said(event, {"decision": "approve"}).failure
    assert said(event, "[1]").failure
    assert said(event, '{"systemMessage": ').failure
    if event != "PreToolUse":
        assert said(event, {"hookSpecificOutput": {"permissionDecision": "allow"}}).failure
    if event in ("PreToolUse", "PermissionRequest"):
        assert said(event, {"continue": False}).failure
    else:
        assert said(event, {"continue": False, "stopReason": "enough"}).stop == "enough"


def test_plain_words_are_context_where_something_begins():
    assert said("SessionStart", "be brief\n").context == ("be brief",)
    assert said("UserPromptSubmit", "be brief\n").context == ("be brief",)
    assert said("PreToolUse", "checking…") == Answer()
    assert said("PostToolUse", "formatted 3 files") == Answer()
    assert said("Stop", "done?").failure


def test_exit_two_objects_with_the_words_on_standard_error():
    for event in ("PreToolUse", "PostToolUse", "UserPromptSubmit", "Stop", "PreCompact"):
        assert said(event, code=2, stderr=" no \n").block == "no"
        assert said(event, code=2).failure
    assert said("SessionStart", code=2, stderr="no").failure
    assert said("PreToolUse", {"decision": "block", "reason": "x"}, code=2, stderr="y").block == "y"


def test_another_code_a_signal_or_a_time_out_is_a_failure():
    assert said("PreToolUse", code=1, stderr="oops").failure == "exit code 1: oops"
    assert said("PreToolUse", code=None).failure == "signal"
    assert understood("Stop", Ended(problem="no answer after 1 s")).failure == "no answer after 1 s"


@given(st.sampled_from(EVENTS), st.text(), st.text(), st.one_of(st.none(), st.integers(0, 255)))
def test_no_output_is_too_strange(event, stdout, stderr, code):
    answer = understood(event, Ended(code=code, stdout=stdout, stderr=stderr))
    if answer.failure is not None:
        assert msgspec.structs.replace(answer, failure=None) == Answer()
    if code not in (0, 2):
        assert answer.failure


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["continue", "decision", "reason", "hookSpecificOutput", "behavior",
                         "permissionDecision", "updatedInput", "additionalContext", "x"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(EVENTS), JSON)
def test_no_json_is_too_strange_and_only_what_may_object_does(event, value):
    answer = said(event, value)
    if answer.block is not None:
        assert event in ("UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest",
                         "SubagentStop", "Stop")  # fmt: skip


def test_any_no_wins_and_all_reasons_are_told():
    one, two, three = hook("1"), hook("2"), hook("3")
    verdict = merged(
        "PreToolUse",
        [
            Said(hook=three, answer=Answer(block="third")),
            Said(hook=two, answer=Answer(allow=True, updated={"command": "x"})),
            Said(hook=one, answer=Answer(block="first")),
        ],
        [one, two, three],
    )
    assert verdict.block == "first\n\nthird"
    assert not verdict.allow
    assert verdict.updated is None


def test_the_last_to_finish_rewrites_and_context_keeps_the_order_of_the_settings():
    one, two = hook("1"), hook("2")
    verdict = merged(
        "PreToolUse",
        [
            Said(hook=two, answer=Answer(updated={"command": "early"}, context=("b",))),
            Said(hook=one, answer=Answer(updated={"command": "late"}, context=("a",))),
        ],
        [one, two],
    )
    assert verdict.updated == {"command": "late"}
    assert [text for one in verdict.context for text in one.answer.context] == ["a", "b"]


def test_a_failure_allows_unless_the_hook_says_it_blocks():
    broken = Answer(failure="exit code 1")
    lenient = merged("PreToolUse", [Said(hook=hook(), answer=broken)])
    assert lenient.block is None
    assert lenient.messages == ("PreToolUse hook of hooks.json failed: exit code 1",)
    strict = merged("PreToolUse", [Said(hook=hook(on_failure="block"), answer=broken)])
    assert "exit code 1" in strict.block
    late = merged("SessionStart", [Said(hook=hook(on_failure="block"), answer=broken)])
    assert late.block is None
