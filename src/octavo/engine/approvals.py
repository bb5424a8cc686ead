"""Answers that hold until the thread is closed: the same question is not asked twice.

An answer is remembered for exactly what was asked: every key of a later request has to be among
what was allowed before.
"""

from octavo.protocol.approvals import ApprovalRequest, Approver, Decision


class Remembering:
    """An approver that asks another one, and remembers what was allowed for the session."""

    def __init__(self, approver: Approver) -> None:
        self._approver = approver
        self._allowed: set[str] = set()

    async def __call__(self, request: ApprovalRequest, /) -> Decision:
        """A remembered answer, else the other one's."""
        if set(request.keys) <= self._allowed:
            return Decision.allow_once()
        decision = await self._approver(request)
        if decision.kind == "allow_for_session":
            self._allowed |= set(request.keys)
        return decision
