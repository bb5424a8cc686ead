"""The agent behind the MCP server uses MCP servers itself: their questions and its approvals."""

import json
import sys
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "mcp" / "tiny_server.py"
TEXT = '{"text":"x"}'


@pytest.fixture
def tools(home):
    """Settings with a tiny server, before the client starts."""
    how = json.dumps({"tools": ["ask", "write"]})
    args = json.dumps(["-I", "-S", str(TINY), how])
    with (home.home / "config.toml").open("a") as file:
        file.write(f'\n[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = {args}\n')


@pytest.mark.parametrize(
    "answer", [{"action": "accept", "content": {"name": "Me"}}, {"action": "decline"}]
)
def test_a_question_of_a_server_reaches_the_person_and_goes_back(tools, client, model, answer):
    model.calls_raw("ask", TEXT, namespace="mcp__tiny").says("ok")
    client.answer = answer
    client.start(elicitation={})
    client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    (asked,) = client.asked
    assert asked["params"]["message"] == "tiny: Who are you?"
    assert asked["params"]["requestedSchema"]["properties"] == {"name": {"type": "string"}}
    (ended,) = client.events("mcp_tool_call_end")
    assert ended["invocation"]["server"] == "tiny"
    said = json.loads(ended["result"]["Ok"]["content"][0]["text"])
    assert said["action"] == answer["action"]


@pytest.mark.parametrize("action", ["accept", "decline"])
def test_a_tool_that_writes_is_asked_about(tools, client, model, action):
    model.calls_raw("write", TEXT, namespace="mcp__tiny").says("ok")
    client.answer = {"action": action}
    client.start(elicitation={})
    client.call("codex", prompt="go", **{"approval-policy": "on-request"})
    (asked,) = client.asked
    assert asked["params"]["codex_elicitation"] == "mcp-tool-approval"
    assert asked["params"]["codex_mcp_arguments"] == {"text": "x"}
