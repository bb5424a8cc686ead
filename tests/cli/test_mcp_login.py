"""`octavo mcp login` against a real login server on this machine, and what `mcp list` knows."""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

ROOM = Path(__file__).parents[1] / "mcp"
NO_BROWSER = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
DEADLINE_S = 60


@pytest.fixture
def room(monkeypatch):
    """The login server of the MCP client's tests."""
    monkeypatch.syspath_prepend(str(ROOM))
    return import_module("mcp_web_room")


async def started(octavo, *words):
    return await asyncio.create_subprocess_exec(
        octavo.program,
        "mcp",
        *words,
        env=octavo.environ(**NO_BROWSER),
        cwd=octavo.cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def said(octavo, *words):
    """What a command printed; the event loop goes on serving meanwhile."""
    process = await started(octavo, *words)
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def status(octavo):
    (web,) = json.loads(await said(octavo, "list", "--json"))
    return web["auth_status"]


async def test_a_person_logs_in_and_out_again(octavo, room):
    async with asyncio.timeout(DEADLINE_S), room.serving(room.Site(tokens=set())) as site:
        await said(octavo, "add", "web", "--url", f"{site.base}/mcp")
        assert await status(octavo) == "not_logged_in"
        process = await started(octavo, "login", "web", "--scopes", "one, two")
        assert b"Open this address" in await process.stdout.readline()
        url = (await process.stdout.readline()).decode().strip()
        await room.browse(url)
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert out.decode() == "Logged in to MCP server 'web'.\n"
        (asked,) = site.saw("/authorize")
        assert asked["scope"] == "one two"
        assert await status(octavo) == "o_auth"
        assert "OAuth" in await said(octavo, "list")
        assert await said(octavo, "logout", "web") == "Logged out of MCP server 'web'.\n"
        assert await status(octavo) == "not_logged_in"
        assert "There is no login" in await said(octavo, "logout", "web")


async def test_a_server_that_wants_no_login_is_told_apart_from_one_that_is_away(octavo, room):
    async with asyncio.timeout(DEADLINE_S), room.serving(room.Site()) as site:
        await said(octavo, "add", "web", "--url", f"{site.base}/mcp")
        assert await status(octavo) == "unsupported"
    assert await status(octavo) == "unknown"
    (octavo.home / "config.toml").write_text(
        f'[mcp_servers.web]\nurl = "{site.base}/mcp"\nenabled = false\n'
    )
    assert await status(octavo) == "unknown"
