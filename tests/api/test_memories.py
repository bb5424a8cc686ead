"""Memories: threads that are idle are read, merged by a confined agent, and told to new ones."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.options import ThreadOptions
from octavo.model.request import ModelRequest
from octavo.protocol import events, items
from octavo.protocol.history import Message
from octavo.protocol.ids import ItemId, TurnId
from octavo.protocol.usage import TokenUsage
from octavo.store.checkpoints import Checkpoints as Kept
from octavo.store.memories import Memory, MemoryStore
from octavo.store.undo import Undo
from octavo.testing import ScriptedModel
from octavo.testing.script import Reply, Say, Stall

ON = "features.memories=true"
KEY = "sk-live0123456789abcdefghij"


class Rooms:
    """A ModelClient: the thread, the reading and the merging each play a script of their own."""

    def __init__(self):
        self.thread, self.reading, self.merging = (ScriptedModel() for _ in range(3))

    def stream(self, request: ModelRequest):
        return self.room(request).stream(request)

    def room(self, request):
        if request.output_schema is not None and request.output_schema.name == "memory_extraction":
            return self.reading
        merging = any("You keep the memory of a coding agent" in text for text in texts(request))
        return self.merging if merging else self.thread


def texts(request):
    return [item.text for item in request.input if isinstance(item, Message)]


def notes(raw="The build needs `make deps` first.", slug="Fix the Build!"):
    return json.dumps({"raw_memory": raw, "rollout_summary": "Fixed.", "rollout_slug": slug})


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A home and a folder; nothing of the machine's settings."""
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def opened(room, model, *overrides):
    environ = {**os.environ, "OCTAVO_HOME": str(room / "home")}
    return Engine.open(model=model, environ=environ, overrides=overrides)


async def old_thread(room, words="Make it build, with key " + KEY, hours=8.0):
    """A thread that ended some hours ago."""
    model = ScriptedModel().says("It builds.")
    async with opened(room, model) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        await thread.run(words)
        path, found = thread.path, thread.id
    at = time.time() - hours * 3600
    os.utime(path, (at, at))
    return found


def records(room):
    return MemoryStore(str(room / "home"), now_ms=lambda: 0).all()


def memory_folder(room):
    return room / "home" / "memories"


def stalls():
    """A reply that never comes, and what is set when it is asked for."""
    asked = asyncio.Event()

    def reply(_request):
        asked.set()
        return Reply(steps=(Stall(),))

    return reply, asked


def printed(*words):
    """What a program prints; it has to succeed."""
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def leases(room):
    return sorted((room / "home/state/memories/leases").glob("*.json"))


def merged(room):
    return (room / "home/state/memories/merged.json").exists()


def merge_by(model, *commands):
    """The merging agent runs these commands and is done."""
    for command in commands:
        model.merging.calls("exec_command", cmd=command)
    model.merging.says("Merged.")


async def work_once(room, model, *overrides, stop=None, sandbox=None):
    """One turn of a new thread; then the background to its end, or until `stop` is set."""
    model.thread.says("Hello.")
    async with opened(room, model, ON, *overrides) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=sandbox)
        listener = thread._session.bus.listen()
        await thread.run("Hi")
        async with asyncio.timeout(60):
            await (engine._memories[0].done() if stop is None else stop.wait())
        await thread.close()
        heard = [event async for event in listener]
    return [event.message for event in heard if isinstance(event, events.Warned)]


# ---- off ------------------------------------------------------------------------------------


PROBE = """
import asyncio, sys
from octavo.api.engine import Engine
from octavo.api.options import ThreadOptions
from octavo.store.undo import Undo
from octavo.testing import ScriptedModel
model = ScriptedModel().says("Hello.")
async def main():
    async with Engine.open(model=model, home=sys.argv[1]) as engine:
        await (await engine.start_thread(cwd=sys.argv[2])).run("Hi")
asyncio.run(main())
assert len(model.requests) == 1
assert "memor" not in repr(model.requests).lower()
print([name for name in sys.modules if name.startswith("octavo") and "memor" in name])
"""


async def test_switched_off_there_is_no_file_no_request_and_no_import(room):
    await old_thread(room)
    assert printed(sys.executable, "-c", PROBE, room / "home", room / "work") == "[]\n"
    assert not memory_folder(room).exists()
    assert not (room / "home/state/memories").exists()


async def test_agents_know_nothing_of_memories(room):
    memory_folder(room).mkdir(parents=True)
    (memory_folder(room) / "memory_summary.md").write_text("Tabs, always.")
    model = ScriptedModel().says("a").says("b")
    async with opened(room, model, ON) as engine:
        for depth in (0, 1):
            options = ThreadOptions(cwd=str(room / "work"), depth=depth, ephemeral=True)
            await (await engine.open_thread(options)).run("Hi")
    seen = ["Tabs, always." in "".join(texts(request)) for request in model.requests]
    assert seen == [True, False]


# ---- both phases ----------------------------------------------------------------------------


async def test_an_idle_thread_is_read_merged_and_told_to_the_next(room):
    old = await old_thread(room)
    model = Rooms()
    model.reading.says(notes(raw=f"Use password={KEY}; run `make deps` first."))
    merge_by(
        model,
        "echo '- build: make deps' > MEMORY.md; echo 'Run make deps.' > memory_summary.md",
        "echo x > ../outside; echo x > ${TMPDIR:-/tmp}/octavo-memory-test",
    )
    warned = await work_once(room, model)
    assert warned == []
    (asked,) = model.reading.requests
    assert asked.effort is None
    assert asked.tools == ()
    assert "Make it build" in texts(asked)[0]
    assert KEY not in repr([asked, *model.merging.requests])
    (record,) = records(room)
    assert record.thread == old
    assert record.slug == f"fix-the-build-{old[-8:]}"
    assert KEY not in record.raw_memory
    assert "make deps" in record.raw_memory
    folder = memory_folder(room)
    assert "make deps" in (folder / "raw_memories.md").read_text()
    assert "Fixed." in (folder / f"rollout_summaries/{record.slug}.md").read_text()
    assert (folder / "MEMORY.md").read_text() == "- build: make deps\n"
    assert not (room / "home/outside").exists()
    assert not (Path(tempfile.gettempdir()) / "octavo-memory-test").exists()
    assert leases(room) == []

    later = Rooms()
    await work_once(room, later)
    (first,) = later.thread.requests
    (told,) = [text for text in texts(first) if "Run make deps." in text]
    assert "<memories>" in told
    assert str(folder) in told
    assert (later.reading.requests, later.merging.requests) == ([], [])  # nothing is new


async def test_the_merging_agent_has_nobody_to_ask_or_to_start(room):
    await old_thread(room)
    model = Rooms()
    model.reading.says(notes())
    merge_by(model)
    overrides = ("memories.consolidation_model='big'", "memories.extract_model='small'")
    await work_once(room, model, *overrides)
    (asked,) = model.merging.requests
    assert asked.model == "big"
    assert model.reading.requests[0].model == "small"
    names = {getattr(tool, "name", "") for tool in asked.tools}
    assert "spawn_agent" not in names
    before = "".join(texts(asked)[:-1])
    assert "Nobody can be asked" in before
    assert "no network" in before
    assert f"Writable: `{memory_folder(room)}`." in before


async def test_the_first_request_does_not_wait_and_the_background_begins_after_it(room):
    await old_thread(room)
    model = Rooms()
    reply, asked = stalls()
    model.thread.replies.append(reply)
    async with opened(room, model, ON) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        async with thread.stream("Hi"):
            await asked.wait()
            assert leases(room) == []
            assert not engine._memories[0]._answered.is_set()
    assert model.reading.requests == []


async def test_closing_stops_the_background_and_gives_the_lease_back(room):
    old = await old_thread(room)
    model = Rooms()
    reply, asked = stalls()
    model.reading.replies.append(reply)
    await work_once(room, model, stop=asked)
    assert leases(room) == []
    assert records(room) == ()
    again = Rooms()
    again.reading.says(notes())
    merge_by(again)
    await work_once(room, again)
    assert [record.thread for record in records(room)] == [old]
    assert merged(room)


async def test_closing_while_memories_are_merged_loses_nothing(room):
    await old_thread(room)
    model = Rooms()
    model.reading.says(notes())
    reply, asked = stalls()
    model.merging.replies.append(reply)
    await work_once(room, model, stop=asked)
    assert leases(room) == []
    assert not merged(room)
    again = Rooms()
    merge_by(again)
    await work_once(room, again)
    assert again.reading.requests == []


async def test_an_answer_nobody_can_read_is_one_warning_and_waits_an_hour(room):
    await old_thread(room)
    model = Rooms()
    model.reading.says("Sure! Here are my notes.")
    warned = await work_once(room, model)
    model.reading.says(notes())
    warned += await work_once(room, model)
    assert len(model.reading.requests) == 1
    assert records(room) == ()
    (line,) = [text for text in warned if "notes could not be read" in text]
    assert line.startswith("memories: thread ")


async def test_threads_that_are_young_or_running_elsewhere_are_left_alone(room):
    await old_thread(room, hours=1)
    await old_thread(room, hours=24 * 11)
    leased = await old_thread(room, hours=9)
    store = MemoryStore(str(room / "home"), now_ms=lambda: time.time_ns() // 1_000_000)
    store.prepare()
    assert store.lease(leased)
    model = Rooms()
    await work_once(room, model)
    assert model.reading.requests == []


async def test_at_most_so_many_are_read_at_a_start(room):
    for hours in (8, 9, 10):
        await old_thread(room, words=f"task of {hours} hours", hours=hours)
    model = Rooms()
    model.reading.says(notes()).says(notes())
    merge_by(model)
    await work_once(room, model)
    asked = "".join(texts(request)[0] for request in model.reading.requests)
    assert "task of 8 hours" in asked
    assert "task of 9 hours" in asked
    assert "task of 10 hours" not in asked


async def test_a_budget_that_is_spent_stops_the_background_too(room):
    await old_thread(room)
    model = Rooms()
    spent = TokenUsage(input=100, output=10, total=110)
    model.thread.replies.append(Reply(steps=(Say(text="Hello."),), usage=spent))
    warned = await work_once(room, model, "budget.tokens=110")
    assert model.reading.requests == []
    assert any("budget" in text for text in warned)


async def test_without_generation_nothing_is_read_but_the_summary_is_told(room):
    await old_thread(room)
    memory_folder(room).mkdir(parents=True)
    (memory_folder(room) / "memory_summary.md").write_text("Tabs, always.")
    model = Rooms()
    await work_once(room, model, "memories.generate_memories=false")
    assert "Tabs, always." in "".join(texts(model.thread.requests[0]))
    assert model.reading.requests == []


async def test_without_use_the_summary_is_not_told(room):
    memory_folder(room).mkdir(parents=True)
    (memory_folder(room) / "memory_summary.md").write_text("Tabs, always.")
    model = Rooms()
    await work_once(room, model, "memories.use_memories=false")
    assert "Tabs, always." not in "".join(texts(model.thread.requests[0]))


# ---- what commands may do ---------------------------------------------------------------------


async def test_commands_may_write_the_memories_and_nothing_else_of_the_home(room):
    model = Rooms()
    home = room / "home"
    model.thread.calls(
        "exec_command",
        cmd=f"echo note > {home}/memories/MEMORY.md; echo x > {home}/config.toml;"
        f" echo x > {home}/state/memories/threads/x.json",
    )
    await work_once(room, model, sandbox=Sandbox.workspace_write())
    assert (home / "memories/MEMORY.md").read_text() == "note\n"
    assert not (home / "config.toml").exists()
    assert not list((home / "state/memories/threads").iterdir())


async def test_read_only_threads_cannot_write_them(room):
    model = Rooms()
    target = room / "home/memories/MEMORY.md"
    model.thread.calls("exec_command", cmd=f"echo note > {target}")
    await work_once(room, model, sandbox=Sandbox.read_only())
    assert not target.exists()


async def test_reading_a_summary_by_a_command_counts_as_a_use(room):
    store = MemoryStore(str(room / "home"), now_ms=lambda: time.time_ns() // 1_000_000)
    store.prepare()
    thread = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
    now = time.time_ns() // 1_000_000
    store.keep(Memory(thread=thread, slug="one-ffff0000", raw_memory="x", made_ms=now))
    model = Rooms()
    path = room / "home/memories/rollout_summaries/one-ffff0000.md"
    model.thread.calls("exec_command", cmd=f"cat {path}")
    await work_once(
        room, model, "memories.generate_memories=false",
    )  # fmt: skip
    assert store.get(thread).uses == 1
    assert store.get(thread).used_ms >= now


async def test_a_link_in_the_folder_is_never_followed(room):
    (room / "secret").write_text("the secret")
    memory_folder(room).mkdir(parents=True)
    (memory_folder(room) / "memory_summary.md").symlink_to(room / "secret")
    (room / "aim").mkdir()
    (memory_folder(room) / "rollout_summaries").symlink_to(room / "aim")
    await old_thread(room)
    model = Rooms()
    model.reading.says(notes())
    merge_by(model)
    async with opened(room, ScriptedModel(), ON) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        (line,) = [text for text in thread.warnings if "memory_summary.md" in text]
        assert "the secret" not in line
    await work_once(room, model)
    assert "the secret" not in repr(model.thread.requests)
    assert list((room / "aim").iterdir()) == []
    assert not (memory_folder(room) / "rollout_summaries").is_symlink()


async def test_a_folder_that_programs_would_obey_stops_the_merging(room):
    await old_thread(room)
    (memory_folder(room) / ".git").mkdir(parents=True)
    model = Rooms()
    model.reading.says(notes())
    warned = await work_once(room, model)
    assert model.merging.requests == []
    assert any(".git, which does not belong there" in text for text in warned)


async def test_a_damaged_record_is_one_warning_and_not_fatal(room):
    await old_thread(room)
    folder = room / "home/state/memories/threads"
    folder.mkdir(parents=True)
    (folder / "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000.json").write_text("{ no")
    model = Rooms()
    model.reading.says(notes())
    merge_by(model)
    warned = await work_once(room, model)
    assert [text for text in warned if "is left out" in text] != []
    assert len(records(room)) == 1


async def test_a_home_that_cannot_be_written_is_one_warning(room):
    (room / "home/memories").write_text("a file")
    async with opened(room, ScriptedModel().says("Hello."), ON) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        assert [text for text in thread.warnings if text.startswith("no memories: ")]
        assert (await thread.run("Hi")).final_message == "Hello."


# ---- text from outside ------------------------------------------------------------------------


async def test_threads_with_text_from_outside_can_be_left_out(room):
    old = await old_thread(room)
    store = MemoryStore(str(room / "home"), now_ms=lambda: 0)
    store.prepare()
    store.pollute(old)
    model = Rooms()
    await work_once(room, model, "memories.disable_on_external_context=true")
    assert model.reading.requests == []
    model.reading.says(notes())
    merge_by(model)
    await work_once(room, model)
    assert [record.polluted for record in records(room)] == [True]


# ---- history ----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
async def test_the_next_merging_gets_what_changed_since_the_last_and_history_is_kept(room):
    await old_thread(room)
    model = Rooms()
    model.reading.says(notes())
    merge_by(model, "echo one > MEMORY.md")
    await work_once(room, model)
    assert "changes.diff" not in texts(model.merging.requests[0])[-1]
    await old_thread(room, words="another", hours=7)
    (memory_folder(room) / "MEMORY.md").write_text("one\nby hand\n")
    again = Rooms()
    again.reading.says(notes(raw="Second note.", slug="second"))
    merge_by(again, "cat changes.diff")
    await work_once(room, again)
    assert "changes.diff" in texts(again.merging.requests[0])[-1]
    (shown,) = again.merging.requests[-1].tool_outputs
    assert "+by hand" in shown
    assert "+Second note." in shown
    assert not (memory_folder(room) / "changes.diff").exists()
    log = printed(
        "git", "--git-dir", room / "home/state/memories/history.git", "log", "--format=%s", "now"
    )
    assert log.split("\n")[:4] == ["merged", "before merging", "merged", "before merging"]
    assert not (memory_folder(room) / ".git").exists()


# ---- with everything else ---------------------------------------------------------------------


@pytest.mark.parametrize("passes", [*range(0, 60, 3), *range(60, 400, 40)])
async def test_closing_at_any_time_leaves_no_lease_and_no_task(room, passes):
    await old_thread(room)
    model = Rooms()
    model.thread.says("Hello.")
    model.reading.says(notes())
    merge_by(model, "echo one > MEMORY.md")
    async with asyncio.timeout(30):
        async with opened(room, model, ON) as engine:
            thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
            await thread.run("Hi")
            for _ in range(passes):
                await asyncio.sleep(0)  # somewhere in the background's work
    assert leases(room) == []
    assert len(records(room)) <= 1
    assert not list(memory_folder(room).glob("**/.new-*"))


async def test_undo_leaves_memories_alone(room):
    model = Rooms()
    memory = room / "home/memories/MEMORY.md"
    model.thread.calls("exec_command", cmd=f"echo note > {memory}; echo mine > a.txt")
    await work_once(room, model, sandbox=Sandbox.workspace_write())
    kept = Kept(str(room / "home"), now_ns=time.time_ns)
    (thread,) = [path.stem[-36:] for path in (room / "home/sessions").rglob("*.jsonl")]
    undo = Undo(kept, new_id=lambda: "u")
    with undo.undoing(thread) as plan:
        undo.carry_out(plan)
    assert memory.read_text() == "note\n"
    assert not (room / "work/a.txt").exists()


async def test_a_search_marks_the_thread(room):
    model = Rooms()
    async with opened(room, model, ON) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        found = items.WebSearch(id=ItemId("ws_1"), query="x")
        thread._session.publish(events.ItemCompleted(turn_id=TurnId("t"), item=found))
    (record,) = records(room)
    assert (record.thread, record.polluted) == (thread.id, True)


async def test_a_thread_without_a_record_of_its_own_reads_nothing(room):
    await old_thread(room)
    model = Rooms()
    model.thread.says("Hello.")
    async with opened(room, model, ON) as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.read_only(), ephemeral=True
        )
        await thread.run("Hi")
        await engine._memories[0].done()
    assert model.reading.requests == []
