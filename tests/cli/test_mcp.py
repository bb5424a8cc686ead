"""`octavo mcp`: what is written, what is shown, what stays hidden."""

import json
import tomllib

import pytest

from octavo.cli.mcp_show import MASK, Shown, masked_args, masked_url, table
from octavo.config.mcp import ServerTable

BEFORE = """\
# mine
model = "gpt-5" # fast

# servers
[mcp_servers.old] # the first
command = "old"
args = ["a"] # why
"""
FULL = """\
[mcp_servers.ctx]
command = "npx"
args = ["-y", "pkg", "--api-key", "sk-1", "--token=t-2"]
env_vars = ["HOME"]

[mcp_servers.ctx.env]
A = "s3cret"

[mcp_servers.http]
url = "http://127.0.0.1:9/mcp?api_key=k-3"
bearer_token_env_var = "TOK"
tool_timeout_sec = 5
enabled_tools = ["one"]

[mcp_servers.http.http_headers]
X-Secret = "h-4"

[mcp_servers.off]
command = "off"
enabled = false
"""
HIDDEN = ("s3cret", "sk-1", "t-2", "k-3", "h-4")


def lines(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def settings(octavo):
    return tomllib.loads((octavo.home / "config.toml").read_text())


def test_a_command_is_added_and_comments_stay(octavo):
    file = octavo.config(BEFORE)
    done = octavo("mcp", "add", "ctx", "--env", "A=1", "--", "npx", "-y", "pkg")
    assert lines(done) == ["Added global MCP server 'ctx'."]
    assert file.read_text() == (
        BEFORE + '\n[mcp_servers.ctx]\ncommand = "npx"\nargs = ["-y", "pkg"]\n'
        '\n[mcp_servers.ctx.env]\nA = "1"\n'
    )


def test_an_address_is_added_to_an_empty_home(octavo):
    url = "http://127.0.0.1:9/mcp"
    done = octavo("mcp", "add", "http", "--url", url, "--bearer-token-env-var", "TOK")
    assert lines(done) == ["Added global MCP server 'http'."]
    assert (octavo.home / "config.toml").read_text() == (
        f'[mcp_servers.http]\nurl = "{url}"\nbearer_token_env_var = "TOK"\n'
    )
    hint = lines(octavo("mcp", "add", "other", "--url", url))[1]
    assert hint == "If it asks for a login: octavo mcp login other"
    octavo("mcp", "add", "o", "--url", url, "--oauth-client-id", "me", "--oauth-resource", url)
    assert settings(octavo)["mcp_servers"]["o"] == {
        "url": url,
        "oauth": {"client_id": "me"},
        "oauth_resource": url,
    }


def test_a_name_that_is_taken_gets_the_new_server(octavo):
    octavo.config(BEFORE)
    lines(octavo("mcp", "add", "old", "--url", "http://127.0.0.1:9/mcp"))
    assert settings(octavo)["mcp_servers"] == {"old": {"url": "http://127.0.0.1:9/mcp"}}
    text = (octavo.home / "config.toml").read_text()
    assert "# the first" in text
    assert "# mine" in text


def test_a_name_with_signs_is_quoted(octavo):
    lines(octavo("mcp", "add", "@me/a.b:c", "--", "x"))
    assert settings(octavo)["mcp_servers"] == {"@me/a.b:c": {"command": "x"}}
    assert lines(octavo("mcp", "remove", "@me/a.b:c")) == ["Removed global MCP server '@me/a.b:c'."]


def test_a_server_is_removed_and_the_rest_stays(octavo):
    file = octavo.config(BEFORE + '\n# keep\n[mcp_servers.b]\ncommand = "b"\n')
    assert lines(octavo("mcp", "remove", "b")) == ["Removed global MCP server 'b'."]
    assert file.read_text().startswith(BEFORE)
    text = file.read_text()
    assert lines(octavo("mcp", "remove", "b")) == ["No MCP server named 'b' found."]
    assert file.read_text() == text


def test_a_server_that_is_wrong_can_be_removed(octavo):
    octavo.config('[mcp_servers.bad]\ncommand = 5\n[mcp_servers.good]\ncommand = "x"\n')
    assert octavo("mcp", "list").returncode == 3
    lines(octavo("mcp", "remove", "bad"))
    assert settings(octavo)["mcp_servers"] == {"good": {"command": "x"}}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("add", "bad name", "--", "x"), 1, "invalid server name 'bad name' (use letters, numbers"),
        (("remove", "bad name"), 1, "invalid server name"),
        (("add", "a"), 2, "either a command after -- or --url"),
        (("add", "a", "--url", "http://x", "--", "x"), 2, "either a command"),
        (("add", "a", "--env", "A", "--", "x"), 2, "expected KEY=VALUE"),
        (("add", "a", "--env", "A=1", "--url", "http://x"), 2, "--env is for a command"),
        (("add", "a", "--bearer-token-env-var", "T", "--", "x"), 2, "together with --url"),
        (("add", "a", "--url", "ftp://x"), 3, "expected an http or https address"),
        (("get", "a"), 1, "No MCP server named 'a' found."),
        (("login", "a"), 1, "No MCP server named 'a' found."),
        (("logout", "a"), 1, "No MCP server named 'a' found."),
        (("login", "old"), 2, "old"),
        (("logout", "old"), 2, "old"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(octavo, words, code, said):
    file = octavo.config(BEFORE)
    done = octavo("mcp", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_text() == BEFORE


def test_an_empty_list_says_what_to_do(octavo):
    assert lines(octavo("mcp", "list")) == [
        "No MCP servers configured yet. Try `octavo mcp add my-tool -- my-command`."
    ]
    assert json.loads(octavo("mcp", "list", "--json").stdout) == []


def test_servers_are_listed_in_two_tables(octavo):
    octavo.config(FULL)
    ctx = ("ctx", "npx", "-y pkg --api-key ***** --token=*****", "A=*****, HOME=*****", "-")
    off = ("off", "off", "-", "-", "-")
    http = ("http", "http://127.0.0.1:9/mcp?api_key=*****", "TOK", "enabled", "Bearer token")
    assert lines(octavo("mcp", "list")) == [
        *table(
            ("Name", "Command", "Args", "Env", "Cwd", "Status", "Auth"),
            [(*ctx, "enabled", "Unsupported"), (*off, "disabled", "Unsupported")],
        ),
        "",
        *table(("Name", "Url", "Bearer Token Env Var", "Status", "Auth"), [http]),
    ]


def test_servers_are_listed_for_programs(octavo):
    octavo.config(FULL)
    ctx, http, off = json.loads(octavo("mcp", "list", "--json").stdout)
    assert ctx == {
        "name": "ctx",
        "enabled": True,
        "disabled_reason": None,
        "transport": {
            "type": "stdio",
            "command": "npx",
            "args": ["-y", "pkg", "--api-key", MASK, f"--token={MASK}"],
            "env": {"A": MASK},
            "env_vars": ["HOME"],
            "cwd": None,
        },
        "startup_timeout_sec": None,
        "tool_timeout_sec": None,
        "auth_status": "unsupported",
    }
    assert http["transport"] == {
        "type": "streamable_http",
        "url": f"http://127.0.0.1:9/mcp?api_key={MASK}",
        "bearer_token_env_var": "TOK",
        "http_headers": {"X-Secret": MASK},
        "env_http_headers": None,
        "http_headers_helper": None,
    }
    assert (http["auth_status"], http["tool_timeout_sec"]) == ("bearer_token", 5.0)
    assert off["enabled"] is False


def test_one_server_is_shown(octavo):
    octavo.config(FULL)
    assert lines(octavo("mcp", "get", "ctx")) == [
        "ctx",
        "  enabled: true",
        "  transport: stdio",
        "  command: npx",
        "  args: -y pkg --api-key ***** --token=*****",
        "  cwd: -",
        "  env: A=*****, HOME=*****",
        "  remove: octavo mcp remove ctx",
    ]
    assert lines(octavo("mcp", "get", "off")) == ["off (disabled)"]
    found = json.loads(octavo("mcp", "get", "http", "--json").stdout)
    assert (found["enabled_tools"], found["disabled_tools"]) == (["one"], None)
    assert "auth_status" not in found
    assert "  enabled_tools: one" in lines(octavo("mcp", "get", "http"))


@pytest.mark.parametrize(
    "words", [("list",), ("list", "--json"), ("get", "ctx"), ("get", "http", "--json")]
)
def test_secrets_are_shown_only_when_asked_for(octavo, words):
    octavo.config(FULL)
    hidden = octavo("mcp", *words).stdout
    assert not [one for one in HIDDEN if one in hidden]
    assert MASK in hidden
    opened = octavo("mcp", *words, "--show-secrets").stdout
    assert [one for one in HIDDEN if one in opened]


def test_flags_count_for_what_is_shown(octavo):
    done = octavo("-c", 'mcp_servers.x.command="y"', "mcp", "list", "--json")
    assert [one["name"] for one in json.loads(done.stdout)] == ["x"]


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--key", "v", "x"], ["--key", MASK, "x"]),
        (["--key", "--other"], ["--key", "--other"]),
        (["API_TOKEN=v"], [f"API_TOKEN={MASK}"]),
        (["--header", "Authorization: Bearer v"], ["--header", f"Authorization: {MASK}"]),
        (["-p", "v", "a=b", "plain"], ["-p", "v", "a=b", "plain"]),
    ],
)
def test_words_that_sound_like_secrets_are_masked(args, shown):
    assert masked_args(args) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:1/x", f"http://u:{MASK}@h:1/x"),
        ("http://token@h/x", f"http://{MASK}@h/x"),
        ("http://h/x?a=1&token=v#f", f"http://h/x?a=1&token={MASK}#f"),
        ("http://h/x", "http://h/x"),
    ],
)
def test_addresses_are_shown_without_secrets(url, shown):
    assert masked_url(url) == shown


def test_columns_are_as_wide_as_their_widest():
    found = list(table(("A", "Long head"), [("wide", ""), ("x\ny", "z")]))
    assert found == ["A     Long head", "wide  -", "x\\ny  z"]


def test_a_server_without_anything_has_dashes():
    shown = Shown("n", ServerTable(command="c"), open_secrets=False)
    assert list(table(("",) * 7, [shown.row("unknown")]))[1] == "n  c  -  -  -  enabled  Unknown"
