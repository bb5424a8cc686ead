"""The proxy: listening sockets that belong to executions, connections with owners and bounds. Hands.

Every connection is known by the socket it came in on, or by the credentials it brings; one that
is nobody's is refused. Use it with `async with`, in one task; leaving ends everything.
"""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from octavo.policy.addresses import Address
from octavo.policy.hosts import Target, read_host
from octavo.policy.network import HostPolicy, judge
from octavo.protocol.errors import UsageError
from octavo.proxy import answers
from octavo.proxy.accepting import accept_each
from octavo.proxy.approvals import Answer, Approvals, OnMiss
from octavo.proxy.captured import serve_captured, serve_names
from octavo.proxy.channel import Interceptor
from octavo.proxy.execution import Execution
from octavo.proxy.front import Front
from octavo.proxy.gate import Gate, Ledger, OnDenied, OnRecord
from octavo.proxy.limits import LIMITS, Limits
from octavo.proxy.names import Names
from octavo.proxy.parent import Parents
from octavo.proxy.records import Record
from octavo.proxy.resolve import Resolver, SystemResolver
from octavo.proxy.wire import Wire

IDENTITY: Final = re.compile(r"[A-Za-z0-9._-]{1,128}\Z", re.ASCII)
FULL: Final = answers.plain(503, "too many connections")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class NetworkProxy:
    """The only way out for commands whose network is limited.

    `on_miss` is asked about hosts that are not listed, once for each execution and host:port.
    `on_denied` hears of every refusal at once, `on_record` of every decision; both are called
    inside the loop and must not block. `interceptor` (`octavo.proxy.mitm.Interception`) lets limited
    mode look into tunnels, which it refuses otherwise. `parents`: proxies to pass on to. `resolver` and `public` (addresses that count as public)
    are for tests.
    """

    def __init__(
        self,
        policy: HostPolicy,
        *,
        on_miss: OnMiss | None = None,
        on_denied: OnDenied | None = None,
        on_record: OnRecord | None = None,
        limits: Limits = LIMITS,
        resolver: Resolver | None = None,
        public: Collection[Address] = (),
        interceptor: Interceptor | None = None,
        parents: Parents | None = None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._ledger = Ledger(limits, clock_ms, on_denied, on_record)
        self._approvals = Approvals(on_miss, self._spawn, limits)
        self._resolver = resolver
        self._public = public
        self._interceptor = interceptor
        self._parents = parents
        self._executions: dict[str, Execution] = {}
        self._connections = 0
        self._shared: set[asyncio.Task[None]] = set()
        """Listeners for several commands, and connections that have not said whose they are."""
        self._group: asyncio.TaskGroup | None = None
        self._gate: Gate | None = None

    async def __aenter__(self) -> Self:
        self._gate = Gate(
            approvals=self._approvals,
            ledger=self._ledger,
            resolver=self._resolver or SystemResolver(),
            public=self._public,
            limits=self._limits,
            interceptor=self._interceptor,
            parents=self._parents,
        )
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._group is not None
        for identity in tuple(self._executions):
            self._forget(identity)
        for task in tuple(self._shared):
            task.cancel()
        await self._group.__aexit__(kind, error, trace)
        self._group = None

    # ---- what an embedder does ------------------------------------------------------------------

    def open(self, identity: str, policy: HostPolicy | None = None) -> Execution:
        """Make a command known. `policy`: its own; else the one in force at each moment.

        Raises UsageError: at most 128 letters, digits, `.`, `_`, `-`, and not in use.
        """
        if not IDENTITY.match(identity):
            raise UsageError(f"not a name for an execution: {identity!r}")
        if identity in self._executions:
            raise UsageError(f"there is an execution {identity} already")
        execution = Execution(
            identity,
            (lambda: self._policy) if policy is None else (lambda: policy),
            kept=self._limits.kept,
            lookups=self._limits.lookups,
        )
        self._executions[identity] = execution
        return execution

    def listen(
        self, sock: socket.socket, identity: str | None, *, credential: bool = False
    ) -> None:
        """Serve what comes in on a listening socket; the proxy owns and closes it from now on.

        With an identity every connection is that command's; `credential` asks for its password as
        well, where others can reach the socket. Without, connections have to bring credentials.
        """
        execution = None if identity is None else self._known(identity)
        sock.settimeout(0)
        task = self._spawn(
            self._accept(sock, execution, credential=credential), f"listen for {identity}"
        )
        task.add_done_callback(lambda _: sock.close())
        owner = self._shared if execution is None else execution.tasks
        owner.add(task)
        task.add_done_callback(owner.discard)

    def look_inside(self, interceptor: Interceptor) -> None:
        """From now on limited mode looks into tunnels, which it refuses otherwise."""
        assert self._gate is not None
        self._gate.interceptor = interceptor

    def capture(self, sock: socket.socket, identity: str, names: Names) -> None:
        """Serve a socket inside a command's network: questions for names, or connections to what
        `names` gave out. The proxy owns and closes it from now on."""
        execution = self._known(identity)
        sock.settimeout(0)

        def take(caught: socket.socket, target: Target) -> None:
            caught.settimeout(0)
            self._take(caught, execution, None, target)

        if sock.type == socket.SOCK_DGRAM:
            work = serve_names(sock, names)
        else:
            work = serve_captured(sock, names, take)
        task = self._spawn(work, f"capture for {identity}")
        task.add_done_callback(lambda _: sock.close())
        execution.tasks.add(task)
        task.add_done_callback(execution.tasks.discard)

    def serve(self, sock: socket.socket, identity: str, target: Target | None = None) -> None:
        """Serve one connection of a command; the proxy owns and closes the socket.

        `target`: where the command was connecting to when it was caught; else it speaks to a proxy.
        """
        execution = self._known(identity)
        sock.settimeout(0)
        self._take(sock, execution, None, target)

    async def end(self, identity: str) -> None:
        """The command is over: its listeners, connections and questions end now."""
        execution = self._forget(identity)
        if execution is not None and execution.tasks:
            await asyncio.wait(set(execution.tasks))

    def reload(self, policy: HostPolicy) -> None:
        """From now on this policy. Tunnels that it denies are cut; what was answered stays."""
        self._policy = policy
        for execution in self._executions.values():
            for task, way in tuple(execution.tunnels.items()):
                if judge(execution.policy(), *way).verdict == "deny":
                    task.cancel()

    def remember(self, host: str, port: int, answer: Answer, identity: str | None = None) -> None:
        """Take an answer into force that somebody gave unasked."""
        execution = None if identity is None else self._executions.get(identity)
        self._approvals.remember(read_host(host).name, port, answer, execution)

    @property
    def decisions(self) -> tuple[Record, ...]:
        """The last ones, the oldest first."""
        return tuple(self._ledger.kept)

    @property
    def refusals(self) -> int:
        """How many there were, those no longer kept included."""
        return self._ledger.refusals

    @property
    def connections(self) -> int:
        """Open now."""
        return self._connections

    # ---- connections ----------------------------------------------------------------------------

    async def _accept(
        self, sock: socket.socket, execution: Execution | None, *, credential: bool
    ) -> None:
        def take(conn: socket.socket) -> None:
            if credential:
                self._take(conn, None, execution, None)
            else:
                self._take(conn, execution, None, None)

        await accept_each(sock, take)

    def _take(
        self,
        sock: socket.socket,
        execution: Execution | None,
        only: Execution | None,
        target: Target | None,
    ) -> None:
        """`only`: whose credentials it has to bring."""
        limits = self._limits
        full = self._connections >= limits.connections_total or (
            execution is not None and execution.connections >= limits.connections
        )
        if full:
            with suppress(OSError):
                sock.send(FULL)
                sock.shutdown(socket.SHUT_WR)
            sock.close()
            return
        self._connections += 1
        held = Held(limits.connections)
        if execution is not None:
            held.adopt(execution)
        task = self._spawn(self._connection(sock, held, only, target), "connection")
        task.add_done_callback(lambda _: self._let_go(sock, held))
        owner = self._shared if execution is None else execution.tasks
        owner.add(task)
        task.add_done_callback(owner.discard)

    async def _connection(
        self, sock: socket.socket, held: "Held", only: Execution | None, target: Target | None
    ) -> None:
        assert self._gate is not None

        def find(user: str, password: str) -> Execution | None:
            known = self._executions.values() if only is None else (only,)
            return next((one for one in known if one.knows(user, password)), None)

        def adopt(execution: Execution) -> bool:
            task = asyncio.current_task()
            if task is None or not held.adopt(execution):
                return False
            execution.tasks.add(task)
            task.add_done_callback(execution.tasks.discard)
            return True

        try:
            wire = await Wire.accepted(sock, self._gate.shared)
            front = Front(self._gate, wire, held.execution, find=find, adopt=adopt)
            await (front.serve() if target is None else front.tunnel_to(target))
        except OSError:
            return
        except Exception as wrong:  # noqa: BLE001 - one connection must not end the others
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a proxied connection", "exception": wrong})

    def _let_go(self, sock: socket.socket, held: "Held") -> None:
        self._connections -= 1
        held.release()
        sock.close()

    # ---- owners ---------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        if self._group is None:
            work.close()
            raise UsageError("the proxy is not running: use it with `async with`")
        return self._group.create_task(work, name=name)

    def _known(self, identity: str) -> Execution:
        execution = self._executions.get(identity)
        if execution is None:
            raise UsageError(f"there is no execution {identity}")
        return execution

    def _forget(self, identity: str) -> Execution | None:
        execution = self._executions.pop(identity, None)
        if execution is not None:
            execution.ended = True
            for task in tuple(execution.tasks):
                task.cancel()
        return execution


class Held:
    """One connection's place among those of its execution."""

    def __init__(self, most: int) -> None:
        self.execution: Execution | None = None
        self._most = most

    def adopt(self, execution: Execution) -> bool:
        """Take a place; False when there is none or the command is over."""
        if execution.ended or execution.connections >= self._most:
            return False
        execution.connections += 1
        self.execution = execution
        return True

    def release(self) -> None:
        """Give the place back."""
        if self.execution is not None:
            self.execution.connections -= 1
