"""A busy turn stopped at two hundred places: nothing runs on, nothing lies around, and the thread
loads with an answer for every call."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("looks for processes in /proc", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.engine.history import paired
from octavo.protocol.history import FunctionCall, FunctionCallOutput
from octavo.testing import ScriptedModel

POINTS = 200
SIDE_BY_SIDE = 6
PATCH = "*** Begin Patch\n*** Add File: new{}.txt\n+one\n*** Update File: kept.txt\n@@\n-old\n+new\n*** End Patch"
UNDO = "*** Begin Patch\n*** Update File: kept.txt\n@@\n-new\n+old\n*** End Patch"


def mark(work):
    """A time to sleep that belongs to one thread."""
    return f"86399.{int(work.name.removeprefix('work')):03}1"


def busy(time_):
    """Speech, thought, commands side by side, one that stays, patches, a failure, a plan."""
    return (
        ScriptedModel()
        .thinks("Hm, let me see what there is.")
        .says("I look first.")
        .and_calls("exec_command", cmd="echo a; echo b >&2; echo c", login=False)
        .and_calls("exec_command", cmd="cat kept.txt; touch $TMPDIR/x; rm $TMPDIR/x", login=False)
        .calls("exec_command", cmd=f"echo up; sleep {time_}", login=False, yield_time_ms=250)
        .calls_custom("apply_patch", PATCH.format(1))
        .fails("server", "hiccup", retry_after_ms=1)
        .calls_custom("apply_patch", UNDO)
        .calls("exec_command", cmd="false", login=False)
        .says("Half of it is done, the other half comes now.")
        .and_calls("exec_command", cmd="seq 200", login=False)
        .says("All of it is done.")
    )


def running(word):
    """Command lines of processes that carry the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if word.encode() in words and b"pytest" not in words:
                    found.append(words)
    return found


class Model:
    """A new script for every thread."""

    def __init__(self):
        self.scripts = {}
        self.times = {}

    def stream(self, request):
        script = self.scripts.setdefault(request.thread_id, None) or busy(
            self.times[request.thread_id]
        )
        self.scripts[request.thread_id] = script
        return script.stream(request)


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path


async def stopped_at(thread, point):
    """Run a turn; at the event with this number stop it: in order, or by cancelling whoever waits.

    True when the turn was over before."""
    politely = point % 2 == 0
    seen = 0

    async def watch(turn):
        nonlocal seen
        async for _ in turn:
            seen += 1
            if seen == point // 2 + 1:
                if not politely:
                    raise asyncio.CancelledError
                await turn.interrupt()

    with suppress(asyncio.CancelledError):
        async with thread.stream("go") as turn:
            await watch(turn)
    return seen <= point // 2


async def one(engine, model, room, point):
    """Stop a turn at one place, and look round. True when the turn was over before."""
    work = room / f"work{point}"
    work.mkdir()
    (work / "kept.txt").write_text("old\n")
    thread = await engine.start_thread(cwd=work, sandbox=Sandbox.workspace_write())
    model.times[thread.id] = mark(work)
    over = await stopped_at(thread, point)
    await thread.close()
    assert running(mark(work)) == [], point
    assert (work / "kept.txt").read_text() in ("old\n", "new\n")
    loaded = engine.store.read(thread.id)
    assert loaded.broken_lines == 0
    calls = [item.call_id for item in loaded.items if isinstance(item, FunctionCall)]
    answers = [item.call_id for item in loaded.items if isinstance(item, FunctionCallOutput)]
    assert calls == answers, point
    assert list(paired(loaded.items)) == list(loaded.items), point
    return over


async def test_a_turn_may_be_stopped_anywhere(room):
    model = Model()
    over = 0
    async with Engine.open(model=model, home=room / "home") as engine:
        for first in range(0, POINTS, SIDE_BY_SIDE):
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(one(engine, model, room, point))
                    for point in range(first, min(first + SIDE_BY_SIDE, POINTS))
                ]
            over += sum(task.result() for task in tasks)
    assert list((room / "tmp").iterdir()) == []
    for work in room.glob("work*"):
        assert {path.name for path in work.iterdir()} <= {"kept.txt", "new1.txt"}, work
    assert over < POINTS // 2, "the turn has too few events to be stopped at so many places"
