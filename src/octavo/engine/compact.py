"""Shortening a history without breaking promises. Pure: when, what stays, what it becomes.

What goes is told in a summary that the model writes with everything still in front of it (the
request is the usual one plus one message, so that servers can use what they have cached). What
stays: the user's own words within a budget, the last stretch of work verbatim, and the ledger.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from octavo.engine.ledger import Ledger, rendered
from octavo.engine.window import Limits
from octavo.protocol.content import InputText
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    HistoryItem,
    LocalShellCall,
    Message,
    Reasoning,
    ToolOutputItem,
)
from octavo.protocol.ids import CallId
from octavo.protocol.usage import BYTES_PER_TOKEN, estimate_item
from octavo.tools.truncate import shorten_text

GOAL_BYTES: Final = 8_000
CONTEXT_MARKS: Final = (
    "<environment_context>",
    "<turn_aborted>",
    "<context_summary>",
    "<skill>",
    "<hook",
    "<goal_context>",
    "<review_result>",
    "# AGENTS.md instructions for ",
)
"""How messages begin that stand under the user's name and are ours."""
OWN_DEVELOPER: Final = (
    "<permissions instructions>",
    "<skills_instructions>",
    "<collaboration_mode>",
)

PROMPT: Final = """\
The conversation is about to be shortened. Write the handoff for whoever goes on with this work and \
will see only your text, the user's messages and the last steps. No tool calls; plain text.

Say what was asked and what is done; decisions with their reasons; facts that were hard to find \
(paths, names, commands, error texts, in exact words); what is still open. Be complete and brief.

End with these headings, each with `- ` lines; write `- none` where there is nothing new. Entries \
of the ledger you already see are kept without you: do not repeat them.

## Rules
(what the user demanded of the work, word for word)

## Rejected
(approaches that were tried or proposed and turned down, and why)

## Next step
(the one thing to do next)"""

PREFACE: Final = (
    "The conversation before this point was shortened. Below are a summary written then and a "
    "ledger kept by the program itself; where the two differ, the ledger is right. The rules in "
    "it still hold."
)


def question(prompt: str = PROMPT) -> Message:
    """What asks for the summary."""
    return Message(role="user", content=(InputText(text=prompt),))


def is_ours(item: HistoryItem) -> bool:
    """Context that is told anew after a compaction, or an earlier summary."""
    if not isinstance(item, Message):
        return False
    marks = CONTEXT_MARKS if item.role == "user" else OWN_DEVELOPER
    return item.role != "assistant" and item.text.startswith(marks)


def cut_at(items: Sequence[HistoryItem], budget: int) -> int:
    """Where the verbatim end begins: whole steps only, a call never without its output.

    A place where a turn begins wins over one in the middle, if the budget allows both.
    """
    places = list(cuts(items, budget))
    turns = [at for at in places if is_user(items[at]) and at < len(items) - 1]
    return min(turns or places, default=len(items))


def cuts(items: Sequence[HistoryItem], budget: int) -> Iterator[int]:
    """The places within the budget, counted from the end, where nothing that belongs together parts."""
    made = {
        item.call_id: at
        for at, item in enumerate(items)
        if isinstance(item, FunctionCall | CustomToolCall | LocalShellCall)
    }
    used, needed = 0, len(items)
    for at in range(len(items) - 1, 0, -1):
        item, before = items[at], items[at - 1]
        used += estimate_item(item)
        if used > budget:
            return
        if isinstance(item, ToolOutputItem):
            needed = min(needed, made.get(item.call_id, at))
        joined = isinstance(before, Reasoning | FunctionCall | CustomToolCall | LocalShellCall)
        if needed >= at and not joined:
            yield at


def is_user(item: HistoryItem) -> bool:
    """Words of the user, not ours."""
    return isinstance(item, Message) and item.role == "user" and not is_ours(item)


def calls_in(items: Iterable[HistoryItem]) -> set[CallId]:
    return {
        item.call_id
        for item in items
        if isinstance(item, FunctionCall | CustomToolCall | LocalShellCall)
        and item.call_id is not None
    }


def kept_words(items: Iterable[HistoryItem], budget: int) -> list[Message]:
    """The user's newest messages, whole; the oldest that still fits in part is cut in the middle."""
    kept: list[Message] = []
    left = budget
    for item in reversed(list(items)):
        if not (isinstance(item, Message) and is_user(item)):
            continue
        cost = estimate_item(item)
        if cost > left:
            if left > 100:
                text = shorten_text(item.text, left * BYTES_PER_TOKEN)
                kept.append(Message(role="user", content=(InputText(text=text),)))
            break
        left -= cost
        kept.append(item)
    return kept[::-1]


def first_words(items: Iterable[HistoryItem]) -> str:
    """What the user asked for first."""
    found = (item.text for item in items if isinstance(item, Message) and is_user(item))
    return shorten_text(next(found, ""), GOAL_BYTES)


def summary_message(summary: str, ledger: Ledger) -> Message:
    """The summary and the ledger, as the model reads them from now on."""
    text = f"<context_summary>\n{PREFACE}\n\n{summary}\n</context_summary>"
    return Message(role="user", content=(InputText(text=text), InputText(text=rendered(ledger))))


def replacement(
    items: Sequence[HistoryItem],
    *,
    opening: Iterable[Message],
    summary: str,
    ledger: Ledger,
    limits: Limits,
) -> list[HistoryItem]:
    """The new history: context, the user's words, what was done, the last steps."""
    at = cut_at(items, limits.tail)
    tail = [item for item in items[at:] if not is_ours(item)]
    return [
        *opening,
        *kept_words(items[:at], limits.user_words),
        summary_message(summary, ledger),
        *tail,
    ]


def without_oldest(items: Sequence[HistoryItem]) -> list[HistoryItem]:
    """A tenth less, from the front, each call with its output; never the last item."""
    drop = max(1, len(items) // 10)
    gone = calls_in(items[:drop])
    rest = [
        item
        for item in items[drop:]
        if not (isinstance(item, ToolOutputItem) and item.call_id in gone)
    ]
    return rest or list(items[-1:])
