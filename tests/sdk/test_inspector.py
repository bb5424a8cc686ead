"""The official inspector of MCP servers, unchanged, looking at `octavo mcp-server`.

`python tools/sdks.py` installs it; without it, or where its registry cannot be reached, these
tests are skipped.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.testing import ModelServer

SDKS = Path(__file__).parents[2] / ".sdks"
INSPECTOR = SDKS / "inspector/node_modules/.bin/mcp-inspector"
SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
DEADLINE_S = 60


@pytest.fixture
def model():
    with ModelServer() as server:
        yield server


@pytest.fixture
def inspect(octavo, model):
    """Runs the inspector with one method."""
    if not (SDKS / "inspector" / "ready").exists():
        pytest.skip("the inspector is not installed: python tools/sdks.py")
    octavo.config(SETTINGS.format(url=model.url))

    def run(method, *words):
        home = f"OCTAVO_HOME={octavo.home}"  # it passes on no variables by itself
        server = ["-e", home, octavo.program, "mcp-server"]
        return subprocess.run(
            [str(INSPECTOR), "--cli", *server, "--method", method, *words],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=octavo.environ(),
            cwd=octavo.cwd,
            check=False,
        )

    return run


def test_the_inspector_lists_the_tools(inspect):
    done = inspect("tools/list")
    assert done.returncode == 0, done.stderr
    names = [tool["name"] for tool in json.loads(done.stdout)["tools"]]
    assert names == ["codex", "octavo", "codex-reply", "octavo-reply"]


def test_the_inspector_calls_a_tool(inspect, model):
    model.says("Hello.")
    done = inspect("tools/call", "--tool-name", "codex", "--tool-arg", "prompt=Hi")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["content"] == [{"type": "text", "text": "Hello."}]
    assert result["structuredContent"]["content"] == "Hello."
    assert b"Hi" in model.requests[0].body


@pytest.mark.parametrize("method", ["resources/list", "prompts/list"])
def test_the_inspector_hears_what_is_not_offered(inspect, method):
    done = inspect(method)
    assert done.returncode == 1
    assert f"method not found: {method}" in done.stderr
