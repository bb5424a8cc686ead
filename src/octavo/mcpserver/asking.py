"""Questions of the engine as elicitations, and the client's answers. Pure.

The form is a standard one. The members besides it, and a `decision` beside `action` in the answer,
are what older clients of the published server know.
"""

import shlex
from typing import Any, Final

import msgspec

from octavo.protocol.approvals import (
    ApprovalRequest,
    CommandApproval,
    Decision,
    McpApproval,
    PatchApproval,
)
from octavo.protocol.mcp import Elicitation, ElicitationAnswer
from octavo.protocol.wire import JSON
from octavo.rpc.messages import Id

Json = dict[str, Any]
CHOICES: Final = {
    "approved": "Yes, this once",
    "approved_for_session": "Yes, and the same again in this thread",
    "denied": "No; the agent goes on without it",
    "abort": "No; the agent stops",
}
DECISIONS: Final = {
    "approved": Decision.allow_once,
    "approved_for_session": Decision.allow_for_session,
    "denied": Decision.deny,
    "abort": Decision.abort,
}
NOBODY: Final = (
    "this needs an approval, and the MCP client cannot ask anybody (it did not declare the "
    "elicitation capability)"
)
MOST_GIVEN: Final = 2000
"""Characters of a tool's arguments that are shown."""
REFUSED: Final = "the person at the MCP client declined"


def question(request: ApprovalRequest, *, thread_id: str, turn_id: str, call_id: Id) -> Json:
    """The parameters of `elicitation/create`."""
    kinds = {PatchApproval: "patch-approval", McpApproval: "mcp-tool-approval"}
    return {
        "message": message(request),
        "requestedSchema": {
            "type": "object",
            "properties": {
                "decision": {
                    "type": "string",
                    "title": "Decision",
                    "enum": list(CHOICES),
                    "enumNames": list(CHOICES.values()),
                    "default": "approved",
                }
            },
        },
        "threadId": thread_id,
        "codex_elicitation": kinds.get(type(request), "exec-approval"),
        "codex_mcp_tool_call_id": str(call_id),
        "codex_event_id": turn_id,
        "codex_call_id": request.call_id,
        **details(request),
    }


def message(request: ApprovalRequest) -> str:
    """What a person reads."""
    if isinstance(request, CommandApproval):
        where = "outside the sandbox " if request.escalated else ""
        text = f"Allow `{shlex.join(request.argv)}` to run {where}in {request.cwd}?"
    elif isinstance(request, McpApproval):
        given = JSON.encode(request.arguments).decode()
        shown = given if len(given) <= MOST_GIVEN else given[: MOST_GIVEN - 1] + "…"
        text = f"Allow the tool {request.tool} of the MCP server {request.server} with {shown}?"
    else:
        text = f"Allow changes of {', '.join(change.path for change in request.changes)}?"
    why = [part for part in (request.reason, request.because) if part]
    return " ".join([text, *(f"({part})" for part in why)])


def details(request: ApprovalRequest) -> Json:
    """The same for programs."""
    if isinstance(request, CommandApproval):
        return {
            "codex_command": list(request.argv),
            "codex_cwd": request.cwd,
            "codex_parsed_cmd": [{"type": "unknown", "cmd": shlex.join(request.argv)}],
        }
    if isinstance(request, McpApproval):
        return {
            "codex_mcp_server": request.server,
            "codex_mcp_tool": request.tool,
            "codex_mcp_arguments": request.arguments,
        }
    return {"codex_changes": changes(request)}


def changes(about: Any) -> Json:  # noqa: ANN401 - anything with `changes`
    """Files by path with what happens to each."""
    return {
        change.path: {
            "type": "update", "unified_diff": change.diff, "move_path": change.move_path
        }
        if change.kind == "update"
        else {"type": change.kind, "content": change.diff}
        for change in about.changes
    }  # fmt: skip


def decided(answer: Any) -> Decision:  # noqa: ANN401 - from a client
    """The client's decision. What is not understood is a refusal."""
    if not isinstance(answer, dict):
        return Decision.deny("the client's answer was not understood")
    content = answer.get("content")
    said = answer.get("decision")
    if said is None and answer.get("action") == "accept":
        said = content.get("decision", "approved") if isinstance(content, dict) else "approved"
    if said is None and answer.get("action") in ("decline", "cancel"):
        return Decision.deny(REFUSED)
    if not isinstance(said, str) or said not in DECISIONS:
        return Decision.deny("the client's answer was not understood")
    return Decision.deny(REFUSED) if said == "denied" else DECISIONS[said]()


def passed_on(asked: Elicitation, thread_id: str) -> Json:
    """A question of an MCP server that the agent uses, as a question of ours."""
    common = {"message": f"{asked.server}: {asked.message}", "threadId": thread_id}
    if asked.url is not None:
        return {**common, "mode": "url", "url": asked.url, "elicitationId": asked.elicitation_id}
    return {**common, "requestedSchema": asked.schema or {"type": "object", "properties": {}}}


def passed_back(answer: Any) -> ElicitationAnswer:  # noqa: ANN401 - from a client
    """The client's answer for that server; what is not understood declines."""
    try:
        return msgspec.convert(answer, ElicitationAnswer)
    except msgspec.ValidationError:
        return ElicitationAnswer(action="decline")
