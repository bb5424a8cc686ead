"""A review: a thread of its own reads, writes nothing, and what it says is known afterwards."""

import json
import os
import subprocess
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Decision, Sandbox
from octavo.api.engine import Engine
from octavo.api.recording import play_file
from octavo.api.review import BaseBranch, Commit, Custom, Uncommitted, looked_up
from octavo.api.thread import TurnFailedError
from octavo.engine.review import RUBRIC
from octavo.protocol import events, items
from octavo.protocol.errors import UsageError
from octavo.protocol.history import Message
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Hold, Reply, Say

ENV = {"PATH": os.environ["PATH"]}


def git(folder, *words):
    env = ENV | {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "a.py").write_text("x = 1\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "Begin")
    return tmp_path


def opened(room, model, *overrides):
    return Engine.open(model=model, home=room / "home", overrides=overrides)


async def start(engine, room, **more):
    return await engine.start_thread(cwd=room / "work", sandbox=Sandbox.workspace_write(), **more)


def answer(room, **more):
    finding = {
        "title": "Wrong",
        "body": "It is wrong.",
        "confidence_score": 0.9,
        "priority": 1,
        "code_location": {
            "absolute_file_path": str(room / "work/a.py"),
            "line_range": {"start": 1, "end": 1},
        },
    }
    return json.dumps({
        "findings": [finding],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "One thing.",
        "overall_confidence_score": 0.8,
        **more,
    })  # fmt: skip


def said(text):
    return Reply(steps=(Say(text=text),))


def texts(request, role):
    return [one.text for one in request.input if isinstance(one, Message) and one.role == role]


async def yes(_request):
    return Decision.allow_once()


async def test_a_review_reads_writes_nothing_and_is_remembered(room):
    rules = room / "home/rules"
    rules.mkdir()
    (rules / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")\n')
    (room / "work/a.py").write_text("x = 2\n")
    model = ScriptedModel(
        Reply(
            steps=(
                Call(name="exec_command", arguments={"cmd": "git diff HEAD"}),
                Call(name="exec_command", arguments={"cmd": f"touch {room}/work/b"}),
                Call(name="exec_command", arguments={"cmd": "echo x > c"}),
            )
        ),
        said(answer(room)),
        said("I will fix it."),
    )
    async with opened(room, model, 'approval_policy="on-request"', 'web_search="live"') as engine:
        thread = await start(engine, room, approver=yes)
        result = await thread.review(Uncommitted())
        await thread.run("fix them")
        listed = [info async for info in engine.threads()]
    assert {path.name for path in (room / "work").iterdir()} == {".git", "a.py"}
    first, second, later = model.requests
    assert first.instructions == RUBRIC
    assert first.output_schema is not None
    assert "+x = 2" in second.tool_outputs[0]
    assert {getattr(tool, "name", "web_search") for tool in first.tools} == {
        "exec_command", "write_stdin", "view_image",
    }  # fmt: skip
    assert result.final_message == (
        "Patch is incorrect (confidence 0.80).\n\nOne thing.\n\n1 finding:\n\n"
        "- [P1] Wrong — a.py:1\n  It is wrong."
    )
    entered, exited = [one for one in result.items if isinstance(one, items.ReviewMode)]
    assert (entered.state, exited.state) == ("entered", "exited")
    assert exited.target == "uncommitted changes"
    assert exited.review.findings[0].title == "Wrong"
    assert sum(isinstance(one, items.CommandExecution) for one in result.items) == 3
    assert result.usage.total == 220
    told = [text for text in texts(later, "user") if text.startswith("<review_result>")]
    assert len(told) == 1
    assert "a.py:1" in told[0]
    assert result.final_message in texts(later, "assistant")
    assert {info.parent for info in listed} == {None, thread.id}


async def test_a_model_for_reviews_is_asked_where_one_is_set(room):
    model = ScriptedModel(said("fine"), said("ok"))
    async with opened(room, model, "review_model=judge", "model=worker") as engine:
        thread = await start(engine, room)
        result = await thread.review(Custom(instructions="only the names"))
        await thread.run("thanks")
    assert [request.model for request in model.requests] == ["judge", "worker"]
    assert texts(model.requests[0], "user")[-1] == "only the names"
    assert result.final_message == "fine"  # no JSON: the words are the explanation


async def test_the_merge_base_and_the_title_are_looked_up(room):
    work = room / "work"
    base = git(work, "rev-parse", "HEAD")
    git(work, "checkout", "-qb", "topic")
    (work / "b.py").write_text("y\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "Add b\n\nLong story.")
    head = git(work, "rev-parse", "HEAD")
    model = ScriptedModel(said("fine"), said("fine"), said("fine"))
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        await thread.review(BaseBranch(branch="main"))
        await thread.review(BaseBranch(branch="gone"))
        result = await thread.review(Commit(sha=head))
    asked = [texts(request, "user")[-1] for request in model.requests]
    assert f"git diff {base}" in asked[0]
    assert "git merge-base" in asked[1]
    assert f'{head} ("Add b")' in asked[2]
    assert result.items[-1].text == "fine"


async def test_looking_things_up_runs_nothing_of_the_repository(room):
    work = room / "work"
    bait = room / "bait"
    bait.write_text(f"#!/bin/sh\necho ran >> {room}/ran\n")
    bait.chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "core.editor"):
        git(work, "config", name, str(bait))
    git(work, "config", "log.showSignature", "true")
    git(work, "config", "core.hooksPath", str(room))
    found = await looked_up(Commit(sha="HEAD"), str(work), ENV)
    assert found.title == "Begin"
    await looked_up(BaseBranch(branch="main"), str(work), ENV)
    assert not (room / "ran").exists()


@pytest.mark.parametrize("target", [
    BaseBranch(branch="--output=x"), BaseBranch(branch=""), Commit(sha="a b"), Commit(sha="a\nb"),
    Custom(instructions=" \n"),
])  # fmt: skip
async def test_a_target_that_is_none_is_refused(room, target):
    async with opened(room, ScriptedModel()) as engine:
        thread = await start(engine, room)
        with pytest.raises(UsageError):
            await thread.review(target)


async def test_a_review_that_is_stopped_leaves_another_note(room):
    model = ScriptedModel(
        Reply(steps=(Call(name="exec_command", arguments={"cmd": "sleep 60"}), Hold(gate="x"))),
        said("ok"),
    )
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        async with thread.stream_review(Uncommitted()) as turn:
            seen = []
            async for event in turn:
                seen.append(event)
                if isinstance(event, events.ItemStarted):
                    with pytest.raises(UsageError, match="review is running"):
                        await turn.steer("hurry")
                    await turn.interrupt()
        await thread.run("and?")
    assert isinstance(seen[-1], events.TurnInterrupted)
    exited = [
        event.item
        for event in seen
        if isinstance(event, events.ItemCompleted) and isinstance(event.item, items.ReviewMode)
    ][-1]
    assert (exited.state, exited.review) == ("exited", None)
    told = [text for text in texts(model.requests[1], "user") if "<review_result>" in text]
    assert "did not come to its end" in told[0]


async def test_a_review_that_fails_fails_the_turn_and_the_thread_goes_on(room):
    model = ScriptedModel().fails("invalid_request", "no such model").says("ok")
    async with opened(room, model) as engine:
        thread = await start(engine, room)
        with pytest.raises(TurnFailedError, match="no such model"):
            await thread.review(Uncommitted())
        assert (await thread.run("and?")).final_message == "ok"
    assert any("did not come to its end" in text for text in texts(model.requests[1], "user"))


async def test_a_review_counts_as_one_turn_of_the_budget(room):
    model = ScriptedModel(said("fine"))
    async with opened(room, model, "budget.turns=1") as engine:
        thread = await start(engine, room)
        await thread.review(Uncommitted())
        with pytest.raises(TurnFailedError, match="budget for turns"):
            await thread.review(Uncommitted())


async def test_a_recorded_review_plays_again(room):
    model = ScriptedModel(said(answer(room)), said("ok"))
    file = room / "review.jsonl"
    async with opened(room, model) as engine:
        thread = await start(engine, room, record=file)
        await thread.review(Uncommitted())
        await thread.run("and?")
    shown = list(play_file(str(file))[1])
    assert sum(isinstance(event, events.TurnCompleted) for event in shown) == 2
