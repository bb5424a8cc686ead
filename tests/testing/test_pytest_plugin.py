"""A project that has Octavo installed gets the fixtures without saying anything."""

import subprocess
import sys

TEST = """
import asyncio
from octavo import Engine, Sandbox

def test_it(octavo_model, octavo_clock, octavo_ids, tmp_path):
    octavo_model.says("Hello.")

    async def run():
        (tmp_path / "home").mkdir()
        async with Engine.open(
            model=octavo_model, home=tmp_path / "home", clock=octavo_clock, ids=octavo_ids
        ) as engine:
            thread = await engine.start_thread(cwd=tmp_path, sandbox=Sandbox.read_only())
            return (await thread.run("Hi")).final_message

    assert asyncio.run(run()) == "Hello."

def test_the_server(octavo_model_server):
    assert octavo_model_server.url.startswith("http://127.0.0.1:")
"""


def test_the_fixtures_are_there(tmp_path):
    (tmp_path / "test_mine.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout[-2000:]


def test_a_pytest_run_that_does_not_use_them_loads_nothing_of_ours(tmp_path):
    body = "import sys\ndef test_it():\n    assert not [m for m in sys.modules if m.startswith('octavo.protocol')]\n"
    (tmp_path / "test_other.py").write_text(body)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout[-2000:]
