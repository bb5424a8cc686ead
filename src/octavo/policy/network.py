"""May a command connect there? The order of the tests, their reasons, and what would help. Pure.

Three questions in a row: `judge` before a name is looked up, `judge_addresses` with what it
resolved to, `judge_method` for a request whose method is known. Deny beats everything; a wildcard
never names an address; a listed name never opens the private network.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from octavo.policy.addresses import LOCAL_KINDS, Address, carried, kind_of
from octavo.policy.hosts import (
    Host,
    HostError,
    Pattern,
    PatternList,
    Target,
    ascii_name,
    read_host,
    read_pattern,
)
from octavo.policy.rules import (
    HostDecision,
    HostProtocol,
    NetworkRule,
    RuleSet,
    quoted_word,
)
from octavo.protocol.errors import ConfigError
from octavo.protocol.permissions import Injection, NetworkRules, RequestRule, RuleRef

Protocol = Literal["http", "https_connect", "socks5_tcp", "tcp"]
"""How the command asked. `tcp`: a plain connection that was caught on its way."""
Verdict = Literal["allow", "ask", "deny"]
Reason = Literal[
    "allowed", "proxy_disabled", "denied", "not_allowed_local", "not_allowed",
    "method_not_allowed", "mitm_required", "mitm_hook_denied", "server_name_mismatch",
]  # fmt: skip
Source = Literal["baseline_policy", "mode_guard", "proxy_state", "decider"]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""What `limited` lets through."""
PLAIN_PORT: Final = 80
NO_RULES: Final = RuleSet()

MESSAGES: Final[Mapping[Reason, str]] = {
    "allowed": "The connection is allowed.",
    "proxy_disabled": "The network is off for this command.",
    "denied": "A rule of the policy denies this host.",
    "not_allowed_local": "Local and private addresses are blocked.",
    "not_allowed": "This host is not on the allowlist.",
    "method_not_allowed": "Limited mode lets only GET, HEAD and OPTIONS through.",
    "mitm_required": "Limited mode has to look into encrypted connections, and cannot here.",
    "mitm_hook_denied": "No rule for this host lets such a request through.",
    "server_name_mismatch": "The server name inside TLS is not the host that was asked for.",
}
SOURCES: Final[Mapping[Reason, Source]] = {
    "proxy_disabled": "proxy_state",
    "method_not_allowed": "mode_guard",
    "mitm_required": "mode_guard",
}
"""Which part of the policy a reason comes from; the lists, for the rest."""


class Decision(Struct, frozen=True, kw_only=True):
    """What was decided about one connection or request, and by what."""

    verdict: Verdict
    """`ask`: refused unless somebody allows it."""
    reason: Reason
    host: str
    port: int
    protocol: Protocol
    method: str | None = None
    rule: RuleRef | None = None
    """The line that decided; None when it is that there is none."""
    grant: str | None = None
    """The smallest change that would let it through; None when nothing does."""
    source: Source = "baseline_policy"
    override: bool = False
    """Somebody who was asked lifted a `not_allowed`."""
    note: str | None = None
    """What became of the question; one sentence."""

    @property
    def message(self) -> str:
        """One sentence for whoever reads the answer."""
        return MESSAGES[self.reason]

    @property
    def allowed(self) -> bool:
        return self.verdict == "allow"


class HostPolicy:
    """The lists, compiled. Made by `host_policy`; never changed afterwards."""

    def __init__(
        self,
        *,
        enabled: bool = True,
        allow: Sequence[Pattern] = (),
        deny: Sequence[Pattern] = (),
        rules: Sequence[NetworkRule] = (),
        limited: bool = False,
        local_binding: bool = False,
        askable: bool = True,
        any_server_name: Sequence[Pattern] = (),
        requests: Sequence[RequestRule] = (),
        secrets: Mapping[Injection, str] | None = None,
        ref: RuleRef | None = None,
        origins: Mapping[str, RuleRef] | None = None,
    ) -> None:
        self.enabled = enabled
        self.allow = PatternList(tuple(allow))
        self.deny = PatternList(tuple(deny))
        self.limited = limited
        self.local_binding = local_binding
        self.askable = askable
        self.any_server_name = PatternList(tuple(any_server_name))
        self.ref = ref or NetworkRules().ref
        self.secrets = secrets or {}
        """What is put into requests."""
        self._requests: dict[str, list[RequestRule]] = {}
        for one in requests:
            self._requests.setdefault(one.host, []).append(one)
        self._origins = origins or {}
        self._refs: dict[tuple[str, str], RuleRef] = {}
        self._rules: dict[str, list[NetworkRule]] = {}
        for rule in rules:
            self._rules.setdefault(read_host(ascii_name(rule.host)).name, []).append(rule)

    def requests(self, target: Target) -> Sequence[RequestRule]:
        """The rules about single requests to a host; none: there are no such rules for it."""
        return self._requests.get(target.host.name, ())

    def inspects(self, target: Target) -> bool:
        """Are requests to a host looked at one by one?"""
        return self.limited or target.host.name in self._requests

    def origin(self, pattern: Pattern, verdict: str) -> RuleRef:
        """Where an entry of a list stands."""
        found = self._refs.get((pattern.text, verdict))
        if found is None:
            where = self._origins.get(pattern.text) or self.ref
            text = f'"{pattern.text}" = "{verdict}"'
            found = RuleRef(text=text, source=where.source, file=where.file, line=where.line)
            self._refs[pattern.text, verdict] = found
        return found

    def rule_for(
        self, target: Target, protocol: Protocol, decision: HostDecision
    ) -> RuleRef | None:
        """A `network_rule` with this decision that speaks of a target."""
        for rule in self._rules.get(target.host.name, ()):
            ports = rule.port is None or rule.port == target.port
            spoken = spoken_of(rule.protocol, protocol) or carries(rule, target)
            if rule.decision == decision and ports and spoken:
                text = network_rule(rule.host, rule.protocol, rule.decision, rule.port)
                return RuleRef(text=text, source="config", file=rule.file or None, line=rule.line)
        return None

    def ruled_ports(self) -> list[tuple[Host, int]]:
        """Hosts that a rule allows on one port."""
        return [
            (read_host(name), rule.port)
            for name, rules in self._rules.items()
            for rule in rules
            if rule.decision == "allow" and rule.port is not None
        ]

    def allows(self, target: Target, protocol: Protocol, *, exact: bool = False) -> RuleRef | None:
        """The entry or rule that lets a target through; `exact`: one that names it alone."""
        pattern = self.allow.match(target, exact=exact)
        if pattern is not None:
            return self.origin(pattern, "allow")
        return self.rule_for(target, protocol, "allow")

    def denies(self, target: Target, protocol: Protocol) -> RuleRef | None:
        """The entry or rule that forbids a target, an address inside an address included."""
        for one in spellings(target):
            pattern = self.deny.match(one)
            if pattern is not None:
                return self.origin(pattern, "deny")
            rule = self.rule_for(one, protocol, "deny")
            if rule is not None:
                return rule
        return None


OFF: Final = HostPolicy(enabled=False)


def spoken_of(rule: HostProtocol, protocol: Protocol) -> bool:
    """`http` rules speak of plain requests; the others of tunnels, whichever way one was asked for."""
    return (rule == "http") == (protocol == "http") and rule != "socks5_udp"


def carries(rule: NetworkRule, target: Target) -> bool:
    """Would a tunnel to a target carry the plain requests that a rule forbids?"""
    forbids = rule.protocol == "http" and rule.decision == "deny"
    return forbids and target.port == (rule.port or PLAIN_PORT)


def spellings(target: Target) -> tuple[Target, ...]:
    """A target, and the same with the address of IPv4 that its address carries."""
    address = target.host.address
    inner = None if address is None else carried(address)
    if inner is None:
        return (target,)
    return target, Target(read_host(str(inner)), target.port)


def host_policy(
    network: NetworkRules,
    rules: RuleSet = NO_RULES,
    *,
    allow: Sequence[str] = (),
    deny: Sequence[str] = (),
    any_server_name: Sequence[str] = (),
    secrets: Mapping[Injection, str] | None = None,
    askable: bool = True,
) -> HostPolicy:
    """The policy of a profile's network table, of rule files, and of `--allow` and `--deny`.

    A list without entries allows nothing. `askable`: a host that is not listed may be asked about.
    `any_server_name`: patterns of hosts whose TLS may name another server. Raises ConfigError.
    """
    flag = RuleRef(text="", source="flag")
    origins = dict.fromkeys((*network.allow, *network.deny), network.ref)
    origins |= dict.fromkeys((*allow, *deny), flag)
    # what a file that cannot be read forbids, nobody knows
    kept = [one for one in rules.hosts if not rules.broken or one.decision != "allow"]
    for one in kept:
        try:
            read_host(ascii_name(one.host))
        except HostError as wrong:
            text = f"network_rule: {quoted_word(one.host)}: {wrong}"
            raise ConfigError(text, file=one.file or None, line=one.line) from wrong
    return HostPolicy(
        enabled=network.enabled,
        allow=patterns((*network.allow, *allow), "allow", origins),
        deny=patterns((*network.deny, *deny), "deny", origins),
        rules=kept,
        limited=network.mode == "limited",
        local_binding=network.local_binding,
        askable=askable,
        any_server_name=patterns(any_server_name, "allow", {}),
        requests=network.requests,
        secrets=secrets,
        ref=network.ref,
        origins=origins,
    )


def patterns(
    texts: Sequence[str], verdict: Literal["allow", "deny"], origins: Mapping[str, RuleRef]
) -> tuple[Pattern, ...]:
    """Raises ConfigError, naming the entry."""
    found = []
    for text in texts:
        where = origins.get(text)
        file, line = (None, None) if where is None else (where.file, where.line)
        try:
            pattern = read_pattern(text)
        except HostError as wrong:
            raise ConfigError(
                f"domains: {quoted_word(text)}: {wrong}",
                file=file,
                line=line,
                key="domains",
                hint="write `host`, `*.host` (names below it), `**.host` (it and below) or `*`, "
                "with `:port` behind it if only one port is meant",
            ) from wrong
        if verdict == "deny" and pattern.everything and pattern.port is None:
            raise ConfigError(
                'domains: "*" = "deny" would deny every host',
                file=file,
                line=line,
                key="domains",
                hint="leave the list of allowed hosts empty, or turn the network off",
            )
        found.append(pattern)
    return tuple(found)


# ---- the order of the tests ---------------------------------------------------------------------


def judge(policy: HostPolicy, target: Target, protocol: Protocol) -> Decision:
    """What can be said before a name is looked up."""
    if not policy.enabled:
        return no(target, protocol, "proxy_disabled", rule=policy.ref, grant="--network on")
    denied = policy.denies(target, protocol)
    if denied is not None:
        return no(target, protocol, "denied", rule=denied, grant=f"remove {denied}")
    listed = policy.allows(target, protocol)
    if blocked_kind(policy, target) and not policy.allows(target, protocol, exact=True):
        return no(target, protocol, "not_allowed_local", grant=allow_flag(target))
    prompt = policy.rule_for(target, protocol, "prompt")
    if prompt is not None or listed is None:
        grant = allow_flag(target) if prompt is None else f"remove {prompt}"
        verdict: Verdict = "ask" if policy.askable else "deny"
        return no(target, protocol, "not_allowed", verdict=verdict, rule=prompt, grant=grant)
    return yes(target, protocol, listed)


def blocked_kind(policy: HostPolicy, target: Target) -> bool:
    """Is a target local by its spelling alone, and closed?"""
    host = target.host
    if host.address is None:
        return host.loopback_name and not policy.local_binding
    kind = kind_of(host.address)
    return kind is not None and not (policy.local_binding and kind in LOCAL_KINDS)


def judge_addresses(
    policy: HostPolicy,
    target: Target,
    protocol: Protocol,
    addresses: Sequence[Address],
    *,
    own: Collection[Address] = (),
    public: Collection[Address] = (),
) -> Decision | None:
    """None when every address may be connected to; else the refusal, which names no address.

    `own`: which of them are this machine's. `public`: addresses that count as public, for tests.
    """
    for address in addresses:
        at = target if address == target.host.address else at_address(address, target.port)
        denied = policy.denies(at, protocol)
        if denied is not None:
            return no(target, protocol, "denied", rule=denied, grant=f"remove {denied}")
        if address in public:
            continue
        kind = kind_of(address, own)
        if kind is None or (policy.local_binding and kind in LOCAL_KINDS):
            continue
        if policy.allows(at, protocol, exact=True):
            continue
        if (
            target.host.loopback_name
            and kind == "loopback"
            and policy.allows(target, protocol, exact=True)
        ):
            continue
        return no(target, protocol, "not_allowed_local", grant=local_grant(target))
    return None


def at_address(address: Address, port: int) -> Target:
    """One of the addresses of a name."""
    return Target(read_host(str(address)), port)


def judge_method(
    policy: HostPolicy, target: Target, protocol: Protocol, method: str | None, *, inspected: bool
) -> Decision | None:
    """None when the mode lets it through. `inspected`: requests inside a tunnel are looked at."""
    if not policy.limited:
        if method is None and not inspected and policy.inspects(target):
            return no(target, protocol, "mitm_required", rule=policy.requests(target)[0].ref)
        return None
    grant = 'mode = "full"'
    if method is not None and method not in SAFE_METHODS:
        return no(target, protocol, "method_not_allowed", method=method, grant=grant)
    if method is None and not inspected:
        return no(target, protocol, "mitm_required", grant=grant)
    return None


def yes(target: Target, protocol: Protocol, rule: RuleRef, *, override: bool = False) -> Decision:
    return Decision(
        verdict="allow",
        reason="allowed",
        host=target.host.name,
        port=target.port,
        protocol=protocol,
        rule=rule,
        source="decider" if override else "baseline_policy",
        override=override,
    )


def no(
    target: Target,
    protocol: Protocol,
    reason: Reason,
    *,
    verdict: Verdict = "deny",
    rule: RuleRef | None = None,
    grant: str | None = None,
    method: str | None = None,
    source: Source | None = None,
) -> Decision:
    return Decision(
        verdict=verdict,
        reason=reason,
        host=target.host.name,
        port=target.port,
        protocol=protocol,
        method=method,
        rule=rule,
        grant=grant,
        source=source or SOURCES.get(reason, "baseline_policy"),
    )


def allow_flag(target: Target) -> str:
    """As it is typed behind a command."""
    return f"--allow {target}"


def local_grant(target: Target) -> str:
    """What opens a name that resolves to a private address: the address itself, not named here."""
    if target.host.address is not None or target.host.loopback_name:
        return allow_flag(target)
    return f"--allow ADDRESS:{target.port} with the address {target.host} has"


# ---- amendments ---------------------------------------------------------------------------------

WRITTEN: Final[Mapping[Protocol, HostProtocol]] = {
    "http": "http", "https_connect": "https", "socks5_tcp": "socks5_tcp", "tcp": "https",
}  # fmt: skip


class Amendment(Struct, frozen=True, kw_only=True):
    """A line for a rule file that would have answered a question."""

    line: str
    scope: Literal["host", "port"]
    """The host on every port, or only on this one."""


def amendments(
    decision: Decision, verdict: Literal["allow", "deny"] = "allow"
) -> tuple[Amendment, Amendment]:
    """The two lines that "always" or "never" may mean for a decision; the narrow one first."""
    protocol = WRITTEN[decision.protocol]
    return (
        Amendment(line=network_rule(decision.host, protocol, verdict, decision.port), scope="port"),
        Amendment(line=network_rule(decision.host, protocol, verdict, None), scope="host"),
    )


def network_rule(
    host: str, protocol: HostProtocol, decision: HostDecision, port: int | None = None
) -> str:
    """The line, as a rule file has it."""
    more = "" if port is None else f", port={port}"
    return f'network_rule(host={quoted_word(host)}, protocol="{protocol}", decision="{decision}"{more})'
