"""Events as `codex/event` messages, and as one line of progress. Pure.

Only what clients of the published server look at; docs/mcp-server.md has the list.
"""

import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from octavo.mcpserver.asking import changes
from octavo.protocol import events as e
from octavo.protocol import items as i
from octavo.protocol.approvals import ApprovalRequest, CommandApproval, McpApproval
from octavo.protocol.content import TextInput

Json = dict[str, Any]


def configured(thread_id: str, facts: dict[str, Any], path: str | None) -> Json:
    """The first message of a call."""
    return {
        "type": "session_configured",
        "session_id": thread_id,
        "thread_id": thread_id,
        "model": facts["model"],
        "model_provider_id": facts["provider"],
        "approval_policy": facts.get("policy") or facts["approval"],
        "sandbox_policy": {"type": facts["sandbox"]},
        "cwd": facts["folder"],
        "reasoning_effort": facts.get("effort"),
        "history_log_id": 0,
        "history_entry_count": 0,
        "initial_messages": None,
        "rollout_path": path,
    }


def asked(request: ApprovalRequest, turn_id: str) -> Json:
    """An approval that somebody is asked for."""
    common = {"call_id": request.call_id, "turn_id": turn_id, "reason": request.reason}
    if isinstance(request, CommandApproval):
        return {
            "type": "exec_approval_request",
            **common,
            "command": list(request.argv),
            "cwd": request.cwd,
            "parsed_cmd": [{"type": "unknown", "cmd": shlex.join(request.argv)}],
        }
    if isinstance(request, McpApproval):
        tool = {"server": request.server, "tool": request.tool, "arguments": request.arguments}
        return {"type": "mcp_tool_call_approval_request", **common, **tool}
    more = {"changes": changes(request), "grant_root": request.grant_root}
    return {"type": "apply_patch_approval_request", **common, **more}


class Teller:
    """Tells the events of one turn."""

    def __init__(self, thread_id: str, turn_id: str) -> None:
        self._of = {"thread_id": thread_id, "turn_id": turn_id}
        self._turn_id = turn_id

    def tell(self, event: e.Event) -> Iterator[Json]:
        """The messages that one event becomes."""
        match event:
            case e.TurnStarted():
                yield {"type": "task_started", "turn_id": self._turn_id}
            case e.AgentMessageDelta(item_id=item, text=text):
                kind = "agent_message_content_delta"
                yield {"type": kind, **self._of, "item_id": item, "delta": text}
            case e.ReasoningDelta(item_id=item, text=text, kind="summary", part=part):
                more = {"item_id": item, "delta": text, "summary_index": part}
                yield {"type": "reasoning_content_delta", **self._of, **more}
            case e.ItemStarted(item=item):
                yield from self._begun(item)
            case e.ItemCompleted(item=item):
                yield from self._ended(item)
            case e.PlanUpdated(steps=steps, explanation=why):
                plan = [{"step": one.text, "status": one.status} for one in steps]
                yield {"type": "plan_update", "explanation": why, "plan": plan}
            case e.TurnDiff(diff=diff):
                yield {"type": "turn_diff", "unified_diff": diff}
            case e.UsageUpdated(last=last, total=total, window=window):
                info = {
                    "total_token_usage": msgspec.to_builtins(total),
                    "last_token_usage": msgspec.to_builtins(last),
                    "model_context_window": window,
                }
                yield {"type": "token_count", "info": info, "rate_limits": None}
            case e.Warned(message=text):
                yield {"type": "warning", "message": text}
            case e.Retrying(message=text):
                yield {"type": "stream_error", "message": text}
            case e.TurnCompleted(last_message=text):
                yield {
                    "type": "task_complete",
                    "turn_id": self._turn_id,
                    "last_agent_message": text,
                }
            case e.TurnFailed(message=text):
                yield {"type": "error", "message": text}
            case e.TurnInterrupted():
                yield {"type": "turn_aborted", "turn_id": self._turn_id, "reason": "interrupted"}
            case _:
                return

    def _begun(self, item: i.Item) -> Iterator[Json]:
        match item:
            case i.CommandExecution():
                yield {"type": "exec_command_begin", **self._command(item)}
            case i.FileChange():
                yield {
                    "type": "patch_apply_begin",
                    "call_id": item.id,
                    "turn_id": self._turn_id,
                    "auto_approved": True,
                    "changes": changes(item),
                }
            case i.McpToolCall():
                yield {"type": "mcp_tool_call_begin", "call_id": item.id, **invocation(item)}
            case i.WebSearch():
                yield {"type": "web_search_begin", "call_id": item.id}
            case _:
                return

    def _ended(self, item: i.Item) -> Iterator[Json]:
        match item:
            case i.UserMessage(content=parts):
                text = "\n".join(one.text for one in parts if isinstance(one, TextInput))
                yield {"type": "user_message", "message": text}
            case i.AgentMessage(text=text, phase=phase):
                yield {"type": "agent_message", "message": text, "phase": phase}
            case i.Reasoning(summary=summary):
                yield from ({"type": "agent_reasoning", "text": part} for part in summary)
            case i.CommandExecution():
                yield {
                    "type": "exec_command_end",
                    **self._command(item),
                    "stdout": item.aggregated_output,
                    "stderr": "",
                    "aggregated_output": item.aggregated_output,
                    "formatted_output": item.aggregated_output,
                    "exit_code": -1 if item.exit_code is None else item.exit_code,
                    "duration": duration(item.duration_ms),
                    "status": item.status,
                }
            case i.FileChange():
                done = item.status == "completed"
                yield {
                    "type": "patch_apply_end",
                    "call_id": item.id,
                    "turn_id": self._turn_id,
                    "stdout": item.message if done else "",
                    "stderr": "" if done else item.message,
                    "success": done,
                    "changes": changes(item),
                    "status": item.status,
                }
            case i.McpToolCall():
                yield {
                    "type": "mcp_tool_call_end",
                    "call_id": item.id,
                    **invocation(item),
                    "duration": duration(item.duration_ms),
                    "result": outcome(item),
                }
            case i.WebSearch(query=query, action=action):
                more = {"query": query, "action": action}
                yield {"type": "web_search_end", "call_id": item.id, **more}
            case i.Problem(message=text):
                yield {"type": "warning", "message": text}
            case _:
                return

    def _command(self, item: i.CommandExecution) -> Json:
        return {
            "call_id": item.id,
            "turn_id": self._turn_id,
            "command": list(item.command),
            "cwd": item.cwd,
            "parsed_cmd": [{"type": "unknown", "cmd": shlex.join(item.command)}],
            "source": "agent",
        }


def invocation(item: i.McpToolCall) -> Json:
    said = {"server": item.server, "tool": item.tool, "arguments": item.arguments}
    return {"invocation": said}


def outcome(item: i.McpToolCall) -> Json:
    if item.result is None:
        return {"Err": item.error or "no result"}
    given = {
        "content": list(item.result.content),
        "structuredContent": item.result.structured_content,
        "isError": item.status == "failed",
    }
    return {"Ok": given}


def duration(ms: int | None) -> Json:
    whole, rest = divmod(ms or 0, 1000)
    return {"secs": whole, "nanos": rest * 1_000_000}


def progress(event: e.Event) -> str | None:
    """What a person reads while they wait; None: nothing worth a line."""
    match event:
        case e.TurnStarted():
            return "the agent has begun"
        case e.ItemStarted(item=i.CommandExecution(command=command)):
            return f"runs {shlex.join(command)}"
        case e.ItemCompleted(item=i.CommandExecution(exit_code=code)):
            return "the command was stopped" if code is None else f"the command ended with {code}"
        case e.ItemStarted(item=i.McpToolCall(server=server, tool=tool)):
            return f"calls {server}.{tool}"
        case e.ItemCompleted(item=i.FileChange(changes=changed, status="completed")):
            return f"changed {', '.join(one.path for one in changed)}"
        case e.ItemStarted(item=i.WebSearch()):
            return "searches the web"
        case e.ItemCompleted(item=i.AgentMessage(text=text)):
            return text[:200]
        case e.Retrying(message=text):
            return text
        case _:
            return None
