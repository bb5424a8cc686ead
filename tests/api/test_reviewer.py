"""Automatic review in whole turns: allowed, denied, failed, too late; nobody else is asked."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import PermissionProfile, Sandbox
from octavo.api.engine import Engine
from octavo.engine import guardian
from octavo.protocol import events
from octavo.protocol.approvals import Decision
from octavo.testing import ScriptedModel
from octavo.testing.script import Call, Fail, Reply, Say, Stall

ALLOW = '{"outcome":"allow"}'
DENY = (
    '{"risk_level":"high","user_authorization":"low","outcome":"deny","rationale":"not asked for"}'
)


class Two(ScriptedModel):
    """A model that works and one that reviews, by what they are told."""

    def __init__(self, work, review):
        super().__init__()
        self.work, self.review = list(work), list(review)
        self.worked, self.reviewed = [], []

    def reply_to(self, number, request):
        reviews = request.instructions.startswith("You review one action")
        (self.reviewed if reviews else self.worked).append(request)
        script = self.review if reviews else self.work
        return script.pop(0) if script else None


def outside(cmd, **more):
    """A command that asks for more than the sandbox gives."""
    arguments = {"cmd": cmd, "sandbox_permissions": "require_escalated", "justification": "needed"}
    return Reply(steps=(Call(name="exec_command", arguments=arguments | {"login": False}),), **more)


def say(text):
    return Reply(steps=(Say(text=text),))


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


async def run(room, model, *, approver=None, prompt="please install it", **more):
    got = []
    overrides = ('approvals_reviewer="auto_review"', 'approval_policy="on-request"')
    async with Engine.open(model=model, home=room / "home", overrides=overrides, **more) as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.read_only(), approver=approver
        )
        async with thread.stream(prompt) as turn:
            got += [event async for event in turn]
    return got


def reviews(got):
    return [event for event in got if isinstance(event, events.ApprovalReviewed)]


async def test_what_the_reviewer_allows_runs_and_nobody_is_asked(room):
    asked = []

    async def approver(request):
        asked.append(request)
        return Decision.deny()

    model = Two([outside("touch made"), say("ok")], [say(ALLOW)])
    got = await run(room, model, approver=approver)
    assert (room / "work/made").exists()
    assert asked == []
    (review,) = reviews(got)
    assert (review.status, review.risk, review.attempts, review.tokens) == (
        "approved",
        "low",
        1,
        110,
    )
    (question,) = model.reviewed
    assert "please install it" in question.input[0].text
    assert '"touch made"' in question.input[0].text
    assert question.tools == ()
    assert question.output_schema.name == "approval_review"


async def test_what_it_denies_does_not_run_and_the_model_knows_why(room):
    model = Two([outside("touch made"), say("ok")], [say(DENY)])
    got = await run(room, model)
    assert not (room / "work/made").exists()
    told = model.worked[1].tool_outputs[0]
    assert "not asked for" in told
    assert "Review id: r1" in told
    assert reviews(got)[0].status == "denied"


async def test_an_answer_that_cannot_be_read_is_asked_for_again_and_then_fails_closed(room):
    model = Two([outside("touch made"), say("ok")], [say("sure"), say("go ahead"), say("{}")])
    got = await run(room, model)
    assert not (room / "work/made").exists()
    (review,) = reviews(got)
    assert (review.status, review.risk, review.attempts) == ("failed", None, 3)
    assert "Nothing was judged" in model.worked[1].tool_outputs[0]


async def test_a_model_that_cannot_be_asked_allows_nothing(room):
    model = Two([outside("touch made"), say("ok")], [Reply(steps=(Fail(kind="quota"),))])
    got = await run(room, model)
    assert not (room / "work/made").exists()
    assert reviews(got)[0].status == "failed"


async def test_a_reviewer_that_takes_too_long_is_no_verdict(room, monkeypatch):
    monkeypatch.setattr(guardian, "DEADLINE_S", 0.2)
    model = Two([outside("touch made"), say("ok")], [Reply(steps=(Stall(),))])
    got = await run(room, model)
    assert not (room / "work/made").exists()
    assert reviews(got)[0].status == "timed_out"
    assert "no verdict" in model.worked[1].tool_outputs[0]


async def test_the_second_review_gets_only_what_is_new(room):
    model = Two([outside("touch a"), outside("touch b"), say("ok")], [say(ALLOW), say(ALLOW)])
    await run(room, model)
    first, second = model.reviewed
    assert second.input[: len(first.input)] == first.input
    assert second.input[-1].text.startswith("What is new since the last review")
    assert "please install it" not in second.input[-1].text


async def test_three_denials_in_a_row_end_the_turn_where_nobody_is_there(room):
    model = Two([outside(f"touch {n}") for n in range(9)], [say(DENY)] * 9)
    got = await run(room, model)
    assert isinstance(got[-1], events.TurnInterrupted)
    assert len(reviews(got)) == 3
    assert any(isinstance(event, events.Warned) and "too many" in event.message for event in got)


async def test_three_denials_in_a_row_hand_the_question_to_the_person_who_is_there(room):
    asked = []

    async def approver(request):
        asked.append(request)
        return Decision.allow_once()

    model = Two([*(outside(f"touch f{n}") for n in range(3)), say("ok")], [say(DENY)] * 3)
    got = await run(room, model, approver=approver)
    assert len(asked) == 1
    assert (room / "work/f2").exists()
    assert isinstance(got[-1], events.TurnCompleted)


async def test_a_denied_action_can_be_allowed_by_its_id_once(room):
    model = Two([outside("touch made"), say("ok")], [say(DENY)])
    overrides = ('approvals_reviewer="auto_review"', 'approval_policy="on-request"')
    async with Engine.open(model=model, home=room / "home", overrides=overrides) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        await thread.run("go")
        (denied,) = thread.denied_actions
        assert (denied.id, denied.risk) == ("r1", "high")
        thread.approve("r1")
        model.work += [outside("touch made"), outside("touch made"), say("done")]
        model.review.append(say(DENY))
        await thread.run("again")
    assert (room / "work/made").exists()
    assert len(model.reviewed) == 2  # the one allowance was used up
    words = [m.text for m in model.worked[2].input if getattr(m, "role", "") == "developer"]
    assert any("review id r1" in text for text in words)


@pytest.mark.skipif(sys.platform != "linux", reason="rules per host: Linux")
@pytest.mark.parametrize(("verdict", "seen"), [(ALLOW, "502"), (DENY, "403")])
async def test_it_answers_for_a_host_that_is_not_listed(room, verdict, seen):
    """An allowed name that does not exist is a 502 of the proxy: it was let through."""
    code = (
        "import urllib.error, urllib.request\n"
        "try: urllib.request.urlopen('http://elsewhere.example/', timeout=20)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "except OSError: print('no way out')\n"
    )
    (room / "work" / "ask.py").write_text(code)
    call = Call(name="exec_command", arguments={"cmd": f"{sys.executable} ask.py", "login": False})
    model = Two([Reply(steps=(call,)), say("done")], [say(verdict)])
    profile = PermissionProfile.from_mapping(
        {"filesystem": {":root": "read"},
         "network": {"allow": ["listed.example"], "on_denial": "continue"}}
    )  # fmt: skip
    overrides = ('approvals_reviewer="auto_review"', 'approval_policy="on-request"')
    async with Engine.open(model=model, home=room / "home", overrides=overrides) as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.from_profile(profile))
        await thread.run("fetch it")
    (output,) = model.worked[-1].tool_outputs
    if "no way out" in output:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert seen in output
    assert "http://elsewhere.example:80" in repr(model.reviewed[0])
