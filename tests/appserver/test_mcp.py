"""MCP servers as a client of the app server uses them: their tools, their resources, their logins."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[1] / "mcp"
TINY = ROOM / "tiny_server.py"


@pytest.fixture
def tiny(octavo, model, settings):
    """A settings file with a tiny server."""
    given = json.dumps({"tools": ["echo"]})
    args = json.dumps(["-I", "-S", str(TINY), given])
    octavo.config(
        settings.format(url=model.url)
        + f'\n[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = {args}\n'
    )


def test_a_tool_is_called_and_the_servers_are_listed(client, tiny):
    client.start()
    thread = client.thread()
    reply = client.ask(
        "mcpServer/tool/call", threadId=thread, server="tiny", tool="echo", arguments={"text": "hi"}
    )
    assert "hi" in json.dumps(reply["content"])
    assert reply["isError"] is False
    (content,) = client.ask(
        "mcpServer/resource/read", threadId=thread, server="tiny", uri="tiny://one"
    )["contents"]
    assert content["uri"] == "tiny://one"
    (found,) = client.ask("mcpServerStatus/list")["data"]
    assert (found["name"], list(found["tools"])) == ("tiny", ["echo"])


def test_what_is_not_there_is_said(client, tiny):
    client.start()
    thread = client.thread()
    wrong = client.error("mcpServer/tool/call", threadId=thread, server="none", tool="x")
    assert "none" in wrong["message"]
    wrong = client.error("mcpServer/oauth/login", name="tiny")
    assert "takes no login" in wrong["message"]
    wrong = client.error("mcpServer/oauth/login", name="none")
    assert "no MCP server named" in wrong["message"]
    wrong = client.error("mcpServer/resource/read", server="tiny", uri="x:y")
    assert "threadId" in wrong["message"]


def test_a_thread_without_servers_says_so(client):
    client.start()
    wrong = client.error("mcpServer/tool/call", threadId=client.thread(), server="x", tool="y")
    assert "no MCP servers" in wrong["message"]


async def test_a_person_logs_in_through_the_client(octavo, model, settings, monkeypatch, tmp_path):
    from octavo.appserver.within import serving
    from octavo.rpc.memory import pair
    from octavo.rpc.peer import Peer

    monkeypatch.syspath_prepend(str(ROOM))
    room = import_module("mcp_web_room")
    async with room.serving(room.Site(tokens=set())) as site:
        octavo.config(
            settings.format(url=model.url) + f'\n[mcp_servers.web]\nurl = "{site.base}/mcp"\n'
        )
        here, there = pair()
        async with serving(there, environ=octavo.environ()):
            import asyncio

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                peer = Peer(here)
                running = group.create_task(peer.run())
                listening = peer.listen()
                await peer.ask("initialize", {"clientInfo": {"name": "lab", "version": "1"}})
                begun = await peer.ask("mcpServer/oauth/login", {"name": "web"})
                await room.browse(begun["authorizationUrl"])
                async for method, params in listening:
                    if method == "mcpServer/oauthLogin/completed":
                        assert params["success"] is True
                        assert params["loginId"] == begun["loginId"]
                        break
                listed = await peer.ask("mcpServerStatus/list", {})
                assert listed["data"][0]["authStatus"] == "oAuth"
                await peer.close()
                running.cancel()
