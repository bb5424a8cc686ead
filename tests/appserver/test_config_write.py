"""Settings written over the app server: what a client gets back, and what the file says then."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

SETTINGS = """\
# mine
model = "gpt-5" # fast
model_provider = "mock"

[model_providers.mock]
base_url = "http://127.0.0.1:9"
experimental_bearer_token = "tok-123"
"""
EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
WAIT_S = 30


class Lines:
    """Asks one question after the other."""

    def __init__(self, octavo, *words):
        self.process = subprocess.Popen(
            [octavo.program, *words, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=octavo.cwd,
            env=octavo.environ(),
        )
        self.answer("initialize", clientInfo={"name": "lab", "version": "1"})

    def answer(self, method, **params):
        line = json.dumps({"id": 1, "method": method, "params": params})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return next(found for found in map(json.loads, self.process.stdout) if "id" in found)

    def ask(self, method, **params):
        answer = self.answer(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def write(self, key, value, merge="replace", **more):
        params = {"keyPath": key, "value": value, "mergeStrategy": merge, **more}
        return self.answer("config/value/write", **params)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(WAIT_S) == 0


@pytest.fixture
def file(octavo):
    return octavo.config(SETTINGS)


@pytest.fixture
def server(octavo, file):
    found = Lines(octavo)
    yield found
    found.close()


def test_a_value_is_written_and_the_rest_stays(server, file):
    result = server.write("model", "gpt-6")["result"]
    assert file.read_text() == SETTINGS.replace('"gpt-5"', '"gpt-6"')
    assert result["status"] == "ok"
    assert result["filePath"] == str(file)
    assert result["overriddenMetadata"] is None
    read = server.ask("config/read", includeLayers=True)
    assert read["config"]["model"] == "gpt-6"
    user = next(one for one in read["layers"] if one["name"]["type"] == "user")
    assert user["name"] == {"type": "user", "file": str(file), "profile": None}
    assert user["version"] == result["version"]
    assert read["origins"]["model"] == {"name": user["name"], "version": user["version"]}
    assert "tok-123" not in json.dumps(read)


def test_tables_are_merged_or_replaced_and_null_removes(server, file):
    server.write("tui", {"a": 1, "b": {"c": 2}})
    server.write("tui", {"b": {"d": 3}}, "upsert")
    assert tomllib.loads(file.read_text())["tui"] == {"a": 1, "b": {"c": 2, "d": 3}}
    server.write("tui", {"a": 2})
    assert tomllib.loads(file.read_text())["tui"] == {"a": 2}
    server.write("tui", None)
    assert file.read_text().rstrip() == SETTINGS.rstrip()


def test_a_quoted_key_is_one_name(server, file):
    server.write('projects."/my/work.d".trust_level', "trusted")
    table = tomllib.loads(file.read_text())
    assert table["projects"] == {"/my/work.d": {"trust_level": "trusted"}}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("approval_policy", "bogus", "approval_policy: expected"),
        ("model", 5, "model: expected a string, found 5"),
        ("model.x", 5, "expected a table"),
        ("a..b", 5, "no key path"),
        ("tui.x", [None], "null"),
        ("tui.x", 2**70, "expected a value that TOML has"),
    ],
)
def test_a_bad_value_is_refused_and_nothing_is_written(server, file, key, value, words):
    error = server.write(key, value)["error"]
    assert error["code"] == -32600
    assert error["message"].startswith("Invalid configuration: ")
    assert words in error["message"]
    assert error["data"] == {"config_write_error_code": "configValidationError"}
    assert file.read_text() == SETTINGS


def test_several_changes_are_made_together_or_not_at_all(server, file):
    good = {"keyPath": "web_search", "value": "live", "mergeStrategy": "replace"}
    bad = {"keyPath": "model", "value": 5, "mergeStrategy": "replace"}
    assert "error" in server.answer("config/batchWrite", edits=[good, bad])
    assert file.read_text() == SETTINGS
    other = {"keyPath": "tui.x", "value": True, "mergeStrategy": "upsert"}
    assert server.ask("config/batchWrite", edits=[good, other])["status"] == "ok"
    table = tomllib.loads(file.read_text())
    assert (table["web_search"], table["tui"]) == ("live", {"x": True})


def test_a_change_of_an_older_version_is_refused(server, file):
    version = server.write("web_search", "live")["result"]["version"]
    file.write_text(SETTINGS)
    error = server.write("web_search", "cached", expectedVersion=version)["error"]
    assert error["data"] == {"config_write_error_code": "configVersionConflict"}
    assert file.read_text() == SETTINGS


def test_only_the_users_own_file_is_written(server, file, tmp_path):
    other = tmp_path / "other.toml"
    error = server.write("model", "x", filePath=str(other))["error"]
    assert error["data"] == {"config_write_error_code": "configLayerReadonly"}
    assert not other.exists()
    link = tmp_path / "link.toml"
    os.symlink(file, link)
    assert server.write("model", "x", filePath=str(link))["result"]["filePath"] == str(file)


def test_what_a_stronger_layer_says_is_told(octavo, file):
    server = Lines(octavo, "-c", "model=other", "-c", "tui.x=1")
    result = server.write("model", "gpt-6")["result"]
    assert result["status"] == "okOverridden"
    above = result["overriddenMetadata"]
    assert above["effectiveValue"] == "other"
    assert above["overridingLayer"]["name"] == {"type": "sessionFlags"}
    assert server.write("web_search", "live")["result"]["status"] == "ok"
    kinds = [one["name"]["type"] for one in server.ask("config/read", includeLayers=True)["layers"]]
    assert kinds[:2] == ["sessionFlags", "user"]
    server.close()


def test_a_home_without_settings_has_an_empty_layer(octavo):
    server = Lines(octavo)
    (user,) = (
        one
        for one in server.ask("config/read", includeLayers=True)["layers"]
        if one["name"]["type"] == "user"
    )
    assert (user["version"], user["config"]) == (EMPTY, {})
    server.write("model", "x", expectedVersion=EMPTY)
    assert (octavo.home / "config.toml").read_text() == 'model = "x"\n'
    server.close()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"keyPath": "a", "value": 1},
        {"keyPath": 5, "value": 1, "mergeStrategy": "replace"},
        {"keyPath": "a", "mergeStrategy": "replace"},
        {"keyPath": "a", "value": 1, "mergeStrategy": "sometimes"},
    ],
)
def test_requests_that_are_none_are_refused(server, file, params):
    error = server.answer("config/value/write", **params)["error"]
    assert error["message"].startswith("Invalid request: ")
    assert file.read_text() == SETTINGS
