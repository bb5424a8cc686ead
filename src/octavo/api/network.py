"""The managed network: a proxy in this program, started with the first command that needs it.

A command whose profile names hosts reaches them through a socket of its own, so that each
connection is known by its command. A refusal ends the command, or is only told to it.
"""

import asyncio
import itertools
import socket
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.api.injecting import injected, injections, placeholders
from octavo.policy.network import Decision, HostPolicy, host_policy
from octavo.protocol.errors import InternalError, SandboxUnavailable
from octavo.protocol.permissions import Injection, NetworkRules, RuleRef
from octavo.proxy.approvals import Answer
from octavo.proxy.env import bundle_variables, given_bundles, proxy_variables
from octavo.proxy.limits import LIMITS, fitting
from octavo.proxy.names import Names, Resolv, read_resolv, ways
from octavo.proxy.records import Record
from octavo.proxy.server import NetworkProxy
from octavo.sandbox.denial import Denial
from octavo.sandbox.gate import HOST, PORT, Offer, Opened

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from octavo.policy.addresses import Address
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.child import Child
    from octavo.proxy.mitm import Interception
    from octavo.proxy.resolve import Resolver
    from octavo.sandbox.gate import Asker

BACKLOG: Final = 512
START_S: Final = 10.0
GRACE_S: Final = 0.1
"""A command that is ended for a refusal has so long to end by itself."""
RESOLV: Final = "/etc/resolv.conf"
MOST_RESOLV: Final = 65_536
MOST_REFUSED: Final = 200
"""Different hosts, ports and reasons that are told of one command."""
MOST_RECORDED: Final = 10_000
"""Lines of one command in an audit."""
NOT_LISTED: Final = RuleRef(text="not on the list of allowed hosts", source="default")


def new_interception() -> "Interception":
    """Raises SandboxUnavailable where the library for it is missing."""
    from octavo.proxy.mitm import Interception  # noqa: PLC0415 - only limited mode needs it

    return Interception()


class Outlet:
    """The way out of one command, and what was refused there."""

    def __init__(
        self,
        network: "ManagedNetwork",
        identity: str,
        child: "Child | None",
        asker: "Asker | None",
        names: Names,
        *,
        cancels: bool,
    ) -> None:
        self.asker = asker
        self._network = network
        self.names = names
        self._child = child
        self._began = time.monotonic()
        self._found: dict[tuple[str, str], Denial] = {}
        self.identity = identity
        self.recorded = 0
        self.cancels = cancels
        self.ended_by: Decision | None = None
        """The refusal that ended the command."""

    def denials(self) -> tuple[Denial, ...]:
        """One for each host and port, the oldest first."""
        return tuple(self._found.values())

    def named(self, denials: tuple[Denial, ...]) -> tuple[Denial, ...]:
        """See `Served`."""
        return tuple(self._named(one) if one.operation == "connect" else one for one in denials)

    def _named(self, denial: Denial) -> Denial:
        address, _, port = denial.subject.rpartition(":")
        target = self.names.target(address, int(port)) if port.isdecimal() else None
        if target is None or target.host.address is not None:
            return denial
        return replace(denial, subject=str(target), grant=f"--allow {target}")

    def note(self, decision: Decision) -> None:
        """A refusal. Ends the command where that is wanted."""
        subject = f"{decision.host}:{decision.port}"
        key = (subject, decision.reason)
        before = self._found.get(key)
        if before is not None or len(self._found) < MOST_REFUSED:
            self._found[key] = self._counted(decision, subject, before)
        if self.cancels and self.ended_by is None:
            self.ended_by = decision
            self._end_command()

    def _counted(self, decision: Decision, subject: str, before: Denial | None) -> Denial:
        elapsed = round((time.monotonic() - self._began) * 1000)
        return Denial(
            operation="connect",
            subject=subject,
            rule=decision.rule or NOT_LISTED,
            grant=decision.grant or "",
            at_ms=elapsed if before is None else before.at_ms,
            count=1 if before is None else before.count + 1,
        )

    def attach(self, child: "Child") -> None:
        """The command that was started with this way out; it may be refused something already."""
        self._child = child
        if self.ended_by is not None:
            self._end_command()

    def _end_command(self) -> None:
        if self._child is not None:
            self._child.terminate()
            asyncio.get_running_loop().call_later(GRACE_S, self._child.kill)

    def end(self) -> None:
        """The command is over."""
        self._network.forget(self)


class ManagedNetwork:
    """Implements `octavo.sandbox.gate.Gate`. `close` ends it; made anew by the next command.

    A command's own asker is asked about hosts that are not listed; without one they are refused.
    `folder`: where files of roots go, for programs whose TLS is looked into. `environ`: where secrets
    are looked up that are put into requests. `resolver`, `public` (addresses
    that count as public) and `interception` are for tests.
    """

    def __init__(
        self,
        folder: str,
        environ: Mapping[str, str] | None = None,
        *,
        resolver: "Resolver | None" = None,
        public: "Collection[Address]" = (),
        interception: "Callable[[], Interception]" = new_interception,
    ) -> None:
        self._folder = folder
        self._environ = environ or {}
        self._new_interception = interception
        self._interception: Interception | None = None
        self._resolver, self._public = resolver, public
        self._resolv = Resolv()
        self._proxy: NetworkProxy | None = None
        self._task: asyncio.Task[None] | None = None
        self._outlets: dict[str, Outlet] = {}
        self._numbers = itertools.count(1)
        self._one_at_a_time = asyncio.Lock()
        """For the proxy and the authority, of which there is one each."""
        self._secrets: dict[Injection, str] = {}
        self._endings: set[asyncio.Task[None]] = set()

    async def offer(
        self,
        profile: "EffectiveProfile",
        environment: Mapping[str, str],
        asker: "Asker | None" = None,
    ) -> Offer:
        """See `Gate`. Programs that know of no proxy find their way, too: names lead to sockets."""
        self._resolv = look_up_resolv()
        caught = ways(policy_for(profile.network, asker), self._resolv)
        # else nothing starts
        self._secrets |= await asyncio.to_thread(injected, profile.network, self._environ)
        await self._ready()
        found = proxy_variables(
            host=HOST,
            port=PORT,
            captured=True,
            local_binding=profile.network.local_binding,
            given=environment,
        )
        trusted = await self._trusted(profile, environment)
        return Offer(
            ways=(f"tcp {HOST} {PORT}", *caught),
            variables=found | trusted | placeholders(profile.network, environment),
            readable=tuple(dict.fromkeys(trusted.values())),
        )

    async def listen(
        self,
        profile: "EffectiveProfile",
        environment: Mapping[str, str],
        asker: "Asker | None" = None,
        *,
        ports: Sequence[int] = (),
    ) -> Opened:
        """See `Gate`. Others on this machine can reach the port, so it asks for the command's own
        password."""
        secrets = await asyncio.to_thread(injected, profile.network, self._environ)
        await self._ready()
        trusted = await self._trusted(profile, environment)
        assert self._proxy is not None
        policy = policy_for(profile.network, asker, secrets)
        listening = listening_at(ports)
        outlet = self._outlet(profile, None, asker, Names(policy))
        execution = self._proxy.open(outlet.identity, policy)
        port = listening.getsockname()[1]
        self._proxy.listen(listening, outlet.identity, credential=True)
        found = proxy_variables(
            host=HOST,
            port=port,
            credentials=(execution.user, execution.password),
            platform="win32" if sys.platform == "win32" else "darwin",
            local_binding=profile.network.local_binding,
            given=environment,
        )
        return Opened(
            port=port,
            variables=found | trusted | placeholders(profile.network, environment),
            readable=tuple(dict.fromkeys(trusted.values())),
            served=outlet,
        )

    async def _trusted(
        self, profile: "EffectiveProfile", environment: Mapping[str, str]
    ) -> dict[str, str]:
        """Variables that make programs trust the authority of this process, which looks into TLS;
        none where nothing is looked into.

        Raises SandboxUnavailable where the library for that is missing, ConfigError.
        """
        if not profile.network.looked_into:
            return {}
        assert self._proxy is not None
        async with self._one_at_a_time:
            if self._interception is None:
                self._interception = await asyncio.to_thread(self._new_interception)
        self._proxy.look_inside(self._interception)
        return await asyncio.to_thread(roots, self._interception, self._folder, environment)

    async def _ready(self) -> None:
        """Start the proxy, if it does not run. Raises InternalError."""
        async with self._one_at_a_time:
            if self._proxy is not None and self._task is not None and not self._task.done():
                return
            started: asyncio.Future[NetworkProxy] = asyncio.get_running_loop().create_future()
            self._task = task = asyncio.ensure_future(self._live(started))
            try:
                async with asyncio.timeout(START_S):
                    self._proxy = await started
            except BaseException:
                task.cancel()
                raise

    async def _live(self, started: "asyncio.Future[NetworkProxy]") -> None:
        """The proxy lives in one task, from its beginning to its end."""
        try:
            nothing = HostPolicy(enabled=False)  # each command brings its own
            async with NetworkProxy(
                nothing,
                on_miss=self._missed,
                on_denied=self._denied,
                on_record=self._recorded,
                resolver=self._resolver,
                public=self._public,
                limits=fitting(LIMITS, descriptors()),
            ) as proxy:
                if not started.cancelled():
                    started.set_result(proxy)
                await asyncio.Event().wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(InternalError(f"the network proxy cannot start: {error}"))

    def serve(
        self,
        gateway: tuple[int, ...],
        profile: "EffectiveProfile",
        child: "Child",
        asker: "Asker | None" = None,
    ) -> Outlet:
        """See `Gate`."""
        assert self._proxy is not None
        secrets = {one: self._secrets[one] for one in injections(profile.network)}
        policy = policy_for(profile.network, asker, secrets)
        names = Names(policy, self._resolv.search)
        outlet = self._outlet(profile, child, asker, names)
        self._proxy.open(outlet.identity, policy)
        first, *caught = (socket.socket(fileno=fd) for fd in gateway)
        self._proxy.listen(first, outlet.identity)
        for one in caught:
            self._proxy.capture(one, outlet.identity, names)
        return outlet

    def _outlet(
        self,
        profile: "EffectiveProfile",
        child: "Child | None",
        asker: "Asker | None",
        names: Names,
    ) -> Outlet:
        identity = f"command-{next(self._numbers)}"
        cancels = profile.network.on_denial == "cancel"
        outlet = Outlet(self, identity, child, asker, names, cancels=cancels)
        self._outlets[identity] = outlet
        return outlet

    def forget(self, outlet: Outlet) -> None:
        """End everything of a command."""
        if self._outlets.pop(outlet.identity, None) is None or self._proxy is None:
            return
        ending = asyncio.ensure_future(self._proxy.end(outlet.identity))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _missed(self, identity: str, refused: Decision) -> Answer:
        outlet = self._outlets.get(identity)
        if outlet is None or outlet.asker is None:
            return Answer(kind="no")
        decision = await outlet.asker.permit(refused)
        # what holds for longer than this command, the thread remembers by itself
        return Answer(kind="once" if decision.allowed else "no")

    def _recorded(self, record: Record) -> None:
        outlet = self._outlets.get(record.execution)
        if outlet is not None and outlet.asker is not None and outlet.recorded < MOST_RECORDED:
            outlet.recorded += 1
            outlet.asker.noted(record.decision, record.failure)

    def _denied(self, identity: str, decision: Decision) -> None:
        outlet = self._outlets.get(identity)
        if outlet is not None:
            outlet.note(decision)

    def close(self) -> None:
        """End all connections; returns at once."""
        if self._task is not None:
            self._task.cancel()
        self._task = self._proxy = None
        self._outlets.clear()


def roots(
    interception: "Interception", folder: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """The variables for files of roots. Blocks for some milliseconds. Raises ConfigError."""
    from octavo.proxy.mitm import bundles  # noqa: PLC0415 - as above

    common, own = bundles(interception, folder, given_bundles(environment))
    return bundle_variables(common, own)


def listening_at(ports: Sequence[int]) -> socket.socket:
    """Waits at the first of these ports that is free, anywhere where none are named.

    Raises SandboxUnavailable when all of them are taken.
    """
    for port in ports or (0,):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "win32":
                # else another program could take the port as well, and get the command's password
                made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            made.bind((HOST, port))
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            if not ports:
                raise
            problem = error
        else:
            return made
    raise SandboxUnavailable(
        f"rules per host need a port, and all of {', '.join(map(str, ports))} are taken "
        f"({problem}); the command did not run",
        hint="Wait until other commands with such rules have ended.",
    )


def descriptors() -> int | None:
    """So many may this program have open; None: as many as it likes."""
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505 - the checker takes only an else for the other platforms
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft


def look_up_resolv() -> Resolv:
    """Whom programs ask for addresses on this machine."""
    try:
        with open(RESOLV, encoding="utf-8", errors="replace") as file:
            return read_resolv(file.read(MOST_RESOLV))
    except OSError:
        return Resolv()


def policy_for(
    network: NetworkRules, asker: "Asker | None", secrets: Mapping[Injection, str] | None = None
) -> HostPolicy:
    """What the hosts of a profile come to, with the rule files. Raises ConfigError."""
    if asker is None:
        return host_policy(network, secrets=secrets, askable=False)
    return host_policy(network, asker.rules(), secrets=secrets, askable=asker.asks)
