"""The model's questions on the terminal: a number for an option, or an answer in own words."""

from collections.abc import Callable

from octavo.exec.ask import Ask
from octavo.exec.plain import plain
from octavo.protocol.questions import Answer, Answers, Question, Questions

PROMPT = "a number, or your own words (empty: no answer): "


class TerminalQuestioner:
    """Asks whoever sits there. `note` shows a question, `ask` gets a line (EOFError: nobody)."""

    def __init__(self, *, note: Callable[[str], None], ask: Ask) -> None:
        self._note = note
        self._ask = ask

    async def __call__(self, questions: Questions, /) -> Answers | None:
        """One after the other; None when not one was answered."""
        found: dict[str, Answer] = {}
        for question in questions.questions:
            self._note(shown(question))
            try:
                line = await self._ask(PROMPT)
            except EOFError:
                self._note("\n")
                break
            answer = chosen(question, line)
            if answer is not None:
                found[question.id] = Answer(answers=(answer,))
        return Answers(answers=found) if found else None


def shown(question: Question) -> str:
    """A question with its options."""
    lines = [f"\n[{plain(question.header)}] {plain(question.question)}"]
    for number, option in enumerate(question.options, 1):
        about = f": {plain(option.description)}" if option.description else ""
        lines.append(f"  {number}. {plain(option.label)}{about}")
    return "\n".join(lines) + "\n"


def chosen(question: Question, line: str) -> str | None:
    """The option a number stands for, or the words; None for an empty line."""
    words = line.strip()
    if words.isascii() and words.isdecimal() and 1 <= int(words) <= len(question.options):
        return question.options[int(words) - 1].label
    return words or None
