"""Servers at an address: headers, tokens, calls, and what is said when they do not answer."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("sessions have programs, too", allow_module_level=True)

from mcp_web_room import Site, serving

from octavo.mcp.base import McpError
from octavo.mcp.oauth import Kept
from octavo.mcp.tokens import Tokens
from octavo.protocol.mcp import HttpTransport, McpServer


def at(url, name="web", **more):
    given = {key: more.pop(key) for key in ("startup_timeout_s", "tool_timeout_s") if key in more}
    return McpServer(name=name, transport=HttpTransport(url=url, **more), **given)


async def test_it_is_called_with_token_and_headers(fleet):
    async with serving(Site(tokens={"secret"})) as site:
        settings = at(
            f"{site.base}/mcp",
            bearer_token_env_var="TOKEN",
            http_headers={"X-Team": "blue"},
            env_http_headers={"X-User": "WHO", "X-None": "MISSING"},
        )
        environ = {"TOKEN": "secret\n", "WHO": "ada"}
        async with fleet(settings, environ=environ) as servers:
            reply = await servers.server("web").call("echo", {"a": 1})
    assert reply.content[0]["text"] == '{"a": 1}'
    for headers in site.saw("/mcp"):
        assert headers["authorization"] == "Bearer secret"
        assert (headers["x-team"], headers["x-user"]) == ("blue", "ada")
        assert "x-none" not in headers


async def test_a_token_that_is_not_set_is_said(fleet):
    async with fleet(at("http://127.0.0.1:9/mcp", bearer_token_env_var="TOKEN")) as servers:
        await servers.ready()
        error = servers.server("web").error
    assert error.startswith("MCP server 'web': the variable TOKEN with its token is not set")


async def test_a_server_that_is_not_there_is_one_line(fleet):
    async with fleet(at("http://127.0.0.1:9/mcp", startup_timeout_s=5)) as servers:
        await servers.ready()
        error = servers.server("web").error
    assert error.startswith("MCP server 'web'")
    assert "connect" in error.lower()
    assert "\n" not in error


async def test_a_server_that_wants_a_login_says_how(fleet, tmp_path):
    async with (
        serving(Site(tokens=set())) as site,
        fleet(at(f"{site.base}/mcp"), tokens=Tokens(str(tmp_path))) as servers,
    ):
        await servers.ready()
        error = servers.server("web").error
    assert error == "MCP server 'web' wants a login (Run `octavo mcp login web`.)"
    assert site.clients == {}  # nothing was registered on the way


async def test_an_error_of_the_server_fails_the_call_and_not_the_server(fleet):
    async with serving(Site()) as site, fleet(at(f"{site.base}/mcp")) as servers:
        one = servers.server("web")
        await one.ready()
        site.broken = 500
        with pytest.raises(McpError, match="web"):
            await one.call("echo", {})
        site.broken = None
        assert (await one.call("echo", {})).content[0]["text"] == "{}"


async def test_a_login_that_has_ended_is_renewed_and_kept(fleet, tmp_path):
    tokens = Tokens(str(tmp_path))
    async with serving(Site(tokens={"renewed-1"})) as site:
        settings = at(f"{site.base}/mcp")
        remember(site, settings, tokens, expires_at=1.0)
        async with fleet(settings, tokens=tokens) as servers:
            reply = await servers.server("web").call("echo", {})
    assert reply.content[0]["text"] == "{}"
    assert site.renewals == 1
    assert Kept(settings, tokens).entry["tokens"]["access_token"] == "renewed-1"


async def test_a_token_that_is_refused_is_renewed_once(fleet, tmp_path):
    tokens = Tokens(str(tmp_path))
    async with serving(Site(tokens={"other"})) as site:
        settings = at(f"{site.base}/mcp")
        remember(site, settings, tokens, expires_at=None)
        async with fleet(settings, tokens=tokens) as servers:
            await servers.server("web").call("echo", {})
    assert site.renewals == 1


async def test_a_login_that_cannot_be_renewed_asks_for_another(fleet, tmp_path):
    tokens = Tokens(str(tmp_path))
    async with serving(Site(tokens={"other"})) as site:
        settings = at(f"{site.base}/mcp")
        remember(site, settings, tokens, expires_at=1.0, refresh="worn out")
        async with fleet(settings, tokens=tokens) as servers:
            await servers.ready()
            assert "wants a login" in servers.server("web").error


def remember(site, settings, tokens, *, expires_at, refresh="again"):
    """A login from some time ago."""
    kept = Kept(settings, tokens)
    kept.entry = {
        "tokens": {"access_token": "old", "token_type": "Bearer", "refresh_token": refresh},
        "expires_at": expires_at,
        "client": {"client_id": "client-9", "redirect_uris": ["http://127.0.0.1/callback"],
                   "token_endpoint_auth_method": "none"},
        "metadata": {
            "issuer": site.base + "/",
            "authorization_endpoint": f"{site.base}/authorize",
            "token_endpoint": f"{site.base}/token",
            "response_types_supported": ["code"],
        },
    }  # fmt: skip
    kept.save()
