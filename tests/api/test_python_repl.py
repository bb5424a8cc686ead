"""The Python tool: remembers, is confined, is interrupted, ends with its thread."""

import os
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.testing import ScriptedModel


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


async def answers(room, *calls, sandbox=None):
    """What the tool answers to each call, in one turn."""
    model = ScriptedModel()
    for arguments in calls:
        given = {"code": arguments} if isinstance(arguments, str) else arguments
        model.calls("python", **given)
    model.says("Done.")
    overrides = ("features.python_repl=true",)
    async with Engine.open(model=model, home=room / "home", overrides=overrides) as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=sandbox or Sandbox.workspace_write()
        )
        await thread.run("go")
    return model.requests[-1].tool_outputs


async def test_it_remembers_and_prints_the_last_value(room):
    first, second, third = await answers(
        room, "import math\nx = 20", "x + 1", "print('a')\nmath.floor(x / 3)"
    )
    assert first == "A new interpreter: nothing is defined."
    assert second == "21"
    assert third == "a\n6"


async def test_what_programs_print_is_caught_too(room):
    (found,) = await answers(room, "import subprocess\n_ = subprocess.run(['echo', 'hi'])")
    assert found.endswith("hi")


async def test_waiting_works_at_the_top(room):
    (found,) = await answers(room, "import asyncio\nawait asyncio.sleep(0)\n'ok'")
    assert found.endswith("'ok'")


async def test_an_error_shows_only_the_code_itself(room):
    (found, after) = await answers(room, "y = 1\ndef f():\n    1/0\nf()", "y")
    assert "ZeroDivisionError" in found
    assert "repl_driver" not in found
    assert "run_until_complete" not in found
    assert after == "1"


async def test_it_is_confined_like_commands(room):
    forbidden = Path("/var/tmp") / f"octavo-{os.getpid()}"  # whoever runs this may write there
    (found,) = await answers(room, f"open({str(forbidden)!r}, 'w')")
    assert "OSError" in found or "PermissionError" in found
    assert "Sandbox denied" in found
    assert not forbidden.exists()
    inside, _ = await answers(room, "open('made', 'w').write('x')", "1")
    assert (room / "work/made").read_text() == "x"
    assert "denied" not in inside


async def test_it_works_where_nothing_may_be_written(room):
    (found,) = await answers(room, "print('x' * 3)", sandbox=Sandbox.read_only())
    assert found.endswith("xxx")


async def test_code_that_takes_too_long_is_interrupted_and_memory_kept(room):
    loop = {"code": "while True: pass", "timeout_ms": 300}
    _, found, after = await answers(room, "z = 5", loop, "z")
    assert "interrupted after 0.3 s" in found
    assert after == "5"


async def test_code_that_cannot_be_interrupted_loses_the_memory_and_says_so(room):
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    _, found, after = await answers(
        room, "z = 5", {"code": stubborn, "timeout_ms": 300}, "'z' in globals()"
    )
    assert "is lost" in found
    assert after.endswith("False")


async def test_an_interpreter_that_ends_is_replaced(room):
    _, found, after = await answers(room, "z = 5", "import os; os._exit(3)", "'z' in globals()")
    assert "is lost" in found
    assert after == "A new interpreter: nothing is defined.\nFalse"


async def test_it_can_begin_anew(room):
    *_, after = await answers(room, "z = 5", {"code": "'z' in globals()", "reset": True})
    assert after.endswith("False")


async def test_long_output_is_cut_in_the_middle(room):
    (found,) = await answers(room, "print('a' * 3_000_000)")
    assert len(found) < 100_000
    assert "truncated" in found


async def test_it_is_off_unless_switched_on(room):
    model = ScriptedModel().says("ok")
    async with Engine.open(model=model, home=room / "home") as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        await thread.run("go")
    assert "python" not in {getattr(tool, "name", "") for tool in model.requests[0].tools}
