"""May a command run, and where? The part of it that needs no list of commands. Pure.

Rules for single commands come before this one day; what is decided here stays as it is.
"""

from enum import Enum, auto
from typing import Final

from msgspec import Struct

NEVER: Final = (
    "approval policy is Never; reject command — nobody can be asked, so run it without "
    "`sandbox_permissions` or find another way"
)
NOT_ASKED: Final = "reject command — under this approval policy escalation cannot be asked for"
HIDDEN: Final = (
    "reject command — the permission profile hides some paths, so nothing runs outside the sandbox"
)


class Answer(Enum):
    """What happens to a command."""

    RUN = auto()
    ASK = auto()
    REFUSE = auto()


class Verdict(Struct, frozen=True):
    """With the words for the model when it is refused."""

    answer: Answer
    reason: str = ""


def judged(policy: str, *, escalated: bool, sandboxed: bool, hides: bool) -> Verdict:
    """The verdict for a command nothing special is known about."""
    if not sandboxed:
        return Verdict(Answer.RUN if policy != "untrusted" else Answer.ASK)
    if policy == "untrusted":
        return Verdict(Answer.REFUSE, NOT_ASKED) if escalated else Verdict(Answer.ASK)
    if not escalated:
        return Verdict(Answer.RUN)
    if hides:
        return Verdict(Answer.REFUSE, HIDDEN)
    if policy == "on-request":
        return Verdict(Answer.ASK)
    return Verdict(Answer.REFUSE, NEVER)
