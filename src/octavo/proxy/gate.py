"""The one way out: judge, ask, resolve once, judge every address, dial a judged one. Hands.

Every front end goes through here, and nothing else of this room opens a connection. What is
decided is reported once, whichever way it went.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from octavo.policy.addresses import Address
from octavo.policy.hosts import Host, HostError, Target, read_host
from octavo.policy.network import (
    Decision,
    Protocol,
    judge,
    judge_addresses,
    judge_method,
    no,
    yes,
)
from octavo.protocol.permissions import RuleRef
from octavo.proxy.approvals import Approvals
from octavo.proxy.channel import Channel, Interceptor
from octavo.proxy.dial import DialError, dial
from octavo.proxy.execution import Execution
from octavo.proxy.limits import Limits
from octavo.proxy.parent import Parents, through
from octavo.proxy.records import Record
from octavo.proxy.resolve import Resolver, own_addresses
from octavo.proxy.wire import Wire, shared_buffer

OnDenied = Callable[[str, Decision], None]
OnRecord = Callable[[Record], None]
ANSWERED = RuleRef(text="allowed when asked", source="program")


class RefusedError(Exception):
    """Not allowed."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision


class Route(Struct, frozen=True):
    """Where a connection may go: the addresses were judged with its target."""

    target: Target
    addresses: tuple[Address, ...]
    own: frozenset[Address]


class Ledger:
    """Decisions, reported and kept."""

    def __init__(
        self,
        limits: Limits,
        now_ms: Callable[[], int],
        on_denied: OnDenied | None,
        on_record: OnRecord | None,
    ) -> None:
        self.kept: deque[Record] = deque(maxlen=limits.kept)
        self.refusals = 0
        """All of them, those no longer kept included."""
        self._now_ms = now_ms
        self._on_denied = on_denied
        self._on_record = on_record

    def write(self, execution: Execution, decision: Decision, failure: str | None = None) -> None:
        """Report one decision to whoever wants to know."""
        record = Record(
            at_ms=self._now_ms(),
            execution=execution.identity,
            decision=decision,
            failure=failure,
        )
        self.kept.append(record)
        if not decision.allowed:
            self.refusals += 1
            execution.remember(decision)
            if self._on_denied is not None:
                self._on_denied(execution.identity, decision)
        if self._on_record is not None:
            self._on_record(record)


def with_method(decision: Decision, method: str | None) -> Decision:
    return decision if method is None else replace(decision, method=method)


class Gate:
    """Made by the server."""

    def __init__(
        self,
        *,
        approvals: Approvals,
        ledger: Ledger,
        resolver: Resolver,
        public: Collection[Address],
        limits: Limits,
        interceptor: Interceptor | None = None,
        parents: Parents | None = None,
    ) -> None:
        self.parents = parents or Parents()
        self.interceptor = interceptor
        self.ledger = ledger
        self.limits = limits
        self.shared = shared_buffer()
        self._approvals = approvals
        self._resolver = resolver
        self._public = frozenset(public)

    async def clear(
        self,
        execution: Execution,
        target: Target,
        protocol: Protocol,
        *,
        method: str | None = None,
        inspected: bool = False,
        route: Route | None = None,
        otherwise: Decision | None = None,
    ) -> Route:
        """May it? Raises RefusedError, DialError.

        `route`: of a connection that is open already; it is judged again and not looked up again.
        `otherwise`: a refusal by a rule about single requests, which counts if no other does.
        """
        try:
            decision = await self._listed(execution, target, protocol)
            if route is None:
                addresses = await self._resolve(execution, target)
                route = Route(target, addresses, own_addresses(addresses))
            wrong = judge_addresses(
                execution.policy(),
                target,
                protocol,
                route.addresses,
                own=route.own,
                public=self._public,
            ) or judge_method(execution.policy(), target, protocol, method, inspected=inspected)
            wrong = wrong or otherwise
            if wrong is not None:
                raise RefusedError(wrong)
        except RefusedError as refused:
            self.refuse(execution, with_method(refused.decision, method))
            raise
        except DialError as failed:
            self.ledger.write(execution, with_method(decision, method), failed.failure)
            raise
        self.ledger.write(execution, with_method(decision, method))
        return route

    def refuse(self, execution: Execution, decision: Decision) -> None:
        """Report a refusal that was found out elsewhere."""
        self.ledger.write(execution, decision)

    async def _listed(self, execution: Execution, target: Target, protocol: Protocol) -> Decision:
        """What the lists and, on a miss, somebody says. Raises RefusedError."""
        decision = judge(execution.policy(), target, protocol)
        if decision.verdict == "ask":
            note = await self._approvals.ask(execution, target, decision)
            # much may have happened meanwhile, a new policy for one
            decision = judge(execution.policy(), target, protocol)
            if decision.verdict == "ask":
                if note is None:
                    return yes(target, protocol, ANSWERED, override=True)
                if note:
                    decision = replace(decision, note=note, source="decider")
                raise RefusedError(decision)
        if decision.verdict == "deny":
            raise RefusedError(decision)
        return decision

    async def _resolve(self, execution: Execution, target: Target) -> tuple[Address, ...]:
        """Raises DialError."""
        if target.host.address is not None:
            return (target.host.address,)
        try:
            async with asyncio.timeout(self.limits.dns_s):
                await execution.lookups.acquire()
        except TimeoutError:
            raise DialError("busy") from None
        try:
            return await self._look_up(target.host)
        finally:
            execution.lookups.release()

    async def _look_up(self, host: Host) -> tuple[Address, ...]:
        """Raises DialError."""
        if host.address is not None:
            return (host.address,)
        try:
            async with asyncio.timeout(self.limits.dns_s):
                found = await self._resolver(host.name)
        except TimeoutError:
            raise DialError("dns") from None
        if not found:
            raise DialError("dns")
        return tuple(found)

    async def dial(self, route: Route, *, plain: bool = False) -> Wire:
        """A connection to one of the judged addresses, the caller's to close. Raises DialError.

        Where there is a proxy on the way: to that, and through it unless requests are `plain`.
        """
        parent = self.parents.for_target(route.target, plain=plain)
        if parent is None:
            return await self._wired(route.addresses, route.target.port)
        wire = await self._wired(await self._look_up(parent.target.host), parent.target.port)
        try:
            if not plain:
                await through(wire, parent, route.target, self.limits.connect_s)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _wired(self, addresses: Sequence[Address], port: int) -> Wire:
        sock = await dial(addresses, port, self.limits)
        try:
            return await Wire.connected(sock, self.shared)
        except BaseException as wrong:
            sock.close()
            if isinstance(wrong, OSError):
                raise DialError("unreachable") from wrong
            raise

    async def dial_inside(self, route: Route) -> Channel:
        """The same, and TLS on it. Raises DialError."""
        assert self.interceptor is not None
        wire = await self.dial(route)
        try:
            return await self.interceptor.server(wire, route.target, self.limits.connect_s)
        except BaseException as wrong:
            wire.abort()
            if isinstance(wrong, TimeoutError):
                raise DialError("timeout") from wrong
            if isinstance(wrong, OSError):
                raise DialError("tls") from wrong
            raise

    def renamed(
        self, execution: Execution, target: Target, protocol: Protocol, name: str | None
    ) -> None:
        """Report a tunnel whose TLS names another server, or cannot be read."""
        decision = no(target, protocol, "server_name_mismatch")
        try:
            note = "It cannot be read." if name is None else f"It is {read_host(name)}."
        except HostError:
            note = "It is not a host name."
        self.refuse(execution, replace(decision, note=note))
