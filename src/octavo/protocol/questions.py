"""Questions the model asks a person, with a few answers to choose from, and what came back."""

from typing import Protocol

from msgspec import Struct

from octavo.protocol.ids import CallId


class Option(Struct, frozen=True, kw_only=True):
    """One answer to choose."""

    label: str
    description: str


class Question(Struct, frozen=True, kw_only=True):
    """One question. Whoever shows it adds a way to answer in words of one's own."""

    id: str
    """Names the answer: small letters, digits and underscores."""
    header: str
    """At most 12 characters, for a narrow place."""
    question: str
    options: tuple[Option, ...]


class Questions(Struct, frozen=True, kw_only=True):
    """One to three questions that are asked together."""

    call_id: CallId
    questions: tuple[Question, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """The labels that were chosen, or a person's own words."""

    answers: tuple[str, ...]


class Answers(Struct, frozen=True, kw_only=True):
    """What came back, by the id of the question; a question may be left out."""

    answers: dict[str, Answer]


class Questioner(Protocol):
    """Asks whoever can answer. Cancelling it takes the questions back."""

    async def __call__(self, questions: Questions, /) -> Answers | None:
        """The answers; None when nobody wants to answer."""
        ...
