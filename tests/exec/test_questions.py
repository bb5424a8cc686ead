"""The model's questions at a terminal: numbers, own words, no answer, nobody."""

import pytest

from octavo.exec.questions import TerminalQuestioner, chosen, shown
from octavo.protocol.questions import Answer, Answers, Option, Question, Questions

PARSER = Question(
    id="parser",
    header="Parser",
    question="Which parser?",
    options=(
        Option(label="New", description="write it"),
        Option(label="Old\x1b[31m", description=""),
    ),
)
NAME = Question(id="name", header="Name", question="Which name?", options=(PARSER.options[0],) * 2)
BOTH = Questions(call_id="c", questions=(PARSER, NAME))


def person(*lines):
    rest, seen = iter(lines), []

    async def ask(prompt):
        seen.append(prompt)
        line = next(rest, None)
        if line is None:
            raise EOFError
        return line

    return TerminalQuestioner(note=seen.append, ask=ask), seen


@pytest.mark.parametrize(("line", "answer"), [
    ("1\n", "New"), (" 1 ", "New"), ("3\n", "3"), ("0", "0"), ("²", "²"), ("a third\n", "a third"),
    ("\n", None), ("", None),
])  # fmt: skip
def test_a_number_is_an_option_and_anything_else_is_own_words(line, answer):
    assert chosen(PARSER, line) == answer


def test_a_question_is_shown_with_its_options_and_nothing_a_terminal_obeys():
    assert shown(PARSER) == "\n[Parser] Which parser?\n  1. New: write it\n  2. Old\\x1b[31m\n"


async def test_questions_are_asked_one_after_the_other():
    ask, seen = person("1\n", "mine\n")
    assert await ask(BOTH) == Answers(
        answers={"parser": Answer(answers=("New",)), "name": Answer(answers=("mine",))}
    )
    assert [text for text in seen if "Which" in text] == [shown(PARSER), shown(NAME)]


async def test_what_is_not_answered_is_left_out():
    ask, _ = person("\n", "2\n")
    assert await ask(BOTH) == Answers(answers={"name": Answer(answers=("New",))})
    ask, _ = person("\n", "\n")
    assert await ask(BOTH) is None


async def test_an_end_of_input_ends_the_questions_and_keeps_what_was_said():
    ask, _ = person("2\n")
    found = await ask(BOTH)
    assert list(found.answers) == ["parser"]
    ask, _ = person()
    assert await ask(BOTH) is None
