"""`request_user_input`: the model asks a person a few questions, each with answers to choose from.

Who asks is given as a `Questioner`; where there is none the tool is not offered. An interrupted
turn takes the questions back.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.protocol.errors import UsageError
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.protocol.questions import Option, Question, Questioner, Questions
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed

NAME: Final = "request_user_input"
MOST_QUESTIONS: Final = 3
OPTIONS: Final = (2, 3)
HEADER_CHARS: Final = 12
ID: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NOBODY: Final = "Nobody wants to answer now. Decide as well as you can, and say in your answer what you assumed."


class OptionArgument(Struct):
    """As the model writes it."""

    label: str
    description: str = ""


class QuestionArgument(Struct):
    """As the model writes it."""

    id: str
    header: str
    question: str
    options: tuple[OptionArgument, ...]


class Arguments(Struct):
    """Of `request_user_input`."""

    questions: tuple[QuestionArgument, ...]


def text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


SPEC: Final = FunctionTool(
    name=NAME,
    description="Ask the user up to three short questions and wait for the answers. Only for "
    "decisions that change the work and that you cannot find out by looking. The user can always "
    "answer in their own words: do not add an option for that.",
    parameters=schema(
        {
            "questions": {
                "type": "array",
                "description": "One to three questions; one is best.",
                "items": schema(
                    {
                        "id": text("Names the answer; snake_case."),
                        "header": text(f"At most {HEADER_CHARS} characters."),
                        "question": text("One sentence."),
                        "options": {
                            "type": "array",
                            "description": "Two or three that exclude each other; the one you "
                            "recommend first.",
                            "items": schema(
                                {
                                    "label": text("One to five words."),
                                    "description": text("What follows from choosing it."),
                                },
                                required=("label", "description"),
                            ),
                        },
                    },
                    required=("id", "header", "question", "options"),
                ),
            }
        },
        required=("questions",),
    ),
)


class RequestUserInput:
    """Asks, and waits as long as the person needs."""

    spec = SPEC
    parallel = False

    def __init__(self, questioner: Questioner) -> None:
        self._questioner = questioner

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask. Raises UsageError for questions that cannot be shown."""
        wanted = checked(call)
        item = ToolUse(id=call.item_id, tool=NAME, arguments=call.arguments)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        answers = None
        try:
            answers = await self._questioner(wanted)
        finally:
            output = "" if answers is None else msgspec.json.encode(answers).decode()
            status = "declined" if answers is None else "completed"
            ended = msgspec.structs.replace(item, output=output, status=status)
            context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
        return failed(NOBODY) if answers is None else ToolOutput(output=output)


def checked(call: ToolCall) -> Questions:
    """The questions of a call. Raises UsageError saying what is wrong with them."""
    asked = parsed(call, Arguments).questions
    if not 1 <= len(asked) <= MOST_QUESTIONS:
        raise UsageError(f"{len(asked)} questions; ask one to {MOST_QUESTIONS}")
    ids = [one.id for one in asked]
    if len(set(ids)) < len(ids):
        raise UsageError("two questions have the same `id`")
    return Questions(call_id=call.call_id, questions=tuple(question(one) for one in asked))


def question(asked: QuestionArgument) -> Question:
    """One question. Raises UsageError."""
    if not ID.fullmatch(asked.id):
        raise UsageError(f"`id` {asked.id!r} is not snake_case")
    if not asked.question.strip():
        raise UsageError(f"the question {asked.id} is empty")
    if not OPTIONS[0] <= len(asked.options) <= OPTIONS[1]:
        raise UsageError(f"the question {asked.id} has {len(asked.options)} options; give 2 or 3")
    labels = [one.label.strip() for one in asked.options]
    if not all(labels) or len(set(labels)) < len(labels):
        raise UsageError(f"the options of {asked.id} need different labels")
    return Question(
        id=asked.id,
        header=asked.header.strip()[:HEADER_CHARS],
        question=asked.question.strip(),
        options=tuple(
            Option(label=label, description=one.description.strip())
            for label, one in zip(labels, asked.options, strict=True)
        ),
    )
