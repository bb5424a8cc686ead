"""The pure parts of the MCP server: schemas, forms, events, lines."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.mcpserver import asking, offer, telling, wire
from octavo.protocol.approvals import CommandApproval, Decision, McpApproval, PatchApproval
from octavo.protocol.events import ItemCompleted, ItemStarted, Warned
from octavo.protocol.items import CommandExecution, FileUpdate, McpResult, McpToolCall, WebSearch
from octavo.protocol.mcp import Elicitation
from octavo.rpc import messages
from octavo.rpc.messages import Error

COMMAND = CommandApproval(
    call_id="c", argv=("rm", "-r", "a b"), cwd="/w", reason="needed", escalated=True
)
UPDATE = FileUpdate(path="/w/a", kind="update", diff="@@", move_path="/w/b")
PATCH = PatchApproval(call_id="p", changes=(UPDATE, FileUpdate(path="/w/c", kind="add", diff="x")))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(list(asking.CHOICES)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["action", "content", "decision", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_whatever_a_client_answers_is_a_decision(answer):
    assert isinstance(asking.decided(answer), Decision)


@given(JSON)
def test_nothing_but_a_yes_is_a_yes(answer):
    if asking.decided(answer).allowed:
        said = json.dumps(answer)
        assert "approved" in said or '"accept"' in said or answer.get("action") == "accept"


def test_a_form_says_what_it_is_about():
    asked = asking.question(COMMAND, thread_id="t", turn_id="u", call_id=7)
    assert asked["message"] == "Allow `rm -r 'a b'` to run outside the sandbox in /w? (needed)"
    assert asked["codex_command"] == ["rm", "-r", "a b"]
    assert asked["codex_mcp_tool_call_id"] == "7"
    asked = asking.question(PATCH, thread_id="t", turn_id="u", call_id="x")
    assert asked["message"] == "Allow changes of /w/a, /w/c?"
    assert asked["codex_changes"] == {
        "/w/a": {"type": "update", "unified_diff": "@@", "move_path": "/w/b"},
        "/w/c": {"type": "add", "content": "x"},
    }
    assert telling.asked(PATCH, "u")["changes"] == asked["codex_changes"]


def test_a_tool_of_a_server_is_asked_about_with_what_it_is_given():
    request = McpApproval(call_id="m", server="files", tool="rm", arguments={"path": "/x" * 3000})
    asked = asking.question(request, thread_id="t", turn_id="u", call_id=1)
    assert asked["message"].startswith('Allow the tool rm of the MCP server files with {"path":"/x')
    assert len(asked["message"]) < 2100
    assert asked["codex_elicitation"] == "mcp-tool-approval"
    assert telling.asked(request, "u")["type"] == "mcp_tool_call_approval_request"


def test_a_question_of_a_server_is_passed_on_with_its_name():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    form = asking.passed_on(Elicitation(server="s", message="how many?", schema=schema), "t")
    assert form == {"message": "s: how many?", "threadId": "t", "requestedSchema": schema}
    asked = Elicitation(server="s", message="m", url="http://x", elicitation_id="e")
    page = asking.passed_on(asked, "t")
    assert (page["mode"], page["url"], page["elicitationId"]) == ("url", "http://x", "e")


@pytest.mark.parametrize(
    ("answer", "action", "content"),
    [
        ({"action": "accept", "content": {"n": 1}}, "accept", {"n": 1}),
        ({"action": "cancel"}, "cancel", None),
        ({"action": "perhaps"}, "decline", None),
        ({"action": "accept", "content": {"n": {}}}, "decline", None),
        ([], "decline", None),
    ],
)
def test_the_answer_to_it_goes_back(answer, action, content):
    found = asking.passed_back(answer)
    assert (found.action, found.content) == (action, content)


def test_every_argument_in_the_schema_is_read_and_the_other_way_round():
    for kind, schema in ((offer.Start, offer.START_INPUT), (offer.Reply, offer.REPLY_INPUT)):
        assert set(kind.__struct_encode_fields__) == set(schema["properties"])


def test_named_arguments_beat_the_settings_beside_them():
    given = offer.Start(prompt="x", model="a", config={"model": "b", "web_search": "live"})
    assert given.flags() == {"model": "a", "web_search": "live"}


def test_a_line_has_the_version_and_survives_names_that_are_no_text():
    line = wire.notification("m", {"path": "a\udcff"})
    assert line.endswith(b"\n")
    assert json.loads(line) == {"jsonrpc": "2.0", "method": "m", "params": {"path": "a\udcff"}}
    broken = wire.failure(None, Error(messages.PARSE_ERROR, "x\udcff"))
    assert json.loads(broken) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "x\udcff"},
    }


@pytest.mark.parametrize(
    ("item", "begin", "end"),
    [
        (
            McpToolCall(id="m", server="s", tool="t", arguments={"a": 1}, duration_ms=1500),
            "mcp_tool_call_begin",
            "mcp_tool_call_end",
        ),
        (WebSearch(id="w", query="q"), "web_search_begin", "web_search_end"),
        (
            CommandExecution(id="c", command=("ls",), cwd="/"),
            "exec_command_begin",
            "exec_command_end",
        ),
    ],
)
def test_what_begins_also_ends(item, begin, end):
    teller = telling.Teller("t", "u")
    (first,) = teller.tell(ItemStarted(turn_id="u", item=item))
    (last,) = teller.tell(ItemCompleted(turn_id="u", item=item))
    assert (first["type"], last["type"]) == (begin, end)
    assert first["call_id"] == last["call_id"] == item.id


def test_a_call_of_a_tool_has_its_result_or_its_error():
    failed = McpToolCall(id="m", server="s", tool="t", error="gone")
    assert telling.outcome(failed) == {"Err": "gone"}
    good = McpToolCall(id="m", server="s", tool="t", result=McpResult(content=({"type": "text"},)))
    assert telling.outcome(good)["Ok"]["content"] == [{"type": "text"}]
    assert telling.duration(1500) == {"secs": 1, "nanos": 500_000_000}


def test_a_warning_is_told():
    (one,) = telling.Teller("t", "u").tell(Warned(message="m"))
    assert one == {"type": "warning", "message": "m"}
