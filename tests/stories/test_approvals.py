"""The eight stories of docs/approvals.md, each with the questions counted.

The real engine, the real sandbox, real commands; only the model is a script.
"""

import asyncio
import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("denial records and the warm sandbox are Linux's", allow_module_level=True)

import octavo.store.checkpoints  # noqa: F401 - pytest rewrites it, which must not happen in a worker
from octavo import PermissionProfile, Sandbox
from octavo.api.engine import Engine
from octavo.protocol import events, items
from octavo.protocol.approvals import Decision, PatchApproval
from octavo.testing import ScriptedModel

OUTSIDE = {"sandbox_permissions": "require_escalated"}


class Person:
    """Answers in order, the last answer for ever; remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, request, /):
        self.asked.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Room:
    """A home with settings, a folder to work in, and one outside of it."""

    def __init__(self, path):
        self.path = path
        self.home, self.work, self.outside = path / "home", path / "work", path / "outside"
        for folder in (self.home, self.work, self.outside):
            folder.mkdir()
        self.events = []
        self.warnings = ()

    def settings(self, text):
        (self.home / "config.toml").write_text(text)

    def rules(self, text, name="own.rules"):
        (self.home / "rules").mkdir(exist_ok=True)
        (self.home / "rules" / name).write_text(text)

    @property
    def written(self):
        path = self.home / "rules/default.rules"
        return path.read_text() if path.exists() else ""

    async def tell(self, model, *prompts, person=None, reviewer=None, sandbox=None):
        """Run these prompts in one thread; what the model read of each call."""
        self.events.clear()
        async with Engine.open(model=model, home=self.home) as engine:
            thread = await engine.start_thread(
                cwd=self.work, approver=person, sandbox=sandbox or Sandbox.workspace_write()
            )
            self.warnings = thread.warnings
            if reviewer is not None:
                thread._session.parts.desk.reviewers.append(reviewer)
            for prompt in prompts or ("do it",):
                async with asyncio.timeout(60), thread.stream(prompt) as turn:
                    async for event in turn:
                        self.events.append(event)
        return [text for request in model.requests[-1:] for text in request.tool_outputs]

    def commands(self):
        return [
            event.item
            for event in self.events
            if isinstance(event, events.ItemCompleted)
            and isinstance(event.item, items.CommandExecution)
        ]


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    # the folders of tests lie in /tmp, which workspace-write opens: outside has to be outside
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    made = Room(tmp_path)
    made.settings(
        'approval_policy = "on-request"\n[sandbox_workspace_write]\nexclude_slash_tmp = true\n'
    )
    return made


def narrow():
    """Only the working folder may be written."""
    return Sandbox.from_profile(
        PermissionProfile.from_mapping({"filesystem": {":root": "read", ":cwd": "write"}})
    )


def untrusted(room):
    room.settings('approval_policy = "untrusted"\n')


def run(model, cmd, **more):
    return model.calls("exec_command", cmd=cmd, login=False, **more)


# ---- 1. the same command again --------------------------------------------------------------------


async def test_a_repeated_command_is_asked_about_once(room):
    untrusted(room)
    model = ScriptedModel()
    for cmd in ("touch a", "touch  a", "touch 'a'", "ls", "touch a && ls", "touch b"):
        run(model, cmd)
    model.says("done")
    person = Person(Decision.allow_for_session())
    await room.tell(model, person=person)
    assert [one.argv[-1] for one in person.asked] == ["touch a", "touch a && ls", "touch b"]


async def test_what_only_reads_is_never_asked_about(room):
    untrusted(room)
    model = ScriptedModel()
    for cmd in ("ls -la", "git status && git log --oneline | head -3", "sed -n 1,20p x", "pwd; id"):
        run(model, cmd)
    model.says("done")
    person = Person(Decision.deny())
    await room.tell(model, person=person)
    assert person.asked == []
    assert len(room.commands()) == 4


# ---- 2. redirections ------------------------------------------------------------------------------


async def test_a_redirection_is_not_what_its_first_word_says(room):
    untrusted(room)
    model = run(run(run(ScriptedModel(), "echo hi"), "echo hi > file"), "echo $(touch file2)")
    model.says("done")
    person = Person(Decision.deny("no files"))
    outputs = await room.tell(model, person=person)
    assert [one.argv[-1] for one in person.asked] == ["echo hi > file", "echo $(touch file2)"]
    assert all(one.proposed_rule is None for one in person.asked)
    assert not list(room.work.iterdir())
    assert "rejected by user: no files" in outputs[1]


async def test_in_the_sandbox_a_redirection_needs_no_question(room):
    model = run(ScriptedModel(), "echo hi > file").says("done")
    person = Person(Decision.deny())
    await room.tell(model, person=person)
    assert person.asked == []
    assert (room.work / "file").read_text() == "hi\n"


# ---- 3. compound scripts --------------------------------------------------------------------------


async def test_the_strictest_part_of_a_script_decides(room):
    room.rules(
        'prefix_rule(pattern=["touch", "a"])\n'
        'prefix_rule(pattern=["git", "push"], decision="forbidden", justification="people push")\n'
        'prefix_rule(pattern=["mkdir"], decision="prompt")\n'
    )
    model = ScriptedModel()
    for cmd in ("touch a", "touch a && mkdir d", "touch a; git push", "rm -f a || true", "echo x"):
        run(model, cmd)
    model.says("done")
    person = Person(Decision.allow_once())
    outputs = await room.tell(model, person=person)
    assert [one.argv[-1] for one in person.asked] == ["touch a && mkdir d", "rm -f a || true"]
    assert "forbidden: people push — rule `git push`" in outputs[2]
    assert "own.rules:2" in outputs[2]


async def test_a_script_all_of_whose_parts_are_allowed_by_rules_runs_outside(room):
    room.rules('prefix_rule(pattern=["touch"])\nprefix_rule(pattern=["true"])\n')
    one, two = room.outside / "one", room.outside / "two"
    model = run(run(ScriptedModel(), f"touch {one} && true"), f"touch {two} && false").says("done")
    person = Person(Decision.deny())
    await room.tell(model, person=person, sandbox=narrow())
    assert person.asked == []
    assert (one.exists(), two.exists()) == (True, False)


async def test_a_shell_of_the_models_own_is_not_trusted(room):
    room.rules('prefix_rule(pattern=["touch"])\n')
    fake = room.work / "bash"
    fake.write_text(f"#!/bin/sh\necho x > {room.outside}/escaped\n")
    fake.chmod(0o755)
    model = run(ScriptedModel(), "touch a", shell=str(fake)).says("done")
    await room.tell(model, person=Person(Decision.deny()), sandbox=narrow())
    assert not (room.outside / "escaped").exists()


# ---- 4. escalation after a denial -----------------------------------------------------------------


async def test_a_denial_becomes_one_question_that_carries_its_record(room):
    room.settings(
        "approval_policy = { granular = { sandbox_approval = true, rules = true,"
        " mcp_elicitations = true } }\n"
    )
    target = room.outside / "file"
    model = run(ScriptedModel(), f"echo hi > {target}").says("done")
    person = Person(Decision.allow_once())
    outputs = await room.tell(model, person=person, sandbox=narrow())
    (asked,) = person.asked
    assert asked.escalated
    assert [one.subject for one in asked.denials] == [str(target)]
    assert target.read_text() == "hi\n"
    assert "this is the second, outside it" in outputs[0]
    assert [item.status for item in room.commands()] == ["failed", "completed"]
    assert len({item.id for item in room.commands()}) == 2


async def test_a_yes_before_the_first_try_covers_the_second_and_says_so(room):
    untrusted(room)
    target = room.outside / "file"
    model = run(ScriptedModel(), f"touch {target}").says("done")
    person = Person(Decision.allow_once())
    await room.tell(model, person=person, sandbox=narrow())
    (asked,) = person.asked
    assert asked.covers_retry
    assert target.exists()


async def test_words_in_the_output_are_no_denial(room):
    untrusted(room)
    script = "echo 'Permission denied: sandbox, read-only file system' >&2; exit 1"
    model = run(ScriptedModel(), script).says("done")
    person = Person(Decision.allow_once())
    await room.tell(model, person=person, sandbox=narrow())
    assert len(person.asked) == 1
    assert len(room.commands()) == 1


async def test_under_on_request_the_model_learns_of_the_denial_and_asks(room):
    target = room.outside / "file"
    model = run(ScriptedModel(), f"touch {target}")
    run(model, f"touch {target}", justification="May I write there?", **OUTSIDE).says("done")
    person = Person(Decision.allow_once())
    outputs = await room.tell(model, person=person, sandbox=narrow())
    assert "Sandbox denied" in outputs[0]
    assert [one.reason for one in person.asked] == ["May I write there?"]
    assert target.exists()


async def test_a_patch_to_files_outside_is_one_question(room):
    (room.outside / "real").write_text("1\n")
    text = f"*** Begin Patch\n*** Update File: {room.outside}/real\n-1\n+2\n*** End Patch"
    model = (
        ScriptedModel().calls("exec_command", cmd=f"apply_patch <<'EOF'\n{text}\nEOF").says("done")
    )
    person = Person(Decision.allow_once())
    await room.tell(model, person=person, sandbox=narrow())
    (asked,) = person.asked
    assert isinstance(asked, PatchApproval)
    assert (room.outside / "real").read_text() == "2\n"


# ---- 5. "always", with a visible scope ------------------------------------------------------------


async def test_always_is_one_rule_whose_scope_was_shown_and_it_holds(room):
    one, two, three = (room.outside / name for name in ("a-1", "a-2", "b"))
    model = ScriptedModel()
    for path in (one, one, two, three):
        run(model, f"mkdir -p {path}", prefix_rule=["mkdir", "-p"], **OUTSIDE)
    run(model, f"chmod 700 {one}", **OUTSIDE)
    model.says("done")
    person = Person(Decision.allow_always(("mkdir", "-p")), Decision.deny())
    await room.tell(model, person=person, sandbox=narrow())
    assert [asked.proposed_rule for asked in person.asked] == [
        ("mkdir", "-p"), ("chmod", "700", str(one)),
    ]  # fmt: skip
    assert "`mkdir -p`, in every folder and thread" in person.asked[0].scope
    assert "outside the sandbox" in person.asked[0].scope
    assert all(path.is_dir() for path in (one, two, three))
    assert room.written == 'prefix_rule(pattern=["mkdir", "-p"], decision="allow")\n'

    again = run(ScriptedModel(), f"mkdir -p {room.outside}/c").says("done")
    nobody = Person(Decision.deny())
    await room.tell(again, person=nobody, sandbox=narrow())
    assert nobody.asked == []
    assert (room.outside / "c").is_dir()
    told = again.requests[0].input[0].text
    assert "`mkdir -p`" in told


async def test_too_much_is_never_offered_for_always(room):
    model = ScriptedModel()
    for cmd, rule in (
        ("bash -c 'touch x'", ["bash", "-c"]),
        ("rm -rf x", ["rm"]),
        ("echo $HOME", ["echo"]),
        ("mkdir a && chmod 700 b", ["mkdir"]),
    ):
        run(model, cmd, prefix_rule=rule, **OUTSIDE)
    model.says("done")
    person = Person(Decision.deny())
    await room.tell(model, person=person, sandbox=narrow())
    offered = [asked.proposed_rule for asked in person.asked]
    assert offered == [("bash", "-c", "touch x"), None, None, None]


# ---- 6. parallel questions ------------------------------------------------------------------------


async def test_parallel_calls_are_asked_about_one_at_a_time_in_their_order(room):
    untrusted(room)
    model = ScriptedModel()
    run(model, "touch a")
    for name in "bacd":
        model.and_calls("exec_command", cmd=f"touch {name}", login=False)
    model.says("done")
    asked, here = [], 0

    async def person(request):
        nonlocal here
        here += 1
        assert here == 1
        asked.append(request.argv[-1])
        await asyncio.sleep(0)
        here -= 1
        return Decision.allow_for_session()

    await room.tell(model, person=person)
    assert asked == ["touch a", "touch b", "touch c", "touch d"]
    assert len(room.commands()) == 5


async def test_stop_answers_every_question_that_waits(room):
    untrusted(room)
    model = ScriptedModel()
    run(model, "touch a").and_calls("exec_command", cmd="touch b", login=False)
    person = Person(Decision.abort())
    await room.tell(model, person=person)
    assert len(person.asked) == 1
    assert isinstance(room.events[-1], events.TurnInterrupted)
    assert not list(room.work.iterdir())


# ---- 7. headless ----------------------------------------------------------------------------------


async def test_where_nobody_is_nothing_is_asked_and_nothing_is_silently_allowed(room):
    model = ScriptedModel()
    run(model, "touch inside")
    run(model, f"touch {room.outside}/x", **OUTSIDE)
    run(model, "rm -rf inside")
    model.says("done")
    outputs = await room.tell(model, sandbox=narrow())
    assert (room.work / "inside").exists()
    assert list(room.outside.iterdir()) == []
    assert "approval policy is Never" in outputs[1]
    assert "removes files by force, and nobody can be asked" in outputs[2]


async def test_without_anybody_rules_decide_alone(room):
    room.rules(
        'prefix_rule(pattern=["touch"])\nprefix_rule(pattern=["mkdir"], decision="prompt")\n'
    )
    model = run(run(ScriptedModel(), f"touch {room.outside}/x"), "mkdir d").says("done")
    outputs = await room.tell(model, sandbox=narrow())
    assert (room.outside / "x").exists()
    assert not (room.work / "d").exists()
    assert "nobody can be asked" in outputs[1]


async def test_a_broken_rule_file_allows_nothing_and_forbids_what_the_others_forbid(room):
    room.rules('prefix_rule(pattern=["touch"])\nprefix_rule(["mkdir"], decision="forbidden")\n')
    room.rules("prefix_rule(pattern=[)\n", "broken.rules")
    model = run(run(run(ScriptedModel(), "touch a"), "mkdir d"), "echo hi").says("done")
    person = Person(Decision.allow_once())
    outputs = await room.tell(model, person=person)
    assert [one.argv[-1] for one in person.asked] == ["touch a"]
    assert "broken.rules:1" in person.asked[0].because
    assert "forbidden" in outputs[1]
    broken = [line for line in room.warnings if "broken.rules:1" in line]
    assert len(broken) == 1


# ---- 8. a reviewer --------------------------------------------------------------------------------


async def test_a_reviewer_answers_in_place_of_the_user_and_hands_on_what_it_will_not(room):
    untrusted(room)
    model = run(run(run(ScriptedModel(), "touch a"), "touch b"), "touch c").says("done")
    reviewed = []

    async def reviewer(request):
        reviewed.append(request.argv[-1])
        answers = {"touch a": Decision.allow_once(), "touch b": Decision.deny("too risky")}
        return answers.get(request.argv[-1])

    person = Person(Decision.allow_once())
    outputs = await room.tell(model, person=person, reviewer=reviewer)
    assert reviewed == ["touch a", "touch b", "touch c"]
    assert [one.argv[-1] for one in person.asked] == ["touch c"]
    assert sorted(path.name for path in room.work.iterdir()) == ["a", "c"]
    assert "too risky" in outputs[1]
