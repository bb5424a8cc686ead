"""The MCP server as lines: what is asked, what comes back, what happens meanwhile."""

import json
import signal

import pytest

NOBODY = "01a1fe3d-d753-7f19-860b-651b382ff270"
ESCALATED = {
    "cmd": "touch made",
    "login": False,
    "sandbox_permissions": "require_escalated",
    "justification": "needed",
}


def text(result):
    (part,) = result["content"]
    assert part["type"] == "text"
    return part["text"]


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ],
)
def test_the_client_and_the_server_agree_on_a_revision(client, asked, agreed):
    found = client.start(asked)
    assert found["protocolVersion"] == agreed
    assert found["capabilities"] == {"tools": {"listChanged": True}}
    assert found["serverInfo"]["title"] == "Octavo"
    assert client.ask("ping") == {}
    assert client.close() == 0


def test_the_tools_are_listed_under_both_names(client):
    client.start()
    tools = {tool["name"]: tool for tool in client.ask("tools/list")["tools"]}
    assert list(tools) == ["codex", "octavo", "codex-reply", "octavo-reply"]
    assert tools["codex"]["inputSchema"] == tools["octavo"]["inputSchema"]
    begin = tools["codex"]["inputSchema"]
    assert begin["required"] == ["prompt"]
    assert begin["additionalProperties"] is False
    assert set(begin["properties"]) == {
        "prompt",
        "cwd",
        "model",
        "approval-policy",
        "sandbox",
        "config",
        "base-instructions",
        "developer-instructions",
        "compact-prompt",
    }
    more = tools["codex-reply"]["inputSchema"]
    assert set(more["properties"]) == {"prompt", "threadId", "conversationId"}
    for tool in tools.values():
        assert tool["outputSchema"]["required"] == ["threadId", "content"]


def test_a_call_is_a_turn_and_a_reply_goes_on(client, model, home):
    model.says("one").says("two").says("three")
    client.start()
    first = client.call("codex", prompt="First words")
    assert text(first) == "one"
    thread = first["structuredContent"]["threadId"]
    assert first["structuredContent"] == {"threadId": thread, "content": "one"}
    assert "isError" not in first
    assert text(client.call("octavo-reply", prompt="more", threadId=thread)) == "two"
    assert text(client.call("codex-reply", prompt="more", conversationId=thread)) == "three"
    assert b"First words" in model.requests[2].body
    assert client.close() == 0
    listed = home("sessions", "list", "--json").stdout.splitlines()
    assert [json.loads(one)["id"] for one in listed] == [thread]


def test_the_options_of_a_call_reach_the_thread(client, model, workspace):
    (workspace / "deep").mkdir()
    model.calls("exec_command", cmd="touch made", login=False).says("ok")
    client.start()
    client.call(
        "codex",
        prompt="go",
        cwd="deep",
        model="gpt-5-mini",
        sandbox="workspace-write",
        config={"model_reasoning_effort": "high"},
        **{"developer-instructions": "Be brief.", "base-instructions": "You are a test."},
    )
    assert (workspace / "deep" / "made").exists()
    sent = json.loads(model.requests[0].body)
    assert sent["model"] == "gpt-5-mini"
    assert sent["reasoning"]["effort"] == "high"
    assert "You are a test." in json.dumps(sent)
    assert "Be brief." in json.dumps(sent)


def test_what_happens_is_told_in_the_words_clients_know(client, model):
    model.thinks("**Hm**").calls("exec_command", cmd="echo hi; exit 3", login=False).says("Done.")
    client.start()
    result = client.call("codex", prompt="go")
    deltas = ("agent_message_content_delta", "reasoning_content_delta")
    assert [one["type"] for one in client.events() if one["type"] not in deltas] == [
        "session_configured",
        "task_started",
        "user_message",
        "agent_reasoning",
        "token_count",
        "exec_command_begin",
        "exec_command_end",
        "agent_message",
        "token_count",
        "task_complete",
    ]
    (ended,) = client.events("exec_command_end")
    assert (ended["exit_code"], ended["aggregated_output"]) == (3, "hi\n")
    (complete,) = client.events("task_complete")
    assert complete["last_agent_message"] == "Done."
    params = [one["params"] for one in client.seen if one.get("method") == "codex/event"]
    thread = result["structuredContent"]["threadId"]
    assert all(one["_meta"] == {"requestId": 102, "threadId": thread} for one in params)
    assert "".join(one["delta"] for one in client.events(deltas[0])) == "Done."


def test_a_patch_is_told_with_its_files(client, model, workspace):
    model.calls_custom("apply_patch", "*** Begin Patch\n*** Add File: a.txt\n+x\n*** End Patch")
    model.says("ok")
    client.start()
    client.call("codex", prompt="go", sandbox="workspace-write")
    (begun,), (ended,) = client.events("patch_apply_begin"), client.events("patch_apply_end")
    path = str(workspace / "a.txt")
    assert begun["changes"][path]["type"] == "add"
    assert ended["success"] is True
    assert client.events("turn_diff")


def test_progress_is_told_when_it_is_asked_for(client, model):
    model.calls("exec_command", cmd="echo hi", login=False).says("Done.").says("quiet")
    client.start()
    client.call("codex", prompt="go", _meta={"progressToken": "p"})
    steps = [one["params"] for one in client.seen if one.get("method") == "notifications/progress"]
    assert [one["progressToken"] for one in steps] == ["p"] * len(steps)
    assert [one["progress"] for one in steps] == list(range(1, len(steps) + 1))
    assert any("echo hi" in one["message"] for one in steps)
    client.seen.clear()
    client.call("codex", prompt="go")
    assert not [one for one in client.seen if one.get("method") == "notifications/progress"]


# ---- approvals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        ({"action": "accept", "content": {"decision": "approved"}}, True),
        ({"action": "accept", "content": {"decision": "approved_for_session"}}, True),
        ({"action": "accept", "content": {}}, True),
        ({"action": "accept"}, True),
        ({"action": "accept", "content": {"decision": "denied"}}, False),
        ({"action": "accept", "content": {"decision": "nonsense"}}, False),
        ({"action": "decline"}, False),
        ({"action": "cancel"}, False),
        ({"decision": "approved"}, True),
        ({"decision": "denied"}, False),
        ({"action": "accept", "content": {}, "decision": "denied"}, False),
        ({"decision": 5}, False),
        ({}, False),
        ([], False),
        ({"code": -32603, "message": "no person here"}, False),
    ],
)
def test_an_approval_is_a_form_and_every_answer_counts(client, model, workspace, answer, made):
    model.calls("exec_command", **ESCALATED).says("ok")
    client.answer = answer
    client.start(elicitation={})
    result = client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    assert text(result) == "ok"
    assert (workspace / "made").exists() is made
    (asked,) = client.asked
    assert asked["method"] == "elicitation/create"
    params = asked["params"]
    assert "touch made" in params["message"]
    decision = params["requestedSchema"]["properties"]["decision"]
    assert decision["enum"] == ["approved", "approved_for_session", "denied", "abort"]
    assert params["codex_elicitation"] == "exec-approval"
    assert params["codex_cwd"] == str(workspace)
    assert params["threadId"] == result["structuredContent"]["threadId"]
    assert client.events("exec_approval_request")


@pytest.mark.parametrize(
    "answer", [{"decision": "abort"}, {"action": "accept", "content": {"decision": "abort"}}]
)
def test_an_abort_ends_the_turn_and_the_call_is_answered(client, model, workspace, answer):
    model.calls("exec_command", **ESCALATED).says("never")
    client.answer = answer
    client.start(elicitation={"form": {}})
    result = client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    assert result["isError"] is True
    assert text(result) == "the turn was stopped"
    assert client.events("turn_aborted")
    assert not (workspace / "made").exists()


def test_a_patch_outside_is_asked_about(client, model, tmp_path):
    outside = tmp_path / "outside.txt"
    patch = f"*** Begin Patch\n*** Add File: {outside}\n+x\n*** End Patch"
    model.calls_custom("apply_patch", patch).says("ok")
    client.start(elicitation={})
    client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    (asked,) = client.asked
    assert asked["params"]["codex_elicitation"] == "patch-approval"
    assert str(outside) in asked["params"]["codex_changes"]
    assert outside.read_text() == "x\n"


@pytest.mark.parametrize("capabilities", [{}, {"elicitation": {"url": {}}}])
def test_where_nobody_can_be_asked_the_answer_is_no(client, model, workspace, capabilities):
    model.calls("exec_command", **ESCALATED).says("ok")
    client.start(**capabilities)
    client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    assert client.asked == []
    assert not (workspace / "made").exists()
    assert b"did not declare the elicitation capability" in model.requests[-1].body


# ---- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("nope", {}, "Unknown tool 'nope'"),
        ("codex", {}, "prompt"),
        ("codex", {"prompt": 5}, "prompt"),
        ("codex", {"prompt": "x", "bogus": 1}, "bogus"),
        ("codex", {"prompt": "x", "sandbox": "open"}, "sandbox"),
        ("codex", {"prompt": "x", "cwd": "/no/such/folder"}, "no folder"),
        ("codex", {"prompt": "x", "config": {"approval_policy": "bogus"}}, "approval_policy"),
        ("codex-reply", {"prompt": "x"}, "threadId"),
        ("codex-reply", {"prompt": "x", "threadId": "x"}, "Failed to parse thread_id"),
        ("codex-reply", {"prompt": "x", "threadId": NOBODY}, "Session not found for thread_id"),
    ],
)
def test_a_call_that_makes_no_sense_is_a_result_that_says_so(client, tool, arguments, words):
    client.start()
    result = client.ask("tools/call", name=tool, arguments=arguments)
    assert result["isError"] is True
    assert words in text(result)


def test_a_failed_turn_is_a_result_and_the_thread_goes_on(client, model):
    model.fails("quota", "none left").says("again")
    client.start()
    result = client.call("codex", prompt="go")
    assert result["isError"] is True
    assert "Quota exceeded" in text(result)
    thread = result["structuredContent"]["threadId"]
    assert text(client.call("codex-reply", prompt="go", threadId=thread)) == "again"


@pytest.mark.parametrize(
    "method",
    ["resources/list", "resources/templates/list", "prompts/list", "logging/setLevel", "no/such"],
)
def test_methods_that_are_not_offered_get_an_error(client, method):
    client.start()
    assert client.error(method) == {
        "code": -32601,
        "message": f"method not found: {method}",
        "data": {"method": method},
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{not json\n", -32700),
        (b"\xff\xfe\x00\n", -32700),
        (b"[1,2]\n", -32600),
        (b'"text"\n', -32600),
        (b'{"id":null,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","params":{}}\n', -32600),
        (b'{"id":[],"method":"ping"}\n', -32600),
        (b"[" * 5000 + b"\n", -32700),
    ],
)
def test_bad_lines_get_one_answer_and_harm_nothing(client, line, code):
    client.start()
    client.send(line)
    answer = client.next()
    assert answer["id"] is None
    assert answer["error"]["code"] == code
    assert client.ask("ping") == {}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {}),
        ("tools/call", {"name": 5}),
        ("tools/call", {"name": "codex", "_meta": 5}),
    ],
)
def test_parameters_of_the_wrong_kind_are_refused(client, method, params):
    client.start()
    assert client.error(method, **params)["code"] == -32602


def test_nothing_is_done_before_the_greeting_and_one_greeting_is_enough(client):
    assert client.error("tools/list")["code"] == -32600
    assert client.error("tools/call", name="codex", arguments={"prompt": "x"})["code"] == -32600
    assert client.error("initialize")["code"] == -32602
    client.start()
    assert client.error("initialize", protocolVersion="2025-06-18")["code"] == -32600


def test_answers_and_cancellations_of_nothing_are_ignored(client):
    client.start()
    client.send({"id": 99, "result": {}})
    client.send({"id": "x", "error": {"code": 1, "message": "m"}})
    client.send({"method": "notifications/cancelled", "params": {"requestId": 77}})
    client.send({"method": "notifications/cancelled", "params": {"requestId": []}})
    client.send({"method": "notifications/no/such"})
    assert client.ask("ping") == {}


# ---- at the same time, and the end ------------------------------------------------------------


def test_calls_run_side_by_side(client, model):
    model.calls("exec_command", cmd="sleep 60", login=False)
    client.start()
    slow = client.begin("tools/call", name="codex", arguments={"prompt": "slow"})
    client.until(lambda _: client.events("exec_command_begin"))
    model.says("quick")
    assert text(client.call("codex", prompt="quick")) == "quick"
    thread = client.events("session_configured")[0]["thread_id"]
    busy = client.call("codex-reply", prompt="too early", threadId=thread)
    assert busy["isError"] is True
    assert "a call is at work in this thread" in text(busy)
    again = {"id": slow, "method": "tools/call", "params": {"name": "codex"}}
    client.send(again)
    assert client.reply(slow)["error"]["code"] == -32600


def test_a_cancelled_call_stops_its_turn_and_gets_no_answer(client, model, workspace):
    model.calls("exec_command", cmd="echo up; sleep 60", login=False).says("later")
    client.start()
    call = client.begin("tools/call", name="codex", arguments={"prompt": "go"})
    client.until(lambda _: client.events("exec_command_begin"))
    client.send({"method": "notifications/cancelled", "params": {"requestId": call}})
    client.until(lambda _: client.events("turn_aborted"))
    assert client.ask("ping") == {}
    thread = client.events("session_configured")[0]["thread_id"]
    assert text(client.call("codex-reply", prompt="go on", threadId=thread)) == "later"
    assert not [one for one in client.seen if one.get("id") == call]


def test_a_question_of_a_cancelled_call_is_withdrawn(client, model, workspace):
    model.calls("exec_command", **ESCALATED).says("never")
    client.answer = None
    client.start(elicitation={})
    arguments = {"prompt": "go", "approval-policy": "on-request"}
    call = client.begin("tools/call", name="codex", arguments=arguments)
    client.until(lambda _: client.asked)
    client.send({"method": "notifications/cancelled", "params": {"requestId": call}})
    withdrawn = client.until(lambda line: line.get("method") == "notifications/cancelled")
    assert withdrawn["params"]["requestId"] == client.asked[0]["id"]
    assert not (workspace / "made").exists()


@pytest.mark.parametrize("asking", [False, True])
def test_a_client_that_goes_ends_everything(client, model, workspace, asking):
    if asking:
        model.calls("exec_command", **ESCALATED).says("never")
        client.answer = None
    else:
        model.calls("exec_command", cmd="echo up; sleep 60; touch made", login=False)
    client.start(elicitation={})
    arguments = {"prompt": "go", "approval-policy": "on-request", "sandbox": "workspace-write"}
    client.begin("tools/call", name="codex", arguments=arguments)
    client.until(lambda _: client.asked or client.events("exec_command_begin"))
    assert client.close() == 0
    assert not (workspace / "made").exists()


@pytest.mark.parametrize("words", [("mcp-server",), ("app-server", "--listen", "stdio://")])
def test_without_any_input_it_ends(home, words):
    done = home(*words)  # standard input is /dev/null, and output a pipe
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_signal_ends_it_too(client, model):
    model.calls("exec_command", cmd="echo up; sleep 60", login=False)
    client.start()
    client.begin("tools/call", name="codex", arguments={"prompt": "go"})
    client.until(lambda _: client.events("exec_command_begin"))
    client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(30) == 128 + signal.SIGTERM
    assert b"Traceback" not in client.process.stderr.read()
