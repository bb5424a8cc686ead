"""The rules of one thread: those of its folder, and those an answer adds; questions about hosts."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from octavo.api.opened import refuse
from octavo.config.rules import add_rule, allow_prefix, load_rules, rule_files
from octavo.policy.rules import NetworkRule, RuleSet, quoted_word
from octavo.protocol.approvals import NETWORK_ACCESS, Approver, CommandApproval, Decision, Granular
from octavo.protocol.errors import OctavoError
from octavo.protocol.ids import CallId
from octavo.protocol.seams import Ids

if TYPE_CHECKING:
    from collections.abc import Callable

    from octavo.config.schema import Settings
    from octavo.config.settings import Loaded
    from octavo.engine.session import Workspace
    from octavo.policy.network import Decision as Refusal

UNTIL_MENDED: Final = "until that is mended, no rule allows anything"
WRITE_S: Final = 10.0
SCHEMES: Final = {"http": "http", "https_connect": "https", "socks5_tcp": "tcp", "tcp": "tcp"}


class Ruling:
    """The rules in force; call it for them."""

    def __init__(self, loaded: "Loaded") -> None:
        files = rule_files(loaded)
        self._home = loaded.home
        self._rules = load_rules(files) if files else RuleSet()
        self.place: Workspace | None = None
        """Where the model learns what is allowed."""
        self.warn: Callable[[str], None] = lambda _text: None

    def __call__(self) -> RuleSet:
        return self._rules

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with rule files, one line each."""
        return tuple(f"{words}; {UNTIL_MENDED}" for words in self._rules.broken)

    @property
    def approved(self) -> tuple[str, ...]:
        """The first words that are allowed, for the model."""
        if self._rules.broken:
            return ()
        return tuple(" ".join(words) for words in self._rules.allowed_prefixes())

    async def remember(self, words: tuple[str, ...]) -> None:
        """Allow commands with these first words: here at once, elsewhere from the next start."""
        self._rules = self._rules.with_prefix(words)
        if self.place is not None:
            known = self.place.surroundings
            self.place.surroundings = replace(known, approved=self.approved)
        await self._write(allow_prefix, words)

    async def remember_host(self, target: str, /, *, allow: bool) -> None:
        """Let commands reach a host, or never again: `https://HOST:PORT`, or without the port."""
        from octavo.policy.network import network_rule  # noqa: PLC0415 - few answers make rules

        try:
            rule = host_rule(target, allow=allow)
        except ValueError as wrong:
            self.warn(f"{quoted_word(target)} cannot be a rule: {wrong}")
            return
        self._rules = self._rules.with_host(rule)
        line = network_rule(rule.host, rule.protocol, rule.decision, rule.port)
        await self._write(add_rule, line)

    async def _write(self, write: "Callable[[str, Any], object]", what: object) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                await asyncio.to_thread(write, self._home, what)
        except TimeoutError:
            self.warn("the rule was not written down in time: it holds for this thread only")
        except OctavoError as error:
            self.warn(f"{error}; the rule holds for this thread only")


def host_rule(target: str, *, allow: bool) -> NetworkRule:
    """The rule about `SCHEME://HOST` or `SCHEME://HOST:PORT`. Raises HostError, a ValueError."""
    from octavo.policy.hosts import read_host, read_port, split_port  # noqa: PLC0415 - as above

    scheme, _, where = target.partition("://")
    name, port = split_port(where)
    return NetworkRule(
        host=str(read_host(name)),
        protocol="http" if scheme == "http" else "https",
        decision="allow" if allow else "deny",
        port=None if port is None else read_port(port),
    )


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

    def noted(self, decided: "Refusal", failure: str | None) -> None:
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
        if not decided.allowed:
            facts["grant"] = decided.grant
        self.audit("host", facts if failure is None else {**facts, "failure": failure})

    async def permit(self, refused: "Refusal") -> Decision:
        """Ask, once for each execution and host."""
        host = f"[{refused.host}]" if ":" in refused.host else refused.host
        target = f"{SCHEMES[refused.protocol]}://{host}:{refused.port}"
        return await self.approver(
            CommandApproval(
                call_id=CallId(f"network_{self._ids.uuid()}"),
                argv=(NETWORK_ACCESS, target),
                proposed_rule=(NETWORK_ACCESS, target),
                cwd=self._cwd,
                because=refused.message,
            )
        )


def granular_of(settings: "Settings") -> Granular | None:
    """Which kinds of question are put, where the settings say it one by one."""
    policy = settings.approval_policy
    if isinstance(policy, str):
        return None
    given = policy.granular
    return Granular(
        sandbox_approval=given.sandbox_approval,
        rules=given.rules,
        mcp_elicitations=given.mcp_elicitations,
        skill_approval=given.skill_approval,
        request_permissions=given.request_permissions,
    )
