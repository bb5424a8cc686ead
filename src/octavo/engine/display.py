"""What a model's stream looks like to people: items begin, grow and end.

Pure. Tools show their own items; this is about what the model itself says and thinks.
"""

from collections.abc import Iterator

from octavo.model import events as said
from octavo.protocol import events, items
from octavo.protocol.history import HistoryItem, Message, Reasoning, WebSearchCall
from octavo.protocol.ids import ItemId, TurnId

PATCH_TOOL = "apply_patch"


class Display:
    """Turns one response's stream into events. A new one for each response."""

    def __init__(self, turn_id: TurnId) -> None:
        self.turn_id = turn_id
        self._part = 0
        self._patches: set[ItemId] = set()

    def show(self, event: said.ModelEvent) -> Iterator[events.Event]:
        """What people see of this value; nothing for most."""
        match event:
            case said.ItemStarted(item_id=item_id, kind="message"):
                item = items.AgentMessage(id=item_id, text="")
                yield events.ItemStarted(turn_id=self.turn_id, item=item)
            case said.ItemStarted(item_id=item_id, kind="call", name=name) if name == PATCH_TOOL:
                self._patches.add(item_id)
            case said.TextDelta(item_id=item_id, text=text):
                yield events.AgentMessageDelta(item_id=item_id, text=text)
            case said.ReasoningPart(index=index):
                self._part = index
            case said.ReasoningDelta(item_id=item_id, text=text, kind=kind):
                yield events.ReasoningDelta(item_id=item_id, text=text, kind=kind, part=self._part)
            case said.CallDelta(item_id=item_id, text=text) if item_id in self._patches:
                yield events.PatchDelta(item_id=item_id, text=text)
            case _:
                return

    def completed(self, item: HistoryItem) -> items.Item | None:
        """The finished item as people see it; None for what tools show, or nobody."""
        match item:
            case Message(role="assistant", id=item_id):
                return items.AgentMessage(
                    id=item_id or ItemId(""), text=item.text, phase=item.phase
                )
            case Reasoning(id=item_id, summary=summary):
                raw = tuple(part.text for part in item.content or ())
                if not summary and not raw:
                    return None
                told = tuple(part.text for part in summary)
                return items.Reasoning(id=item_id or ItemId(""), summary=told, raw=raw)
            case WebSearchCall(id=item_id, action=action):
                query = (action or {}).get("query")
                return items.WebSearch(
                    id=item_id or ItemId(""),
                    query=query if isinstance(query, str) else "",
                    action=action,
                )
            case _:
                return None
