"""What the model has seen: items in order, every call with its output, nothing too long.

Pure. What was sent once is sent again byte for byte; repairs (a call whose output was lost in a
crash) come out the same each time, so the prefix of a request never changes.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from octavo.protocol.content import ContentPart, InputImage, InputText
from octavo.protocol.history import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    HistoryItem,
    LocalShellCall,
    Message,
    ToolCallItem,
    ToolOutputItem,
    Unknown,
)
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage, active_tokens, estimate_item
from octavo.tools.truncate import shorten_parts, shorten_text

LOST: Final = "aborted"
"""The output of a call whose real one was never recorded."""
NO_PICTURE: Final = "[a picture was here; this model cannot see pictures]"
SAFETY: Final = 1.2
"""Recorded outputs may be so much longer than what a tool promised: its own frame fits in."""


class History:
    """The items of one thread. `add` takes what happened; `prompt` is what goes into a request."""

    def __init__(
        self, items: Iterable[HistoryItem] = (), *, usage: TokenUsage | None = None
    ) -> None:
        self.items: list[HistoryItem] = list(items)
        self._last_usage = usage
        self._counted = len(self.items) if usage is not None else 0
        """Items the server has counted in `_last_usage`."""

    def add(self, item: HistoryItem) -> None:
        """Append what happened."""
        self.items.append(item)

    def counted(self, usage: TokenUsage) -> None:
        """The server has counted everything up to here."""
        self._last_usage = usage
        self._counted = len(self.items)

    @property
    def last_usage(self) -> TokenUsage | None:
        """What the server counted last."""
        return self._last_usage

    @property
    def has_count(self) -> bool:
        """The server has counted some of it, the instructions and tools before it included."""
        return self._last_usage is not None

    def reaches(self, limit: int) -> bool:
        """Does the next request have about so many tokens? Weighs no more items than it takes."""
        weight = 0 if self._last_usage is None else self._last_usage.total
        for item in self.items[self._counted :]:
            if weight >= limit:
                break
            weight += estimate_item(item)
        return weight >= limit

    def tokens(self) -> int:
        """About so many tokens the next request has."""
        return active_tokens(self._last_usage, tuple(self.items[self._counted :]))

    def prompt(self, *, pictures: bool = True) -> tuple[HistoryItem, ...]:
        """What the model is shown: pairs complete, nothing unknown; without pictures on demand."""
        return tuple(paired(item if pictures else without_pictures(item) for item in self.items))


def limited(item: HistoryItem, max_bytes: int) -> HistoryItem:
    """The item as it is recorded: a tool's output is cut once more, whatever the tool promised."""
    if not isinstance(item, FunctionCallOutput | CustomToolCallOutput):
        return item
    room = int(max_bytes * SAFETY)
    if isinstance(item.output, str):
        text = shorten_text(item.output, room)
        return item if text == item.output else replace(item, output=text)
    parts = shorten_parts(item.output, room)
    return item if parts == item.output else replace(item, output=parts)


def paired(items: Iterable[HistoryItem]) -> Iterator[HistoryItem]:
    """Each call with exactly one output; outputs without a call and unknown items left out."""
    listed = [item for item in items if not isinstance(item, Unknown)]
    answered = {item.call_id for item in listed if isinstance(item, ToolOutputItem)}
    open_calls: set[CallId] = set()
    for item in listed:
        if isinstance(item, FunctionCall | CustomToolCall | LocalShellCall):
            call_id = item.call_id
            yield item
            if call_id is None:
                continue
            if call_id in answered:
                open_calls.add(call_id)
            else:
                yield output_for(item, LOST, ItemId(f"fco_{call_id}"))
        elif isinstance(item, FunctionCallOutput | CustomToolCallOutput):
            if item.call_id in open_calls:
                open_calls.discard(item.call_id)
                yield item
        else:
            yield item


def output_for(
    call: ToolCallItem,
    output: str | tuple[ContentPart, ...],
    item_id: ItemId | None,
) -> ToolOutputItem:
    """The output item that pairs with a call."""
    if isinstance(call, CustomToolCall):
        return CustomToolCallOutput(call_id=call.call_id, output=output, id=item_id)
    call_id = call.call_id or CallId(call.id or "")
    return FunctionCallOutput(call_id=call_id, output=output, id=item_id)


def without_pictures(item: HistoryItem) -> HistoryItem:
    """The same item with words where pictures were."""
    if isinstance(item, Message):
        parts = plain_parts(item.content)
        return item if parts == item.content else replace(item, content=parts)
    if isinstance(item, FunctionCallOutput | CustomToolCallOutput) and not isinstance(
        item.output, str
    ):
        shown = plain_parts(item.output)
        return item if shown == item.output else replace(item, output=shown)
    return item


def plain_parts(parts: tuple[ContentPart, ...]) -> tuple[ContentPart, ...]:
    return tuple(
        InputText(text=NO_PICTURE) if isinstance(part, InputImage) else part for part in parts
    )
