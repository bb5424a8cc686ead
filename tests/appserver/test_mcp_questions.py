"""Questions about MCP servers, as clients of the app server get them."""

import pytest

from octavo.appserver.questions import decided, elicitation, elicited, question
from octavo.protocol.approvals import McpApproval
from octavo.protocol.mcp import Elicitation, ElicitationAnswer

ASKED = McpApproval(call_id="c1", server="files", tool="write", arguments={"path": "x"})


def test_a_tool_is_asked_about_like_a_question_of_its_server():
    method, params = question(ASKED, thread_id="T", turn_id="U", now_ms=1)
    assert method == "mcpServer/elicitation/request"
    assert params["serverName"] == "files"
    assert params["message"] == "Allow the tool write of files?"
    meta = params["_meta"]
    assert meta["codex_approval_kind"] == "mcp_tool_call"
    assert meta["persist"] == ["session", "always"]
    assert (meta["tool_name"], meta["tool_params"]) == ("write", {"path": "x"})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"action": "accept"}, "allow_once"),
        ({"action": "accept", "content": {}, "_meta": None}, "allow_once"),
        ({"action": "accept", "_meta": {"persist": "session"}}, "allow_for_session"),
        ({"action": "accept", "_meta": {"persist": "always"}}, "allow_always"),
        ({"action": "decline"}, "deny"),
        ({"action": "cancel"}, "abort"),
        ({"decision": "accept"}, "deny"),
        (None, "deny"),
    ],
)
def test_its_answer_is_a_decision(answer, kind):
    assert decided(ASKED, answer).kind == kind


def test_a_servers_own_questions_are_passed_on():
    form = {"type": "object", "properties": {}}
    asked = elicitation(
        Elicitation(server="s", message="Who?", schema=form), thread_id="T", turn_id=None
    )
    assert (asked["mode"], asked["requestedSchema"], asked["turnId"]) == ("form", form, None)
    asked = elicitation(
        Elicitation(server="s", message="Go", url="https://x", elicitation_id="e"),
        thread_id="T",
        turn_id="U",
    )
    assert (asked["mode"], asked["url"], asked["elicitationId"]) == ("url", "https://x", "e")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            {"action": "accept", "content": {"a": 1}, "_meta": None},
            ElicitationAnswer(action="accept", content={"a": 1}),
        ),
        ({"action": "decline"}, ElicitationAnswer(action="decline")),
        ({"action": "maybe"}, ElicitationAnswer(action="cancel")),
        ({}, ElicitationAnswer(action="decline")),
        (None, ElicitationAnswer(action="cancel")),
    ],
)
def test_what_is_not_understood_is_no_answer(answer, found):
    assert elicited(answer) == found
