"""What a model's stream looks like to people: items begin, grow and end.

Pure. Tools show their own items; this is about what the model itself says and thinks.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from octavo.model import events as said
from octavo.protocol import events, items
from octavo.protocol.history import HistoryItem, Message, Reasoning, WebSearchCall
from octavo.protocol.ids import ItemId, TurnId

if TYPE_CHECKING:
    from octavo.engine.proposed import PlanCutter

PATCH_TOOL = "apply_patch"


class Display:
    """Turns one response's stream into events. A new one for each response.

    `plans`: a plan in a message is cut out and shown as an item of its own.
    """

    def __init__(self, turn_id: TurnId, *, plans: bool = False) -> None:
        self.turn_id = turn_id
        self._plans = plans
        self._cutters: dict[ItemId, PlanCutter] = {}
        self._begun: dict[ItemId, str] = {}
        """Messages that nobody has seen yet: what they begin with is blank."""
        self._part = 0
        self._patches: set[ItemId] = set()

    def show(self, event: said.ModelEvent) -> Iterator[events.Event]:
        """What people see of this value; nothing for most."""
        match event:
            case said.ItemStarted(item_id=item_id, kind="message") if self._plans:
                from octavo.engine.proposed import PlanCutter  # noqa: PLC0415 - only while planning

                self._cutters[item_id], self._begun[item_id] = PlanCutter(), ""
            case said.TextDelta(item_id=item_id, text=text) if item_id in self._cutters:
                yield from self._seen(item_id, self._cutters[item_id].feed(text))
            case said.ItemDone(item=Message(id=str(item_id))) if item_id in self._cutters:
                yield from self._seen(item_id, self._cutters[item_id].end())
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

    def _seen(self, item_id: ItemId, text: str) -> Iterator[events.Event]:
        """More of a message; it begins with the first words."""
        blank = self._begun.get(item_id)
        if blank is not None:
            text = blank + text
            if not text.strip():
                self._begun[item_id] = text
                return
            del self._begun[item_id]
            item = items.AgentMessage(id=item_id, text="")
            yield events.ItemStarted(turn_id=self.turn_id, item=item)
        if text:
            yield events.AgentMessageDelta(item_id=item_id, text=text)

    def finished(self, item: HistoryItem) -> tuple[items.Item, ...]:
        """The finished item as people see it: the message and its plan apart, else one or none."""
        shown = self.completed(item)
        if not self._plans or not isinstance(shown, items.AgentMessage):
            return () if shown is None else (shown,)
        from octavo.engine.proposed import cut  # noqa: PLC0415 - only while planning

        found = cut(shown.text)
        if found.plan is None:
            return (shown,)
        message = items.AgentMessage(id=shown.id, text=found.text.strip(), phase=shown.phase)
        plan = items.ProposedPlan(id=ItemId(f"{shown.id}-plan"), text=found.plan)
        return tuple(one for one in (message, plan) if one.text)

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
