"""What of an event goes into the audit record. Pure."""

from typing import Final

from octavo.protocol import events, items
from octavo.protocol.approvals import (
    ApprovalRequest,
    CommandApproval,
    Decision,
    McpApproval,
    PatchApproval,
)
from octavo.protocol.ids import TurnId

Row = tuple[str, dict[str, object]]
"""Kind and facts."""
HOSTS: Final = frozenset({"connect"})
"""Refused operations whose subject is a host."""
ENDINGS: Final[dict[type, str]] = {
    events.TurnCompleted: "completed",
    events.TurnFailed: "failed",
    events.TurnInterrupted: "interrupted",
}


def rows_of(event: events.Event, *, rule: str) -> list[Row]:
    """The lines an event makes. `rule` is what decides where nothing else did."""
    match event:
        case events.TurnStarted():
            return [("turn", {"state": "started"})]
        case events.ItemCompleted(item=item):
            return item_rows(item, rule)
        case events.TurnFailed(message=message, code=code):
            return [("turn", {"state": "failed", "code": code, "message": message})]
        case events.TurnCompleted() | events.TurnInterrupted():
            return [("turn", {"state": ENDINGS[type(event)]})]
        case events.Warned(message=message):
            return [("warning", {"message": message})]
        case _:
            return []


def item_rows(item: items.Item, rule: str) -> list[Row]:
    """The lines of something that is over."""
    match item:
        case items.CommandExecution():
            return command_rows(item, rule)
        case items.FileChange():
            files = [
                {"path": one.path, "change": one.kind}
                | ({"moved_to": one.move_path} if one.move_path else {})
                for one in item.changes
            ]
            return [("file_change", {"status": item.status, "files": files, "rule": rule})]
        case items.McpToolCall():
            facts = {"server": item.server, "tool": item.tool, "status": item.status}
            return [("tool", {**facts, "error": item.error} if item.error else {**facts})]
        case items.ToolUse():
            return [("tool", {"tool": item.tool, "status": item.status})]
        case items.WebSearch():
            return [("web_search", {"query": item.query, "status": item.status})]
        case items.ImageView():
            return [("file_read", {"path": item.path})]
        case _:
            return []


def command_rows(item: items.CommandExecution, rule: str) -> list[Row]:
    """A command, and one line for each host it was refused."""
    denials = [
        {"operation": one.operation, "subject": one.subject, "rule": one.rule}
        for one in item.denials
    ]
    facts: dict[str, object] = {
        "call": item.id,
        "argv": list(item.command),
        "cwd": item.cwd,
        "status": item.status,
        "exit_code": item.exit_code,
        "duration_ms": item.duration_ms,
        "rule": rule,
        "denials": denials,
    }
    hosts: list[Row] = [
        ("host", {"host": one.subject, "verdict": "denied", "rule": one.rule, "call": item.id})
        for one in item.denials
        if one.operation in HOSTS
    ]
    return [("command", facts), *hosts]


def decision_row(request: ApprovalRequest, decision: Decision, *, by: str, rule: str) -> Row:
    """A question and its answer. `by` says who or what answered, `rule` what made it a question
    where the question itself does not say."""
    about: dict[str, object]
    match request:
        case CommandApproval():
            about = {
                "about": "command",
                "argv": list(request.argv),
                "cwd": request.cwd,
                "outside_sandbox": request.escalated,
            }
        case PatchApproval():
            about = {"about": "files", "paths": [one.path for one in request.changes]}
        case McpApproval():
            about = {"about": "mcp_tool", "server": request.server, "tool": request.tool}
    facts = {
        "call": request.call_id,
        **about,
        "model_said": request.reason,
        "decision": decision.kind,
        "reason": decision.reason,
        "by": by,
        "rule": request.because or rule,
        "new_rule": None if decision.rule is None else list(decision.rule),
    }
    return "decision", {key: value for key, value in facts.items() if value is not None}


def turn_of(event: events.Event) -> TurnId | None:
    """The turn an event belongs to."""
    return getattr(event, "turn_id", None)
