"""What a thread's events are called in the protocol. Pure: one event in, notices out.

A narrator belongs to one thread; all who listen to it get the same notices.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from octavo.appserver import views
from octavo.protocol import events, items

if TYPE_CHECKING:
    from octavo.protocol.usage import TokenUsage

Notice = tuple[str, dict[str, Any]]
DELTAS: Final = frozenset(
    {
        "item/agentMessage/delta",
        "item/commandExecution/outputDelta",
        "item/reasoning/summaryTextDelta",
        "item/reasoning/textDelta",
        "item/plan/delta",
    }
)
"""Notices that may be joined with the one before when a client reads slowly."""
SHOWN_AT_ONCE: Final = (items.UserMessage, items.Reasoning, items.WebSearch, items.ImageView)
"""Items the engine tells when they are over: clients hear of their beginning all the same."""


class Narrator:
    """Turns the events of one thread into notices. `now_ms`: the time, for what begins and ends."""

    def __init__(self, thread_id: str) -> None:
        self._thread = thread_id
        self.turn: str | None = None
        """The turn that runs."""
        self.usage: TokenUsage | None = None
        self._began_s = 0
        self._last_message: dict[str, Any] | None = None
        self._open: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, int] = {}
        self._diff = ""

    def tell(self, event: events.Event, now_ms: int) -> Iterator[Notice]:
        """The notices for an event, in order."""
        match event:
            case events.TurnStarted(turn_id=turn_id):
                yield from self._begun(turn_id, now_ms)
            case events.ItemStarted(item=item):
                yield from self._started(item, now_ms)
            case events.ItemCompleted(item=item):
                yield from self._completed(item, now_ms)
            case events.AgentMessageDelta() | events.ReasoningDelta() | events.CommandOutputDelta():
                yield from self._delta(event, now_ms)
            case events.McpServerUpdated(name=name, state=state, error=problem):
                told = {"threadId": self._thread, "name": name, "status": state, "error": problem}
                yield "mcpServer/startupStatus/updated", told
            case events.McpProgress(item_id=item_id, text=text):
                yield self._of_turn("item/mcpToolCall/progress", itemId=item_id, message=text)
            case events.PlanUpdated(steps=steps, explanation=explanation):
                plan = [views.plan_step(step) for step in steps]
                yield self._of_turn("turn/plan/updated", explanation=explanation, plan=plan)
            case events.TurnDiff(diff=diff) if diff != self._diff:
                self._diff = diff
                yield self._of_turn("turn/diff/updated", diff=diff)
            case events.UsageUpdated(last=last, total=total, window=window):
                self.usage = total
                tokens = {
                    "total": views.usage(total),
                    "last": views.usage(last),
                    "modelContextWindow": window,
                }
                yield self._of_turn("thread/tokenUsage/updated", tokenUsage=tokens)
            case events.GoalUpdated(goal=goal):
                shown = views.goal(goal, self._thread)
                yield (
                    "thread/goal/updated",
                    {
                        "threadId": self._thread,
                        "turnId": self.turn,
                        "goal": shown,
                    },
                )
            case events.GoalCleared():
                yield "thread/goal/cleared", {"threadId": self._thread}
            case events.Warned(message=message):
                yield "warning", {"threadId": self._thread, "message": message}
            case events.Retrying(message=message):
                error = views.turn_error(message)
                yield self._of_turn("error", error=error, willRetry=True)
            case events.TurnCompleted() | events.TurnFailed() | events.TurnInterrupted():
                yield from self._ended(event, now_ms)
            case _:
                return

    # ---- turns ----------------------------------------------------------------------------

    def _begun(self, turn_id: str, now_ms: int) -> Iterator[Notice]:
        self.turn = turn_id
        self._began_s = now_ms // 1000
        self._last_message, self._diff = None, ""
        self._open.clear()
        yield self._status(views.active())
        begun = views.turn(turn_id, "inProgress", started_s=self._began_s)
        yield "turn/started", {"threadId": self._thread, "turn": begun}

    def _ended(self, event: events.Ending, now_ms: int) -> Iterator[Notice]:
        for item in list(self._open.values()):  # what nobody closed any more
            closed = {**item, **({"status": "failed"} if "status" in item else {})}
            yield from self._close(closed, now_ms)
        error = None
        status, state = "completed", views.IDLE
        match event:
            case events.TurnInterrupted():
                status = "interrupted"
            case events.TurnFailed(message=message, code=code, hint=hint):
                status, state = "failed", views.SYSTEM_ERROR
                error = views.turn_error(message, code, hint)
            case _:
                pass
        yield self._status(state)
        if error is not None:
            yield self._of_turn("error", error=error, willRetry=False)
        last = [] if self._last_message is None else [self._last_message]
        ended = views.turn(
            str(event.turn_id),
            status,
            items_=last,
            view="summary",
            error=error,
            started_s=self._began_s,
            completed_s=now_ms // 1000,
            duration_ms=getattr(event, "duration_ms", None),
        )
        self.turn = None
        yield "turn/completed", {"threadId": self._thread, "turn": ended}

    # ---- items ----------------------------------------------------------------------------

    def _started(self, item: items.Item, now_ms: int) -> Iterator[Notice]:
        shape = views.item(item)
        if shape is None or item.id in self._open:
            return
        self._open[item.id] = shape
        yield self._of_turn("item/started", item=shape, startedAtMs=now_ms)

    def _completed(self, item: items.Item, now_ms: int) -> Iterator[Notice]:
        shape = views.item(item)
        if shape is None:
            return
        if item.id not in self._open:
            begun = {**shape, "text": ""} if shape["type"] == "agentMessage" else shape
            yield self._of_turn("item/started", item=begun, startedAtMs=now_ms)
        if shape["type"] == "agentMessage":
            self._last_message = shape
        yield from self._close(shape, now_ms)

    def _close(self, shape: dict[str, Any], now_ms: int) -> Iterator[Notice]:
        self._open.pop(shape["id"], None)
        self._parts.pop(shape["id"], None)
        yield self._of_turn("item/completed", item=shape, completedAtMs=now_ms)

    def _delta(
        self,
        event: events.AgentMessageDelta | events.ReasoningDelta | events.CommandOutputDelta,
        now_ms: int,
    ) -> Iterator[Notice]:
        match event:
            case events.AgentMessageDelta(item_id=item_id, text=text):
                yield self._of_turn("item/agentMessage/delta", itemId=item_id, delta=text)
            case events.CommandOutputDelta(item_id=item_id, text=text):
                yield self._of_turn("item/commandExecution/outputDelta", itemId=item_id, delta=text)
            case events.ReasoningDelta(item_id=item_id, text=text, kind=kind, part=part):
                if item_id not in self._open:
                    empty = items.Reasoning(id=item_id)
                    yield from self._started(empty, now_ms)
                if kind == "raw":
                    yield self._of_turn(
                        "item/reasoning/textDelta", itemId=item_id, delta=text, contentIndex=part
                    )
                    return
                if self._parts.get(item_id) != part:
                    self._parts[item_id] = part
                    yield self._of_turn(
                        "item/reasoning/summaryPartAdded", itemId=item_id, summaryIndex=part
                    )
                yield self._of_turn(
                    "item/reasoning/summaryTextDelta",
                    itemId=item_id,
                    delta=text,
                    summaryIndex=part,
                )

    # ---- shapes ---------------------------------------------------------------------------

    def _of_turn(self, method: str, **params: Any) -> Notice:  # noqa: ANN401 - any JSON value
        return method, {"threadId": self._thread, "turnId": self.turn or "", **params}

    def _status(self, status: dict[str, Any]) -> Notice:
        return "thread/status/changed", {"threadId": self._thread, "status": status}
