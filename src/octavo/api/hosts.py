"""Questions about hosts that a profile does not list, put to whoever answers for the thread."""

from typing import TYPE_CHECKING, Final

from octavo.api.opened import refuse
from octavo.api.ruling import Ruling
from octavo.policy.network import Decision as Refusal
from octavo.policy.rules import RuleSet
from octavo.protocol.approvals import NETWORK_ACCESS, Approver, CommandApproval, Decision
from octavo.protocol.ids import CallId
from octavo.protocol.seams import Ids

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES: Final = {"http": "http", "https_connect": "https", "socks5_tcp": "tcp", "tcp": "tcp"}


class HostQuestions:
    """Implements `octavo.sandbox.gate.Asker`."""

    def __init__(self, ruling: Ruling, ids: Ids, cwd: str, *, asks: bool) -> None:
        self._ruling = ruling
        self._ids = ids
        self._cwd = cwd
        self.asks = asks
        self.approver: Approver = refuse
        self.audit: Callable[[str, dict[str, object]], None] | None = None
        """Writes down what was reached and what was not."""

    def rules(self) -> RuleSet:
        """The rule files in force."""
        return self._ruling()

    def noted(self, decided: Refusal, failure: str | None) -> None:
        """For the audit: host, port and verdict, never an address of a page."""
        if self.audit is None:
            return
        facts: dict[str, object] = {
            "host": decided.host,
            "port": decided.port,
            "protocol": decided.protocol,
            "verdict": "reached" if decided.allowed else "refused",
            "reason": decided.reason,
            "rule": None if decided.rule is None else str(decided.rule),
        }
        self.audit("host", facts if failure is None else {**facts, "failure": failure})

    async def permit(self, refused: Refusal) -> Decision:
        """Ask, once for each execution and host."""
        target = f"{SCHEMES[refused.protocol]}://{refused.host}:{refused.port}"
        return await self.approver(
            CommandApproval(
                call_id=CallId(f"network_{self._ids.uuid()}"),
                argv=(NETWORK_ACCESS, target),
                cwd=self._cwd,
                because=refused.message,
            )
        )
