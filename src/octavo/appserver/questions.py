"""Questions of the engine as requests to a client, and the client's answers. Pure."""

import shlex
from typing import Any, Final

import msgspec

from octavo.appserver import views
from octavo.protocol.approvals import (
    NETWORK_ACCESS,
    ApprovalRequest,
    CommandApproval,
    Decision,
    McpApproval,
    PatchApproval,
)
from octavo.protocol.ids import ItemId
from octavo.protocol.items import CommandExecution, FileChange
from octavo.protocol.mcp import Elicitation, ElicitationAnswer
from octavo.protocol.questions import Answers, Questions

PROTOCOLS: Final = {"http": "http", "https": "https"}
SIMPLE: Final = {
    "accept": Decision.allow_once,
    "acceptForSession": Decision.allow_for_session,
    "decline": Decision.deny,
    "cancel": Decision.abort,
}


def question(
    request: ApprovalRequest, *, thread_id: str, turn_id: str, now_ms: int
) -> tuple[str, dict[str, Any]]:
    """The method and the parameters that put a question to a client."""
    common = {
        "threadId": thread_id,
        "turnId": turn_id,
        "itemId": request.call_id,
        "startedAtMs": now_ms,
        "reason": request.reason,
    }
    if isinstance(request, PatchApproval):
        grant = {"grantRoot": request.grant_root}
        return "item/fileChange/requestApproval", common | grant
    if isinstance(request, McpApproval):
        return "mcpServer/elicitation/request", mcp_question(request, thread_id, turn_id)
    if request.argv[0] == NETWORK_ACCESS:
        return "item/commandExecution/requestApproval", common | network_question(request)
    rule = list(request.proposed_rule) if request.proposed_rule else None
    decisions: list[Any] = ["accept", "acceptForSession"]
    if rule:
        decisions.append({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": rule}})
    return "item/commandExecution/requestApproval", {
        **common,
        "kind": "command",
        "environmentId": "local",
        "command": shlex.join(request.argv),
        "cwd": request.cwd,
        "commandActions": views.actions(request.argv, request.cwd),
        "proposedExecpolicyAmendment": rule,
        "availableDecisions": [*decisions, "decline", "cancel"],
    }


def network_question(request: CommandApproval) -> dict[str, Any]:
    """What a question about a host adds. Amendments name no port: they mean every port of it."""
    scheme, _, where = request.argv[-1].partition("://")
    host = where.rpartition(":")[0].strip("[]")
    amendments = [{"action": action, "host": host} for action in ("allow", "deny")]
    offered = [
        {"applyNetworkPolicyAmendment": {"network_policy_amendment": one}} for one in amendments
    ]
    return {
        "kind": "command",
        "environmentId": "local",
        "command": shlex.join(request.argv),
        "cwd": request.cwd,
        "commandActions": [],
        "networkApprovalContext": {"host": host, "protocol": PROTOCOLS.get(scheme, "socks5Tcp")},
        "proposedNetworkPolicyAmendments": amendments,
        "proposedExecpolicyAmendment": None,
        "availableDecisions": ["accept", "acceptForSession", *offered, "decline", "cancel"],
    }


def asked_about(request: ApprovalRequest) -> CommandExecution | FileChange | None:
    """What a question is about, as the item that clients see before they are asked."""
    id_ = ItemId(request.call_id)
    match request:
        case CommandApproval(argv=argv, cwd=cwd) if argv[0] != NETWORK_ACCESS:
            return CommandExecution(id=id_, command=argv, cwd=cwd)
        case PatchApproval(changes=changes):
            return FileChange(id=id_, changes=changes)
        case _:
            return None


def mcp_question(request: McpApproval, thread_id: str, turn_id: str) -> dict[str, Any]:
    """A call to a tool of an MCP server, put as that server's own question would be."""
    return {
        "threadId": thread_id,
        "turnId": turn_id,
        "serverName": request.server,
        "mode": "form",
        "message": f"Allow the tool {request.title or request.tool} of {request.server}?",
        "requestedSchema": {"type": "object", "properties": {}},
        "_meta": {
            "codex_approval_kind": "mcp_tool_call",
            "persist": ["session", "always"],
            "call_id": request.call_id,
            "tool_name": request.tool,
            "tool_title": request.title,
            "tool_description": request.description,
            "tool_params": request.arguments,
        },
    }


def elicitation(asked: Elicitation, *, thread_id: str, turn_id: str | None) -> dict[str, Any]:
    """The parameters that put a question of an MCP server to a client."""
    common = {
        "threadId": thread_id,
        "turnId": turn_id,
        "serverName": asked.server,
        "message": asked.message,
        "_meta": None,
    }
    if asked.url is not None:
        more = {"mode": "url", "url": asked.url, "elicitationId": asked.elicitation_id or ""}
        return common | more
    return common | {"mode": "form", "requestedSchema": asked.schema or {}}


def elicited(answer: Any) -> ElicitationAnswer:  # noqa: ANN401 - from a client
    """The client's answer to it; what is not understood is a cancelled question."""
    try:
        return msgspec.convert(answer, ElicitationAnswer)
    except msgspec.ValidationError:
        return ElicitationAnswer(action="cancel")


def decided_mcp(answer: Any) -> Decision:  # noqa: ANN401 - from a client
    """The answer to an elicitation that stands for an approval."""
    said = answer if isinstance(answer, dict) else {}
    meta = said.get("_meta")
    persist = meta.get("persist") if isinstance(meta, dict) else None
    match said.get("action"):
        case "accept" if persist == "always":
            return Decision.allow_always(())
        case "accept" if persist == "session":
            return Decision.allow_for_session()
        case "accept":
            return Decision.allow_once()
        case "decline":
            return Decision.deny()
        case "cancel":
            return Decision.abort()
        case _:
            return Decision.deny("the client's answer was not understood")


def decided(request: ApprovalRequest, answer: Any) -> Decision:  # noqa: ANN401 - from a client
    """The client's decision; what is none of those we know is a refusal."""
    if isinstance(request, McpApproval):
        return decided_mcp(answer)
    said = answer.get("decision") if isinstance(answer, dict) else None
    if isinstance(said, str) and said in SIMPLE:
        return SIMPLE[said]()
    if isinstance(said, dict) and isinstance(request, CommandApproval):
        if request.argv[0] == NETWORK_ACCESS:
            about_host = said.get("applyNetworkPolicyAmendment")
            inner = about_host if isinstance(about_host, dict) else {}
            return amended(request, inner.get("network_policy_amendment"))
        amendment = said.get("acceptWithExecpolicyAmendment")
        if isinstance(amendment, dict):
            words = amendment.get("execpolicy_amendment")
            if isinstance(words, list) and words and all(isinstance(w, str) for w in words):
                return Decision.allow_always(tuple(words))
    return Decision.deny("the client's answer was not understood")


def amended(request: CommandApproval, amendment: Any) -> Decision:  # noqa: ANN401 - from a client
    """A rule about the host that was asked about; one about another host is not understood."""
    offered = network_question(request)["proposedNetworkPolicyAmendments"]
    if amendment not in offered:
        return Decision.deny("the client's answer was not understood")
    rule = (NETWORK_ACCESS, request.argv[-1].rpartition(":")[0])
    if amendment["action"] == "allow":
        return Decision.allow_always(rule)
    return Decision.deny_always(rule)


def user_input(questions: Questions, *, thread_id: str, turn_id: str) -> dict[str, Any]:
    """The parameters that put the model's questions to a person."""
    return {
        "threadId": thread_id,
        "turnId": turn_id,
        "itemId": questions.call_id,
        "questions": [
            {
                "id": one.id,
                "header": one.header,
                "question": one.question,
                "isOther": True,
                "isSecret": False,
                "options": [
                    {"label": option.label, "description": option.description}
                    for option in one.options
                ],
            }
            for one in questions.questions
        ],
        "isBlocking": True,
        "autoResolutionMs": None,
    }


def answered(answer: Any) -> Answers | None:  # noqa: ANN401 - from a client
    """What a person answered; None for what is no answer."""
    try:
        return msgspec.convert(answer, Answers)
    except msgspec.ValidationError:
        return None
