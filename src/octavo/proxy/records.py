"""What is remembered of each decision, and the event an audit gets. Values; never a URL."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from octavo.policy.network import Decision, Reason

EVENT: Final = "codex.network_proxy.policy_decision"
"""The published name; programs that read audits look for it."""


class Record(Struct, frozen=True, kw_only=True):
    """One decision about one execution's connection or request."""

    at_ms: int
    execution: str
    decision: Decision
    failure: str | None = None
    """It was allowed and no connection came about: why."""

    def __str__(self) -> str:
        one = self.decision
        host = f"[{one.host}]" if ":" in one.host else one.host
        word = {"allow": "allowed", "ask": "refused", "deny": "refused"}[one.verdict]
        line = f"{word} {one.protocol} {host}:{one.port}"
        if not one.allowed:
            line += f": {one.message}"
        if one.rule is not None:
            line += f" Rule: {one.rule}."
        if one.grant is not None and not one.allowed:
            line += f" To allow it: {one.grant}."
        return line


SCOPES: Final[Mapping[Reason, str]] = {
    "proxy_disabled": "non_domain", "method_not_allowed": "non_domain",
    "mitm_required": "non_domain",
}  # fmt: skip


def audit_event(record: Record) -> dict[str, str | int | bool]:
    """The published event; whoever sends it adds what it knows of the session."""
    one = record.decision
    at = datetime.fromtimestamp(record.at_ms / 1000, UTC)
    return {
        "event.name": EVENT,
        "event.timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "execution.id": record.execution,
        "network.policy.scope": SCOPES.get(one.reason, "domain"),
        "network.policy.decision": "allow" if one.allowed else "deny",
        "network.policy.source": one.source,
        "network.policy.reason": one.reason,
        "network.policy.override": one.override,
        "network.transport.protocol": one.protocol,
        "server.address": one.host,
        "server.port": one.port,
        "http.request.method": one.method or "none",
        "client.address": "unknown",
    }
