"""The MCP server as the official Python client meets it."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from mcp.client.stdio import stdio_client

from mcp import ClientSession, StdioServerParameters, types

ESCALATED = {
    "cmd": "touch made",
    "login": False,
    "sandbox_permissions": "require_escalated",
    "justification": "needed",
}
DEADLINE_S = 60


@asynccontextmanager
async def connected(home, **callbacks):
    """A session with a server of its own."""
    server = StdioServerParameters(
        command=home.program, args=["mcp-server"], env=home.environ(), cwd=home.cwd
    )
    with open(home.home / "stderr.txt", "w") as errors:  # noqa: ASYNC230 - one small file
        async with (
            asyncio.timeout(DEADLINE_S),
            stdio_client(server, errlog=errors) as (read, write),
            ClientSession(read, write, **callbacks) as session,
        ):
            await session.initialize()
            yield session


async def test_tools_are_found_and_called(home, model):
    model.says("one").says("two")
    async with connected(home) as session:
        tools = (await session.list_tools()).tools
        assert [tool.name for tool in tools] == ["codex", "octavo", "codex-reply", "octavo-reply"]
        first = await session.call_tool("codex", {"prompt": "Hi"})
        assert not first.is_error
        assert [part.text for part in first.content] == ["one"]
        thread = first.structured_content["threadId"]
        assert first.structured_content == {"threadId": thread, "content": "one"}
        second = await session.call_tool("octavo-reply", {"prompt": "More", "threadId": thread})
        assert second.structured_content == {"threadId": thread, "content": "two"}
        await session.send_ping()


async def test_what_goes_wrong_is_a_result(home):
    async with connected(home) as session:
        found = await session.call_tool("codex", {"prompt": "x", "bogus": 1})
        assert found.is_error
        assert "bogus" in found.content[0].text


@pytest.mark.parametrize(("action", "made"), [("accept", True), ("decline", False)])
async def test_approvals_are_elicitations(home, model, workspace, action, made):
    model.calls("exec_command", **ESCALATED).says("ok")
    asked = []

    async def elicited(_context, params):
        asked.append(params)
        content = {"decision": "approved"} if action == "accept" else None
        return types.ElicitResult(action=action, content=content)

    async with connected(home, elicitation_callback=elicited) as session:
        arguments = {"prompt": "go", "approval-policy": "on-request"}
        found = await session.call_tool("codex", arguments)
    assert found.content[0].text == "ok"
    (params,) = asked
    assert "decision" in params.requested_schema["properties"]
    assert (workspace / "made").exists() is made


async def test_a_client_that_cannot_ask_hears_of_no_question(home, model, workspace):
    model.calls("exec_command", **ESCALATED).says("ok")
    async with connected(home) as session:
        arguments = {"prompt": "go", "approval-policy": "on-request"}
        assert not (await session.call_tool("codex", arguments)).is_error
    assert not (workspace / "made").exists()


async def test_progress_arrives(home, model):
    model.calls("exec_command", cmd="echo hi", login=False).says("Done.")
    steps = []

    async def progressed(progress, total, message):
        steps.append((progress, total, message))

    async with connected(home) as session:
        await session.call_tool("codex", {"prompt": "go"}, progress_callback=progressed)
    assert [step[0] for step in steps] == list(range(1, len(steps) + 1))
    assert any("echo hi" in step[2] for step in steps)


async def test_several_calls_share_a_session(home, model):
    model.says("same").says("same").says("same")
    found = []

    async def call(session):
        result = await session.call_tool("codex", {"prompt": "Hi"})
        found.append((result.content[0].text, result.structured_content["threadId"]))

    async with connected(home) as session, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(call(session))
    assert [text for text, _ in found] == ["same"] * 3
    assert len({thread for _, thread in found}) == 3


async def test_what_is_not_offered_is_an_error(home):
    async with connected(home) as session:
        with pytest.raises(Exception, match="method not found: resources/list"):
            await session.list_resources()
