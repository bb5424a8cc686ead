"""Questions of the engine as requests to a client, and the client's answers. Pure."""

import shlex
from typing import Any, Final

import msgspec

from octavo.appserver import views
from octavo.protocol.approvals import ApprovalRequest, CommandApproval, Decision, PatchApproval
from octavo.protocol.questions import Answers, Questions

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
    assert isinstance(request, CommandApproval)
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


def decided(request: ApprovalRequest, answer: Any) -> Decision:  # noqa: ANN401 - from a client
    """The client's decision; what is none of those we know is a refusal."""
    said = answer.get("decision") if isinstance(answer, dict) else None
    if isinstance(said, str) and said in SIMPLE:
        return SIMPLE[said]()
    if isinstance(said, dict) and isinstance(request, CommandApproval):
        amendment = said.get("acceptWithExecpolicyAmendment")
        if isinstance(amendment, dict):
            words = amendment.get("execpolicy_amendment")
            if isinstance(words, list) and words and all(isinstance(w, str) for w in words):
                return Decision.allow_always(tuple(words))
    return Decision.deny("the client's answer was not understood")


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
