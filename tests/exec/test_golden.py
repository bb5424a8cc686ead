"""What people and programs see of one rich run, kept in two files.

OCTAVO_REWRITE_GOLDEN=1 writes them anew; look at the difference.
"""

import os
import re
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import __version__
from octavo.testing import ModelServer
from octavo.testing.script import Cut

GOLDEN = Path(__file__).parents[1] / "golden" / "exec"
SETTINGS = (
    'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
    "[tools.update_plan]\nenabled = true\n"
)
PATCH = (
    "*** Begin Patch\n*** Update File: calc.py\n@@\n-    return a - b\n+    return a + b\n"
    "*** Add File: notes.txt\n+fixed\n*** End Patch"
)
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d+ ms|\d+\.\d s")
CAUSE = re.compile(r"Transport error: [^)]*\)")


def rich():
    """A run in which nearly everything happens once."""
    plan = [{"step": "look", "status": "completed"}, {"step": "fix", "status": "in_progress"}]
    return (
        ModelServer()
        .thinks("**Looking**\n\nat the tests")
        .says("I look first.", phase="commentary")
        .and_calls("update_plan", plan=plan)
        .and_calls("exec_command", cmd="cat calc.py; exit 3", login=False)
        .calls("exec_command", cmd="printf '\\033[31mred\\033[0m\\a\\n'; seq 20", login=False)
        .calls("exec_command", cmd="(echo x > .git/hook) 2>/dev/null; exit 4", login=False)
        .calls("no_such_tool")
        .says("half a wo")
        .and_then(Cut())
        .calls_custom("apply_patch", PATCH)
        .says("Fixed: `add`\nadds again.")
    )


@pytest.fixture
def run(octavo, workspace):
    (workspace / ".git").mkdir()
    (workspace / "calc.py").write_text("def add(a, b):\n    return a - b\n")

    def once(*words, status=0):
        with rich() as server:
            octavo.config(SETTINGS.format(url=server.url))
            env = {"HOME": str(octavo.home), "SHELL": "/bin/sh", "TERM": "xterm", "NO_COLOR": ""}
            done = octavo("exec", "-s", "workspace-write", *words, "make it\nadd", env=env)
        assert done.returncode == status, done.stderr

        def stable(text):
            text = ID.sub("THREAD", text.replace(str(workspace), "WORK"))
            text = CAUSE.sub("Transport error", text.replace(__version__, "VERSION"))
            return TIME.sub("TIME", text)

        return stable(done.stdout), stable(done.stderr)

    return once


def agree(name, text):
    golden = GOLDEN / name
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the words of a denial are Linux's")
def test_the_lines_for_programs(run):
    stdout, stderr = run("--json")
    agree("events.jsonl", stdout)
    assert stderr == ""


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the words of a denial are Linux's")
def test_the_words_for_people(run):
    stdout, stderr = run()
    assert stdout == "Fixed: `add`\nadds again.\n"
    assert "\x1b" not in stderr
    agree("human.txt", stderr)


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the words of a denial are Linux's")
def test_the_words_for_people_in_colour(run):
    agree("human-colour.txt", run("--color", "always")[1])
