"""The table `mcp_servers`: what it means, and what is said of mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.config.mcp import servers_in
from octavo.config.settings import load_settings
from octavo.policy.reader import Reader, nowhere
from octavo.protocol.errors import ConfigError
from octavo.protocol.mcp import HttpTransport, McpServer, StdioTransport


def one(**table):
    (found,) = servers_in({"s": table})
    return found


def test_a_program_with_its_defaults():
    assert one(command="run") == McpServer(name="s", transport=StdioTransport(command="run"))
    assert (one(command="run").startup_timeout_s, one(command="run").tool_timeout_s) == (30, 300)


def test_a_program_with_everything():
    found = one(
        command="run", args=["a"], env={"A": "1"}, env_vars=["B"], cwd="/x", sandbox=True,
        enabled=False, required=True, startup_timeout_sec=2.5, tool_timeout_sec=9,
        enabled_tools=["one", "two"], disabled_tools=["two"],
        default_tools_approval_mode="prompt", tools={"one": {"approval_mode": "approve"}, "x": {}},
        supports_parallel_tool_calls=True,
    )  # fmt: skip
    assert found.transport == StdioTransport(
        command="run", args=("a",), env={"A": "1"}, env_vars=("B",), cwd="/x", sandbox=True
    )
    assert (found.enabled, found.required, found.parallel) == (False, True, True)
    assert (found.startup_timeout_s, found.tool_timeout_s) == (2.5, 9)
    assert [found.offers(tool) for tool in ("one", "two", "three")] == [True, False, False]
    assert [found.mode(tool) for tool in ("one", "x")] == ["approve", "prompt"]


def test_an_address_with_everything():
    found = one(
        url="https://example.org/mcp", bearer_token_env_var="T", http_headers={"X-A": "1"},
        env_http_headers={"X-B": "B"}, scopes=["r"], oauth={"client_id": "me"}, oauth_resource="r:1",
        startup_timeout_ms=1500,
    )  # fmt: skip
    assert found.transport == HttpTransport(
        url="https://example.org/mcp", bearer_token_env_var="T", http_headers={"X-A": "1"},
        env_http_headers={"X-B": "B"}, scopes=("r",), oauth_client_id="me", oauth_resource="r:1",
    )  # fmt: skip
    assert found.startup_timeout_s == 1.5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "mcp_servers.s: neither `command` nor `url` says how to reach it"),
        ({"command": "x", "url": "http://h"}, "mcp_servers.s.url: means nothing for a server that"),
        (
            {"url": "http://h", "env": {}},
            "mcp_servers.s.env: means nothing for a server that is at",
        ),
        ({"url": "http://h", "bearer_token": "x"}, "mcp_servers.s.bearer_token: a token does not"),
        ({"url": "ftp://h"}, "mcp_servers.s.url: expected an http or https address"),
        ({"url": "http://h:99999"}, "mcp_servers.s.url: expected an http or https address"),
        ({"command": ""}, "mcp_servers.s.command: names no program"),
        ({"command": 3}, "mcp_servers.s.command: expected a string, found 3"),
        ({"command": "x", "args": "y"}, "mcp_servers.s.args: expected a list"),
        ({"command": "x", "env": {"A=": "y"}}, "cannot be an environment variable"),
        ({"command": "x", "env_vars": ["A=B"]}, "mcp_servers.s.env_vars: 'A=B' cannot be"),
        ({"command": "x", "tool_timeout_sec": 0}, "mcp_servers.s.tool_timeout_sec: "),
        ({"command": "x", "default_tools_approval_mode": "promt"}, 'did you mean "prompt"?'),
        (
            {"command": "x", "tools": {"t": {"approval_mode": 1}}},
            "mcp_servers.s.tools.t.approval_mo",
        ),
        ({"url": "http://h", "http_headers": {"a b": "x"}}, "cannot be a header"),
    ],
)
def test_mistakes_are_named(table, message):
    with pytest.raises(ConfigError) as error:
        one(**table)
    assert message in str(error.value)


def test_a_name_has_to_be_plain():
    with pytest.raises(ConfigError, match="invalid server name") as error:
        servers_in({"bad name": {"command": "x"}})
    assert "letters, numbers" in error.value.hint


def test_a_server_that_is_no_table_is_named():
    with pytest.raises(ConfigError, match=r"mcp_servers\.s: expected a table"):
        servers_in({"s": 3})


def test_unknown_keys_are_passed_over_with_a_word():
    reader = Reader(nowhere, prefix=("mcp_servers",))
    servers_in({"s": {"command": "x", "arg": []}}, reader)
    (warning,) = reader.warnings
    assert "mcp_servers.s.arg: unknown key" in warning
    assert "args" in warning


def test_they_come_sorted_by_name():
    found = servers_in({"b": {"command": "x"}, "a": {"command": "y"}})
    assert [server.name for server in found] == ["a", "b"]


def test_a_relative_folder_is_seen_from_its_file(tmp_path):
    (tmp_path / "config.toml").write_text('[mcp_servers.s]\ncommand = "x"\ncwd = "here"\n')
    loaded = load_settings(home=str(tmp_path), cwd=str(tmp_path), environ={}, system=())
    (found,) = servers_in(loaded.settings.mcp_servers)
    assert found.transport.cwd == str(tmp_path / "here")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    ["command", "args", "env", "env_vars", "cwd", "url", "http_headers", "tools", "oauth",
     "tool_timeout_sec", "enabled", "enabled_tools", "default_tools_approval_mode"]
)  # fmt: skip


@given(st.dictionaries(keys | st.text(), values, max_size=5))
def test_whatever_is_written_is_understood_or_named(table):
    problem = ""
    try:
        servers_in({"s": table})
    except ConfigError as error:
        problem = str(error)
    assert not problem or "mcp_servers.s" in problem
