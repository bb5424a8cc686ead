"""The same question is asked once, another one again."""

from octavo.engine.approvals import Remembering
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
    approver = Remembering(person)
    for request in (command("make"), command("make"), command("make", "install")):
        assert (await approver(request)).allowed
    assert len(person.asked) == 2


async def test_allowed_once_is_asked_again():
    person = Person(Decision.allow_once())
    approver = Remembering(person)
    await approver(command("make"))
    await approver(command("make"))
    assert len(person.asked) == 2


async def test_inside_and_outside_the_sandbox_are_different_questions():
    person = Person(Decision.allow_for_session())
    approver = Remembering(person)
    await approver(command("make", escalated=False))
    await approver(command("make"))
    assert len(person.asked) == 2


async def test_files_are_remembered_one_by_one():
    person = Person(Decision.allow_for_session())
    approver = Remembering(person)
    for request in (patch("/a", "/b"), patch("/b"), patch("/b", "/c")):
        await approver(request)
    assert [len(request.changes) for request in person.asked] == [2, 2]


async def test_a_refusal_is_not_remembered():
    person = Person(Decision.deny("no"))
    approver = Remembering(person)
    await approver(command("make"))
    assert (await approver(command("make"))).reason == "no"
    assert len(person.asked) == 2
