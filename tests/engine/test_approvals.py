"""Who is asked, in which order, and what is remembered."""

import asyncio

import pytest

from octavo.engine.approvals import Desk, Queue
from octavo.protocol.approvals import CommandApproval, Decision, PatchApproval
from octavo.protocol.items import FileUpdate


def command(*argv, escalated=True):
    return CommandApproval(call_id="c", argv=argv, cwd="/work", escalated=escalated)


def patch(*paths):
    changes = tuple(FileUpdate(path=path, kind="update") for path in paths)
    return PatchApproval(call_id="c", changes=changes)


class Person:
    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def __call__(self, request, /):
        self.asked.append(request)
        return self.answer


async def test_allowed_for_the_session_is_not_asked_again():
    person = Person(Decision.allow_for_session())
    approver = Desk(person)
    for request in (command("make"), command("make"), command("make", "install")):
        assert (await approver(request)).allowed
    assert len(person.asked) == 2


async def test_allowed_once_is_asked_again():
    person = Person(Decision.allow_once())
    approver = Desk(person)
    await approver(command("make"))
    await approver(command("make"))
    assert len(person.asked) == 2


async def test_inside_and_outside_the_sandbox_are_different_questions():
    person = Person(Decision.allow_for_session())
    approver = Desk(person)
    await approver(command("make", escalated=False))
    await approver(command("make"))
    assert len(person.asked) == 2


async def test_files_are_remembered_one_by_one():
    person = Person(Decision.allow_for_session())
    approver = Desk(person)
    for request in (patch("/a", "/b"), patch("/b"), patch("/b", "/c")):
        await approver(request)
    assert [len(request.changes) for request in person.asked] == [2, 2]


async def test_a_refusal_is_not_remembered():
    person = Person(Decision.deny("no"))
    approver = Desk(person)
    await approver(command("make"))
    assert (await approver(command("make"))).reason == "no"
    assert len(person.asked) == 2


# ---- what a remembered answer is about ------------------------------------------------------------


def script(*pipelines, text="script", **more):
    more.setdefault("escalated", True)
    return CommandApproval(
        call_id="c", argv=("bash", "-lc", text), cwd="/work", pipelines=pipelines, **more
    )


MAKE, TEST, SHELL = ("make",), ("make", "test"), ("sh",)


async def test_parts_that_were_allowed_are_allowed_in_another_script():
    person = Person(Decision.allow_for_session())
    desk = Desk(person)
    await desk(script((MAKE,), (TEST,)))
    await desk(script((TEST,), text="another"))
    await desk(script((TEST,), (MAKE,), text="third"))
    assert len(person.asked) == 1
    await desk(script((TEST,), (("rm", "x"),)))
    assert len(person.asked) == 2


async def test_what_was_allowed_behind_a_pipe_is_not_allowed_behind_another():
    person = Person(Decision.allow_for_session())
    desk = Desk(person)
    await desk(script((("curl", "good"), SHELL)))
    await desk(script((("curl", "evil"),)))
    await desk(script((("curl", "evil"), SHELL)))
    await desk(script((SHELL,)))
    assert len(person.asked) == 4


async def test_a_script_that_changes_folders_is_remembered_as_a_whole():
    person = Person(Decision.allow_for_session())
    desk = Desk(person)
    for _ in range(2):
        await desk(script((("cd", "build"),), (("rm", "-r", "x"),), text="cd build && rm -r x"))
    assert len(person.asked) == 1
    await desk(script((("rm", "-r", "x"),), text="rm -r x"))
    assert len(person.asked) == 2


async def test_a_request_without_keys_is_always_asked():
    person = Person(Decision.allow_for_session())
    desk = Desk(person)
    await desk(patch())
    await desk(patch())
    assert len(person.asked) == 2


# ---- always -----------------------------------------------------------------------------------


class Rules:
    def __init__(self):
        self.kept = []

    async def __call__(self, words):
        self.kept.append(words)


async def test_always_is_written_down_and_settles_what_waits():
    rules, asked = Rules(), []
    gate, reached = asyncio.Event(), asyncio.Event()

    async def person(request):
        asked.append(request)
        reached.set()
        await gate.wait()
        return Decision.allow_always(("git", "pull"))

    desk = Desk(person, remember=rules)
    first = script((("git", "pull"),), proposed_rule=("git", "pull"))
    second = script((("git", "pull", "--rebase"),), proposed_rule=("git", "pull", "--rebase"))
    other = script((("git", "push"),), proposed_rule=None)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(desk(one)) for one in (first, second, other)]
        await reached.wait()
        gate.set()
    assert [task.result().kind for task in tasks] == ["allow_always", "allow_once", "allow_always"]
    assert [one.pipelines for one in asked] == [first.pipelines, other.pipelines]
    assert rules.kept == [("git", "pull")] * 2


@pytest.mark.parametrize("words", [(), ("bash",), ("python3", "-c"), ("git",), ("sudo", "sh")])
async def test_a_rule_that_would_allow_anything_is_not_kept_and_that_is_said(words):
    rules, said = Rules(), []
    desk = Desk(Person(Decision.allow_always(words)), remember=rules, warn=said.append)
    assert (await desk(command("bash", "-c", "x"))).allowed
    assert rules.kept == []
    assert len(said) == 1


# ---- order ------------------------------------------------------------------------------------


async def test_hooks_come_before_grants_then_reviewers_then_the_person():
    said = []

    def decider(name, answer=None):
        async def decide(_request):
            said.append(name)
            return answer

        return decide

    async def person(_request):
        said.append("person")
        return Decision.allow_for_session()

    desk = Desk(person, first=(decider("hook"),), reviewers=(decider("reviewer"),))
    await desk(command("make"))
    await desk(command("make"))
    desk.reviewers.append(decider("second", Decision.deny("no")))
    assert (await desk(command("other"))).reason == "no"
    desk.first.append(decider("last", Decision.allow_once()))
    await desk(command("other"))
    assert said == [
        "hook", "reviewer", "person", "hook", "hook", "reviewer", "second", "hook", "last",
    ]  # fmt: skip


async def test_questions_wait_for_each_other_in_the_order_of_the_calls():
    asked = []

    async def person(request):
        asked.append(request.call_id)
        if len(asked) == 4:
            most.set()
        return Decision.allow_once()

    most = asyncio.Event()
    desk = Desk(person)
    for name in "abcdef":
        desk.expect(name)
    requests = [CommandApproval(call_id=name, argv=(name,), cwd="/") for name in "bfdca"]
    async with asyncio.TaskGroup() as group:
        for one in requests:
            assert asked == []
            group.create_task(desk(one))
            await asyncio.sleep(0)
        await most.wait()
        desk.passed("e")  # it runs without a question
    assert asked == ["a", "b", "c", "d", "f"]


async def test_a_call_that_never_gets_to_its_question_holds_nobody_up_for_long(monkeypatch):
    monkeypatch.setattr("octavo.engine.approvals.HEAD_START_S", 0.01)
    desk = Desk(Person(Decision.allow_once()))
    desk.expect("a")
    desk.expect("c")
    async with asyncio.timeout(5):
        assert (await desk(command("make"))).allowed


async def test_whoever_is_cancelled_while_waiting_leaves_the_queue_working():
    queue, done = Queue(), []

    async def hold(number, gate):
        async with queue.turn(number):
            done.append(number)
            await gate.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    rest.set()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hold(n, first if n == 0 else rest)) for n in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        first.set()
        await asyncio.sleep(0)
        tasks[2].cancel()  # perhaps just told that it is its turn
    assert done in ([0, 3], [0, 2, 3])
    async with asyncio.timeout(5), queue.turn(9):
        pass
