"""A program hears that a turn is over; nobody waits for it."""

import asyncio
import json
import os
import stat
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.api.engine import Engine
from octavo.notify.program import message, start
from octavo.process.child import StartError
from octavo.protocol import events
from octavo.testing import ScriptedModel

ENV = {"PATH": os.environ["PATH"]}


async def until(happened):
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - a program that nobody waits for
            await asyncio.sleep(0.01)


@pytest.fixture
def program(tmp_path):
    """Writes its last argument into a file, then stays for a while."""
    path = tmp_path / "tell.sh"
    path.write_text(f'#!/bin/sh\nprintf %s "$2" > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/told\n'
                    "exec sleep 20\n")  # fmt: skip
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_a_program_gets_one_argument_and_nobody_waits(tmp_path, program):
    began = time.monotonic()
    start([str(program), "first"], '{"a": 1}', env=ENV, cwd=str(tmp_path))
    assert time.monotonic() - began < 5
    await until((tmp_path / "told").exists)
    assert json.loads((tmp_path / "told").read_text()) == {"a": 1}


def test_a_program_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StartError, match="cannot start"):
        start(["/no/such/program"], "{}", env=ENV, cwd=str(tmp_path))
    with pytest.raises(StartError):
        start(["true", "a\0b"], "{}", env=ENV, cwd=str(tmp_path))


@given(st.text(st.characters(codec=None)), st.lists(st.text(st.characters(codec=None))))
def test_no_words_are_too_strange_to_be_told(last, inputs):
    text = message(thread_id="t", turn_id="u", cwd="/w", inputs=inputs, last_message=last)
    told = json.loads(text)
    assert told["type"] == "agent-turn-complete"
    assert len(told["input-messages"]) == len(inputs)


async def test_the_end_of_a_turn_is_told(tmp_path, program, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    overrides = [f"notify={json.dumps([str(program), 'x'])}"]
    model = ScriptedModel().says("Done.")
    async with Engine.open(model=model, home=tmp_path / "home", overrides=overrides) as engine:
        thread = await engine.start_thread(cwd=tmp_path / "work")
        result = await thread.run("go")
    await until((tmp_path / "told").exists)
    assert json.loads((tmp_path / "told").read_text()) == {
        "type": "agent-turn-complete", "thread-id": thread.id, "turn-id": result.turn_id,
        "cwd": str(tmp_path / "work"), "input-messages": ["go"],
        "last-assistant-message": "Done.", "client": "octavo",
    }  # fmt: skip


async def test_a_program_that_cannot_be_started_is_a_warning(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    model = ScriptedModel().says("Done.")
    async with Engine.open(
        model=model, home=tmp_path / "home", overrides=['notify=["/no/such/program"]']
    ) as engine:
        thread = await engine.start_thread(cwd=tmp_path / "work")
        async with thread.stream("go") as turn:
            got = [event async for event in turn]
    assert isinstance(got[-1], events.TurnCompleted)
    (warning,) = [event.message for event in got if isinstance(event, events.Warned)
                  and "notify" in event.message]  # fmt: skip
    assert "/no/such/program" in warning
