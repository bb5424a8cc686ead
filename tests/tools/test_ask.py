"""Questions of the model: checked before anybody sees them."""

import json

import pytest

from octavo.protocol.errors import UsageError
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.questions import Answer, Answers
from octavo.tools.ask import RequestUserInput


def option(label):
    return {"label": label, "description": "d"}


def question(**more):
    usual = {
        "id": "which_one", "header": "Which", "question": "Which?",
        "options": [option("A"), option("B")],
    }  # fmt: skip
    return {**usual, **more}


class Person:
    def __init__(self, answers=None):
        self.answers, self.asked = answers, []

    async def __call__(self, questions):
        self.asked.append(questions)
        return self.answers


async def ask(world, person, *questions):
    call = world.call("request_user_input", json.dumps({"questions": questions}))
    return await RequestUserInput(person).run(call, world.context())


async def test_the_answer_has_the_published_form(world):
    person = Person(Answers(answers={"which_one": Answer(answers=("A",))}))
    done = await ask(world, person, question())
    assert json.loads(done.output) == {"answers": {"which_one": {"answers": ["A"]}}}
    assert [type(event) for event in world.events] == [ItemStarted, ItemCompleted]


async def test_a_long_header_is_cut(world):
    person = Person()
    done = await ask(world, person, question(header="A very long header"))
    assert not done.success
    assert person.asked[0].questions[0].header == "A very long "


@pytest.mark.parametrize(("questions", "words"), [
    ([], "0 questions"),
    ([question(id=f"q{n}") for n in range(4)], "4 questions"),
    ([question(), question()], "same `id`"),
    ([question(id="WhichOne")], "snake_case"),
    ([question(id="which__one")], "snake_case"),
    ([question(question=" ")], "is empty"),
    ([question(options=[option("A")])], "1 options"),
    ([question(options=[option(name) for name in "ABCD"])], "4 options"),
    ([question(options=[option("A"), option(" A ")])], "different labels"),
    ([question(options=[option("A"), option("")])], "different labels"),
    ([{"id": "x"}], "header"),
])  # fmt: skip
async def test_questions_that_cannot_be_shown_are_refused_before_anybody_sees_them(
    world, questions, words
):
    person = Person()
    with pytest.raises(UsageError, match=words):
        await ask(world, person, *questions)
    assert person.asked == world.events == []
