"""The ways of working together, as the model is told of them. Pure.

Only developer messages change the mode, and the latest one counts; it is sent when the mode
changes, and again with the rest of the context after a compaction.
"""

from typing import Final, Literal

Mode = Literal["default", "plan"]
PLAN: Final = "plan"
TAG: Final = "collaboration_mode"

PLAN_TEXT: Final = """\
Plan mode. It holds until a developer message says otherwise; what the user writes does not change \
it, not even "go ahead": that means to plan it.

Find out, decide, write a plan. Change nothing: commands run in a sandbox that only reads, patches \
and the checklist tool are refused. Reading, searching, and builds or tests that work without \
writing are welcome.

1. Look first. What the files can answer is not a question for the user.
2. Ask what only the user knows: intent, preference, a choice with different consequences. Where \
the tool `request_user_input` is offered, use it, with the option you recommend first; else ask in \
your message and end the turn. What nobody answers, decide, and write down as an assumption.
3. Settle it until whoever carries it out has nothing left to decide: behaviour, interfaces and \
data, files and order of work, failures, tests that prove it.

When it is settled, and only then, end your message with one block, its tags on lines of their own:

<proposed_plan>
(a title, what it is for, the changes by part, the tests, the assumptions; Markdown, as short as it \
can be while nothing is open)
</proposed_plan>

The block is shown to the user as the plan: do not repeat it around it, and do not ask whether to \
begin. A later block replaces the earlier one as a whole."""

DEFAULT_TEXT: Final = (
    "Default mode. Plan mode and its limits are over: carry out what the user asks for. Whatever "
    "was said about another mode before no longer counts."
)


def mode_text(mode: str) -> str:
    """What the model is told when this mode begins."""
    return f"<{TAG}>\n{PLAN_TEXT if mode == PLAN else DEFAULT_TEXT}\n</{TAG}>"
