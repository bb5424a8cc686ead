"""`exec --json`: events as one JSON object per line, in the published form.

Pure: events in, lines out. Items are numbered by first appearance in this process. What clients do
not know (deltas, diffs) is left out.
"""

import shlex
from collections.abc import Iterator
from typing import Any, Final

from octavo.protocol import events, items
from octavo.protocol.ids import ItemId
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import JSON

Line = dict[str, Any]

PLAN: Final = ItemId("plan")


class JsonLines:
    """Turns events into lines. One for each run: it counts the items."""

    def __init__(self) -> None:
        self._numbers: dict[ItemId, str] = {}
        self._plan: Line | None = None

    def lines(self, event: events.Event) -> Iterator[bytes]:
        """The lines for an event, without the newline; mostly one or none."""
        for line in self._lines(event):
            yield encoded(line)

    def error(self, message: str) -> bytes:
        """Something went wrong; by itself it does not end the run."""
        return encoded({"type": "error", "message": message})

    def failed(self, message: str) -> Iterator[bytes]:
        """The last lines of a run that could not go on."""
        yield self.error(message)
        yield encoded({"type": "turn.failed", "error": {"message": message}})

    def _lines(self, event: events.Event) -> Iterator[Line]:
        match event:
            case events.ThreadStarted(thread_id=thread_id):
                yield {"type": "thread.started", "thread_id": thread_id}
            case events.TurnStarted():
                yield {"type": "turn.started"}
            case events.ItemStarted(item=item):
                yield from self._item("item.started", item)
            case events.ItemCompleted(item=item):
                yield from self._item("item.completed", item)
            case events.PlanUpdated(steps=steps):
                yield self._planned(steps)
            case events.Warned(message=message):
                problem = items.Problem(id=ItemId(f"warning {len(self._numbers)}"), message=message)
                yield from self._item("item.completed", problem)
            case events.Retrying(message=message):
                yield {"type": "error", "message": message}
            case events.TurnCompleted(usage=usage):
                yield from self._plan_done()
                yield {"type": "turn.completed", "usage": usage_line(usage)}
            case events.TurnFailed(message=message):
                yield {"type": "error", "message": message}
                yield {"type": "turn.failed", "error": {"message": message}}
            case _:
                return

    def _item(self, kind: str, item: items.Item) -> Iterator[Line]:
        shape = wire(item)
        if shape is None or (kind == "item.started" and isinstance(item, ONLY_COMPLETED)):
            return
        yield {"type": kind, "item": {"id": self._number(item.id), **shape}}

    def _number(self, item_id: ItemId) -> str:
        return self._numbers.setdefault(item_id, f"item_{len(self._numbers)}")

    def _planned(self, steps: tuple[events.PlanStep, ...]) -> Line:
        kind = "item.started" if self._plan is None else "item.updated"
        listed = [{"text": step.text, "completed": step.status == "completed"} for step in steps]
        self._plan = {"id": self._number(PLAN), "type": "todo_list", "items": listed}
        return {"type": kind, "item": self._plan}

    def _plan_done(self) -> Iterator[Line]:
        if self._plan is not None:
            yield {"type": "item.completed", "item": self._plan}
            self._plan = None


ONLY_COMPLETED: Final = (items.AgentMessage, items.Reasoning, items.Problem)


def encoded(line: Line) -> bytes:
    """One line. Bytes of a path that are no letters become escapes: JSON cannot carry them."""
    try:
        return JSON.encode(line)
    except UnicodeEncodeError:
        cleaned: Line = {key: clean(value) for key, value in line.items()}
        return JSON.encode(cleaned)


def clean(value: object) -> object:
    """The same with such bytes as escapes."""
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {clean(key): clean(inner) for key, inner in value.items()}
        case list() | tuple():
            return [clean(inner) for inner in value]
        case _:
            return value


def known(status: items.Status) -> str:
    """Only commands are `declined` in the published form."""
    return "failed" if status == "declined" else status


def usage_line(usage: TokenUsage) -> dict[str, int]:
    """The tokens of the whole thread so far."""
    return {
        "input_tokens": usage.input,
        "cached_input_tokens": usage.cached_input,
        "cache_write_input_tokens": usage.cache_write_input,
        "output_tokens": usage.output,
        "reasoning_output_tokens": usage.reasoning_output,
    }


def wire(item: items.Item) -> Line | None:
    """An item in the published form, without its id; None for what that form does not have."""
    match item:
        case items.AgentMessage(text=text):
            return {"type": "agent_message", "text": text}
        case items.ProposedPlan(text=text):  # clients take the last message for the result
            return {"type": "agent_message", "text": text, "proposed_plan": True}
        case items.Reasoning(summary=summary) if summary:
            return {"type": "reasoning", "text": "\n".join(summary)}
        case items.CommandExecution():
            return command(item)
        case items.FileChange(changes=changes, status=status):
            listed = [{"path": change.path, "kind": change.kind} for change in changes]
            return {"type": "file_change", "changes": listed, "status": known(status)}
        case items.McpToolCall():
            return mcp_call(item)
        case items.WebSearch(query=query, action=action):
            return {"type": "web_search", "query": query, "action": action or {"type": "other"}}
        case items.Problem(message=message):
            return {"type": "error", "message": message}
        case _:
            return None


def command(item: items.CommandExecution) -> Line:
    line: Line = {
        "type": "command_execution",
        "command": shlex.join(item.command),
        "aggregated_output": item.aggregated_output,
        "exit_code": item.exit_code,
        "status": item.status,
    }
    if item.denials:  # ours; clients pass over fields they do not know
        line["denials"] = [
            {"operation": one.operation, "subject": one.subject, "rule": one.rule}
            for one in item.denials
        ]
    return line


def mcp_call(item: items.McpToolCall) -> Line:
    result = None
    if item.result is not None:
        result = {
            "content": list(item.result.content),
            "structured_content": item.result.structured_content,
        }
    return {
        "type": "mcp_tool_call",
        "server": item.server,
        "tool": item.tool,
        "arguments": item.arguments,
        "result": result,
        "error": None if item.error is None else {"message": item.error},
        "status": known(item.status),
    }
