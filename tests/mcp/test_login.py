"""Logging in with a browser, and out again; who is told how things stand."""

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("sessions have programs, too", allow_module_level=True)

from mcp_web_room import Site, browse, serving

from octavo.mcp.base import McpError
from octavo.mcp.login import auth_status, login, logout
from octavo.mcp.tokens import Tokens
from octavo.protocol.errors import UsageError
from octavo.protocol.mcp import HttpTransport, McpServer, StdioTransport


def at(url, **more):
    return McpServer(name="web", transport=HttpTransport(url=url, **more))


def mode_and_neighbours(name):
    file = Path(name)
    return stat.S_IMODE(file.stat().st_mode), [path.name for path in file.parent.iterdir()]


class Browser:
    """Goes where it is told; `pages` are what it saw at the end."""

    def __init__(self, group, *, also=()):
        self._group = group
        self._also = also
        self.pages = []
        self.tasks = []

    def __call__(self, url):
        self.url = url
        self.tasks.append(self._group.create_task(self._go(url)))

    async def _go(self, url):
        for other in self._also:
            await browse(other)
        self.pages.append(await browse(url))


async def logged_in(site, tokens, **options):
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        browser = Browser(group)
        await login(at(f"{site.base}/mcp", **options.pop("transport", {})), tokens,
                    open_browser=browser, **options)  # fmt: skip
    return browser


async def test_a_login_is_kept_for_its_owner_alone_and_used(fleet, tmp_path):
    tokens = Tokens(str(tmp_path / "home"))
    async with serving(Site(tokens=set())) as site:
        browser = await logged_in(site, tokens)
        async with fleet(at(f"{site.base}/mcp"), tokens=tokens) as servers:
            await servers.server("web").call("echo", {})
    assert "You are logged in" in browser.pages[0].text
    assert mode_and_neighbours(tokens.path) == (0o600, ["mcp_tokens.json"])
    assert site.saw("/mcp")[-1]["authorization"] == "Bearer fresh"
    (client,) = site.clients.values()
    assert client["client_name"] == "Octavo"
    (asked,) = site.saw("/authorize")
    assert asked["code_challenge_method"] == "S256"
    assert asked["resource"] == f"{site.base}/mcp"


async def test_scopes_client_and_resource_of_the_settings_are_used(tmp_path):
    tokens = Tokens(str(tmp_path))
    async with serving(Site(tokens=set())) as site:
        given = {"oauth_client_id": "ours", "oauth_resource": "urn:x", "scopes": ("one", "two")}
        await logged_in(site, tokens, transport=given)
    (asked,) = site.saw("/authorize")
    assert (asked["client_id"], asked["scope"], asked["resource"]) == ("ours", "one two", "urn:x")
    assert site.clients == {}


async def test_the_browser_can_be_sent_to_another_address(tmp_path, unused_tcp_port):
    async with serving(Site(tokens=set())) as site:
        await logged_in(site, Tokens(str(tmp_path)), callback_port=unused_tcp_port)
    (asked,) = site.saw("/authorize")
    assert asked["redirect_uri"] == f"http://127.0.0.1:{unused_tcp_port}/callback"


async def test_a_port_that_is_taken_is_said(tmp_path):
    async with serving(Site(tokens=set())) as site:
        port = int(site.base.rpartition(":")[2])
        with pytest.raises(McpError, match=f"port {port} on this machine is not free"):
            await login(at(f"{site.base}/mcp"), Tokens(str(tmp_path)), open_browser=print,
                        callback_port=port)  # fmt: skip


async def test_somebody_elses_answer_does_not_disturb(tmp_path):
    async with serving(Site(tokens=set())) as site:
        seen = []

        async def other(url):
            port = url.partition("redirect_uri=http%3A%2F%2F127.0.0.1%3A")[2].partition("%2F")[0]
            seen.append(await browse(f"http://127.0.0.1:{port}/callback?code=evil&state=guessed"))
            seen.append(await browse(f"http://127.0.0.1:{port}/favicon.ico"))
            seen.append(await browse(url))

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            await login(at(f"{site.base}/mcp"), Tokens(str(tmp_path)),
                        open_browser=lambda url: group.create_task(other(url)) and None)  # fmt: skip
    assert [page.status_code for page in seen] == [400, 404, 200]


async def test_a_refusal_is_said_and_nothing_is_kept(tmp_path):
    tokens = Tokens(str(tmp_path))
    site = Site(tokens=set())
    site.refused = "access_denied"
    async with serving(site):
        with pytest.raises(ExceptionGroup) as raised:
            await logged_in(site, tokens)
    (error,) = raised.value.exceptions
    assert str(error) == "MCP server 'web': the login failed: access_denied"
    assert tokens.find("web", f"{site.base}/mcp") is None


async def test_nobody_answers(tmp_path):
    async with serving(Site(tokens=set())) as site:
        with pytest.raises(McpError, match=r"nobody logged in to MCP server 'web' within 0\.2 s"):
            await login(at(f"{site.base}/mcp"), Tokens(str(tmp_path)),
                        open_browser=lambda _url: None, deadline_s=0.2)  # fmt: skip


async def test_a_server_that_wants_none_says_so(tmp_path):
    tokens = Tokens(str(tmp_path))
    async with serving(Site()) as site:
        with pytest.raises(UsageError, match="wants no login"):
            await login(at(f"{site.base}/mcp"), tokens, open_browser=print)
    program = McpServer(name="p", transport=StdioTransport(command="x"))
    with pytest.raises(UsageError, match="is a program: it takes no login"):
        await login(program, tokens, open_browser=print)
    with pytest.raises(UsageError, match="is a program"):
        await logout(program, tokens)


async def test_how_things_stand(tmp_path):
    tokens = Tokens(str(tmp_path))

    async def status(server, site_tokens=tokens):
        return await auth_status(server, site_tokens, environ={})

    program = McpServer(name="p", transport=StdioTransport(command="x"))
    assert await status(program) == "unsupported"
    async with serving(Site()) as site:
        assert await status(at(f"{site.base}/mcp")) == "unsupported"
        assert await status(at(f"{site.base}/mcp", bearer_token_env_var="X")) == "bearer_token"
    async with serving(Site(tokens=set())) as site:
        assert await status(at(f"{site.base}/mcp")) == "not_logged_in"
        await logged_in(site, tokens)
        assert await status(at(f"{site.base}/mcp")) == "o_auth"
        assert await logout(at(f"{site.base}/mcp"), tokens) is True
        assert await logout(at(f"{site.base}/mcp"), tokens) is False
        assert await status(at(f"{site.base}/mcp")) == "not_logged_in"
    assert await status(at("http://127.0.0.1:9/mcp")) == "unknown"


def test_logins_of_several_servers_stand_side_by_side(tmp_path):
    tokens = Tokens(str(tmp_path))
    tokens.keep("a", "http://one", {"x": 1})
    tokens.keep("b", "http://two", {"x": 2})
    tokens.keep("a", "http://one", {"x": 3})
    assert tokens.find("a", "http://one") == {"x": 3}
    assert tokens.find("a", "http://two") is None
    assert tokens.forget("a", "http://one")
    assert json.loads(Path(tokens.path).read_text()) == {"b|http://two": {"x": 2}}


def test_a_file_of_another_shape_is_not_overwritten(tmp_path):
    tokens = Tokens(str(tmp_path))
    Path(tokens.path).write_text("[]")
    with pytest.raises(McpError, match="is not what this program writes there"):
        tokens.keep("a", "http://one", {})
    assert Path(tokens.path).read_text() == "[]"


def test_a_keyring_that_is_not_installed_is_said(tmp_path):
    with pytest.raises(McpError, match="the library for it is missing"):
        Tokens(str(tmp_path), "keyring").find("a", "http://one")
