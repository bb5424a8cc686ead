"""Carries out one compaction: asks for the summary, writes the new beginning, goes on with it.

A summary that cannot be had (an answer without words, a history that does not fit even now) does
not end the thread: the ledger and the last steps are enough to go on, and a warning says so.
"""

from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from octavo.engine.compact import (
    first_words,
    question,
    replacement,
    without_oldest,
)
from octavo.engine.context import opening
from octavo.engine.ledger import recovered, updated
from octavo.engine.session import Session, TurnFrame
from octavo.model import retry
from octavo.model.events import Done, ItemDone
from octavo.protocol import events, items
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.history import HistoryItem, Message
from octavo.protocol.ids import ItemId
from octavo.store.rollout import Compacted

ATTEMPTS: Final = 12
NO_SUMMARY: Final = "(There is no summary: the model gave none. Look at the ledger and the files.)"
ACCURACY: Final = "The conversation was shortened. Long threads lose accuracy: a new one is better for a new task."


async def compact(session: Session, frame: TurnFrame, *, trigger: str = "auto") -> None:
    """Shorten the history of a session now. Raises ModelError, StoreError, LimitReached."""
    hooks = session.parts.hooks
    refused = None if hooks is None else await hooks.compacting(frame.turn_id, trigger)
    if refused is not None:
        warn(session, f"The conversation is not shortened: {refused}")
        session.full, session.fresh = False, True
        return
    item_id = ItemId(f"item_{session.parts.ids.uuid()}")
    started = items.Compaction(id=item_id)
    session.publish(events.ItemStarted(turn_id=frame.turn_id, item=started))
    before = tuple(session.history.items)
    summary = await summarised(session, frame)
    if not summary:
        warn(session, "The model gave no summary; the thread goes on with its ledger.")
    new = shortened(session, before, summary or NO_SUMMARY)
    session.write(Compacted(message=summary, replacement_history=tuple(new)))
    session.restart(new)
    session.completed(frame, items.Compaction(id=item_id, summary=summary))
    if hooks is not None:
        session.record(await hooks.compacted(frame.turn_id, trigger))
    if session.windows == 1:
        warn(session, ACCURACY)


def shortened(session: Session, before: tuple[HistoryItem, ...], summary: str) -> list[HistoryItem]:
    """The new history, with the ledger as it is now."""
    parts = session.parts
    ledger = updated(
        recovered(before),
        before,
        summary,
        goal=first_words(before),
        running=parts.running_commands(),
        hash_file=parts.hash_file,
    )
    objective = None if parts.goals is None else parts.goals.objective
    if objective is not None:
        ledger = replace(ledger, goal=objective)
    new = replacement(
        before,
        opening=opening(session.here.surroundings),
        summary=summary,
        ledger=ledger,
        limits=session.limits,
    )
    return [session.named(item) if isinstance(item, Message) else item for item in new]


async def summarised(session: Session, frame: TurnFrame) -> str:
    """The model's summary; empty when it has none to give."""
    input_: list[HistoryItem] = [*session.history.prompt(pictures=session.parts.info.images)]
    attempt = 0
    while True:
        try:
            return await asked(session, frame, input_)
        except ModelError as error:
            attempt += 1
            if error.kind is ModelErrorKind.CONTEXT_WINDOW:
                if len(input_) <= 1 or attempt > ATTEMPTS:
                    return ""
                input_ = without_oldest(input_)
                continue
            notice = retry.next_retry(
                error, attempt, session.parts.stream_retries, jitter=session.parts.ids.jitter()
            )
            if notice is None:
                raise
            await session.parts.clock.sleep(notice.delay_ms / 1000)


async def asked(session: Session, frame: TurnFrame, input_: list[HistoryItem]) -> str:
    """One request for a summary. What it calls is ignored, what it says is the summary."""
    request = session.request(frame)
    prompt = session.parts.compact_prompt
    ask = question() if prompt is None else question(prompt)
    request = replace(request, input=(*input_, session.named(ask)), output_schema=None)
    said: list[str] = []
    async with aclosing(session.parts.model.stream(request)) as stream:
        async for event in stream:
            match event:
                case ItemDone(item=Message(role="assistant") as item):
                    said.append(item.text)
                case Done(usage=usage, response_id=response_id):
                    session.counted(frame, usage, response_id)
                case _:
                    pass
    return "\n\n".join(said).strip()


def warn(session: Session, text: str) -> None:
    session.publish(events.Warned(message=text))
