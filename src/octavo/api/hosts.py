"""Questions about hosts that a profile does not list, put to whoever answers for the thread."""

from typing import Final

from octavo.api.opened import refuse
from octavo.api.ruling import Ruling
from octavo.policy.network import Decision as Refusal
from octavo.policy.rules import RuleSet
from octavo.protocol.approvals import NETWORK_ACCESS, Approver, CommandApproval, Decision
from octavo.protocol.ids import CallId
from octavo.protocol.seams import Ids

SCHEMES: Final = {"http": "http", "https_connect": "https", "socks5_tcp": "tcp", "tcp": "tcp"}


class HostQuestions:
    """Implements `octavo.sandbox.gate.Asker`."""

    def __init__(self, ruling: Ruling, ids: Ids, cwd: str, *, asks: bool) -> None:
        self._ruling = ruling
        self._ids = ids
        self._cwd = cwd
        self.asks = asks
        self.approver: Approver = refuse

    def rules(self) -> RuleSet:
        """The rule files in force."""
        return self._ruling()

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
