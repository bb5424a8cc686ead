"""May this call's command run? The policy's verdict with what the call's context knows."""

import sys
from typing import Final

from octavo.policy.verdict import Ask, Forbid, Situation, Verdict, decide, may_retry, split
from octavo.protocol.approvals import CommandApproval
from octavo.protocol.items import DenialNote
from octavo.tools.base import ToolCall, ToolContext

__all__ = [
    "Ask",
    "Forbid",
    "decided",
    "may_retry",
    "question",
    "second_question",
    "situation",
]

RETRY: Final = "the sandbox refused something in the first try"


def situation(context: ToolContext, *, escalated: bool) -> Situation:
    """What counts for the verdict."""
    return Situation(
        policy=context.approval_policy,
        granular=context.granular,
        escalated=escalated,
        sandboxed=context.sandboxed,
        hides=context.access.hides,
        shell=context.shell,
        platform=sys.platform,
    )


def decided(
    argv: tuple[str, ...], at: Situation, context: ToolContext, wanted: tuple[str, ...] | None
) -> Verdict:
    """The verdict. `wanted`: the rule that the model proposes."""
    return decide(argv, at, context.rules(), wanted=wanted)


def question(
    argv: tuple[str, ...],
    cwd: str,
    call: ToolCall,
    at: Situation,
    ask: Ask,
    *,
    reason: str | None,
    terminal: bool,
) -> CommandApproval:
    """The question before a command runs."""
    return CommandApproval(
        call_id=call.call_id,
        argv=argv,
        cwd=cwd,
        reason=reason,
        because=ask.because,
        proposed_rule=ask.proposal,
        escalated=at.escalated and at.sandboxed,
        terminal=terminal,
        pipelines=() if ask.parts is None else ask.parts.pipelines,
        covers_retry=may_retry(at),
    )


def second_question(
    argv: tuple[str, ...],
    cwd: str,
    call: ToolCall,
    context: ToolContext,
    denials: tuple[DenialNote, ...],
    *,
    terminal: bool,
) -> CommandApproval:
    """The question whether to run again outside, with what the sandbox refused."""
    at = situation(context, escalated=False)
    found = split(argv, at)
    return CommandApproval(
        call_id=call.call_id,
        argv=argv,
        cwd=cwd,
        because=RETRY,
        denials=denials,
        escalated=True,
        terminal=terminal,
        pipelines=() if found is None or found.heredoc else found.pipelines,
    )
