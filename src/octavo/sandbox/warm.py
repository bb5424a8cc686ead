"""Linux: start confined commands from an application, many times.

Helper processes are started on first use and end with `close`. A policy is built once and kept
while it is used; when a path it depends on has changed, it is built again. What comes back is a
`process.Child`, so the rest of the program does not care whether a command is confined.
"""

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

assert sys.platform == "linux"

from octavo.process.child import StartError
from octavo.process.spec import ExitStatus, ProcessSpec, Terminal
from octavo.protocol.errors import InternalError, SandboxUnavailable, UsageError
from octavo.sandbox import ladder
from octavo.sandbox.backends import disk, linux_warm, mount_points, shared, status
from octavo.sandbox.confined import Confined
from octavo.sandbox.denial import Judge
from octavo.sandbox.request import policy_of
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Command, Plan, Policy, Refused, Unavailable
from octavo.sandbox.stale import Footprint

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.sandbox.denial import Denial
    from octavo.sandbox.linux.cgroup import Group
    from octavo.sandbox.linux.launch import ForkServer, PolicyServer, Spawned
    from octavo.sandbox.linux.mountpoints import MountPoints
    from octavo.sandbox.linux.status import Record
    from octavo.sandbox.wish import Wish

MOST_POLICIES: Final = 16
"""Built policies kept at once; the longest unused goes first."""
START_S: Final = 30.0
"""From the request to the running command; anything slower is a broken machine."""
GONE_MS: Final = 2000
"""A killed sandbox that takes longer has a process stuck in the kernel."""
WATCH_END_S: Final = 2.0
"""The reader of refused calls ends with the last confined process."""


class Built:
    """One policy, ready for commands."""

    def __init__(self, plan: Plan, footprint: Footprint, points: "MountPoints") -> None:
        self.plan = plan
        self.footprint = footprint
        self.points = points
        self.server: PolicyServer | None = None
        self.overlay: tuple[str, str, str] | None = None
        self.running = 0

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        self.footprint.close()
        self.points.release()


class WarmLauncher:
    """Starts confined commands. `close` ends every one of them and all helpers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._forks: ForkServer | None = None
        self._built: OrderedDict[tuple[object, ...], Built] = OrderedDict()
        self._retired: list[Built] = []
        self._condemned: dict[str, str] = {}
        self._mounts = MountWatch()
        self._lock = asyncio.Lock()

    def prepare(self) -> None:
        """Have the first helper started, in the thread that will start commands."""
        if self._forks is None:
            launch, _ = linux_warm()
            # in this thread: the helper ends with the thread that started it
            started: ForkServer = launch.ForkServer()
            self._forks = started

    async def start(
        self,
        spec: ProcessSpec,
        policy: Policy,
        *,
        judge: "Judge | None" = None,
        limits: tuple[tuple[str, int], ...] = (),
    ) -> "ConfinedChild":
        """Start one command. The caller closes what comes back.

        `judge` collects denials; the policy must then have been made with `notify`. Raises
        SandboxUnavailable when no mechanism here holds the policy: nothing was started.
        StartError when the sandbox stands but the command cannot be started in it.
        """
        command = Command(
            spec.argv,
            spec.cwd or os.getcwd(),
            ladder.environment(spec.env, policy),
            limits=limits,
            terminal=isinstance(spec.stdio, Terminal),
        )
        reasons: list[str] = []
        remedy = ladder.REMEDY
        for rung in self._session.rungs:
            if rung in self._condemned:
                reasons.append(f"{rung}: {self._condemned[rung]}")
                continue
            try:
                child = await self._on_rung(rung, spec, command, policy, judge)
            except Unavailable as problem:
                raise SandboxUnavailable(str(problem), hint=problem.remedy) from problem
            except Refused as refusal:
                reasons.append(f"{rung}: {refusal.rule}: {refusal.reason}")
                remedy = refusal.remedy
                if refusal.final:
                    break
                continue
            except RungFailed as failed:
                reasons.append(f"{rung}: {failed.reason}")
                if not failed.condemned:
                    remedy = failed.remedy
                    break
                self._condemned[rung] = failed.reason
                continue
            if child is not None:
                return child
        raise SandboxUnavailable("; ".join(reasons) or "no mechanism was tried", hint=remedy)

    async def _on_rung(
        self, rung: str, spec: ProcessSpec, command: Command, policy: Policy, judge: "Judge | None"
    ) -> "ConfinedChild | None":
        """On one rung; planned again when a path moved meanwhile: others work in the folder too."""
        for left in reversed(range(ladder.MOVED_TRIES)):
            try:
                return await self._once(rung, spec, command, policy, judge)
            except RungFailed as failed:
                if not (failed.moved and left):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _once(
        self, rung: str, spec: ProcessSpec, command: Command, policy: Policy, judge: "Judge | None"
    ) -> "ConfinedChild | None":
        async with self._lock:  # one build at a time; commands run side by side
            built = self._find(rung, policy)
            if built is None:
                return None
            await self._helpers()
            if built.server is None and rung in ("native", "native-root"):
                await self._build(built)
        group = ladder.group_for(command.limits, rung)
        child = ConfinedChild(built, spec, judge, on_close=self._closed, group=group)
        try:
            child.spawn(await self._helpers(), ladder.grouped(command, group))
            await child.started()
        except BaseException:
            child.close()
            raise
        if built.server is not None:
            asyncio.get_running_loop().call_soon(self._prepare, built)
        return child

    async def _helpers(self) -> "ForkServer":
        self.prepare()
        assert self._forks is not None
        return self._forks

    def _find(self, rung: str, policy: Policy) -> Built | None:
        """A policy built before and still true, or a new one, not yet built."""
        key = (
            rung,
            policy.rules,
            policy.network,
            policy.unix,
            policy.nested,
            policy.notify,
            policy.devices,
            policy.overlay,
            policy.gateway,
        )
        if policy.overlay is not None:
            shared = self._layered(key, policy.overlay)
            if shared is not None:
                return shared
        if self._mounts.changed():
            for old in list(self._built):
                self._retire(old)
        built = self._built.get(key)
        if built is not None:
            if not built.footprint.stale():
                self._built.move_to_end(key)
                return built
            self._retire(key)
        seen = disk.Disk()
        plan = ladder.make_plan(policy, self._session, rung, seen)
        if plan is None:
            return None
        points = mount_points(self._session.journal, plan.creates)
        ladder.make_points(points, self._session)
        built = self._built[key] = Built(plan, Footprint(list(seen.kinds)), points)
        built.overlay = policy.overlay
        while len(self._built) > MOST_POLICIES:
            self._retire(next(iter(self._built)))
        return built

    def _layered(self, key: tuple[object, ...], overlay: tuple[str, str, str]) -> Built | None:
        """A layer of changes is mounted by one view at a time: two would spoil each other's files.

        The view to use, even if it was built a while ago, as long as commands run in it. Raises
        Refused while commands run in another view of the layer.
        """
        for other in (*self._built.values(), *self._retired):
            if other.overlay == overlay and other.running:
                if other is self._built.get(key):
                    return other
                raise Refused(
                    "--overlay",
                    "commands with other permissions still run in it",
                    "wait for them, or end them",
                    final=True,
                )
        for old, built in list(self._built.items()):
            if old != key and built.overlay == overlay:
                self._retire(old)
        return None

    async def _build(self, built: Built) -> None:
        launch, _ = linux_warm()
        assert self._forks is not None
        try:
            # not in another thread: a cancelled caller would leave a server that nobody owns
            built.server = self._forks.policy(built.plan)
        except launch.BuildFailed as failure:
            self._forget(built)
            raise RungFailed(built.plan, failure.record) from failure
        except launch.HelperGone as failure:
            raise InternalError(f"a sandbox helper ended: {failure}") from failure

    def _prepare(self, built: Built) -> None:
        if built.server is not None and built in self._built.values():
            built.server.prepare()

    def _retire(self, key: tuple[object, ...]) -> None:
        """No new commands; those that run keep their sandbox until they end."""
        built = self._built.pop(key)
        if built.running:
            self._retired.append(built)
        else:
            built.close()

    def _forget(self, built: Built) -> None:
        for key, other in list(self._built.items()):
            if other is built:
                self._retire(key)

    def _closed(self, built: Built) -> None:
        if built in self._retired and not built.running:
            self._retired.remove(built)
            built.close()

    def close(self) -> None:
        """End every command and every helper; nothing stays behind."""
        for built in (*self._built.values(), *self._retired):
            built.close()
        self._built.clear()
        self._retired.clear()
        if self._forks is not None:
            self._forks.close()
            self._forks = None
        self._mounts.close()


class Platform:
    """Linux's side of `launcher.Launcher`."""

    def __init__(self, session: Session) -> None:
        self._warm = WarmLauncher(session)

    def prepare(self) -> None:
        """See `launcher.Launcher.prepare`."""
        self._warm.prepare()

    async def start(
        self,
        spec: ProcessSpec,
        profile: "EffectiveProfile",
        wish: "Wish",
        *,
        limits: tuple[tuple[str, int], ...],
    ) -> Confined:
        try:
            policy = policy_of(profile, wish)
        except Refused as refusal:
            raise SandboxUnavailable(str(refusal), hint=refusal.remedy) from refusal
        judge = new_judge(profile, policy.gateway) if policy.notify else None
        child = await self._warm.start(spec, policy, judge=judge, limits=limits)
        if judge is not None and policy.gateway and child.plan.rung == "bubblewrap":
            judge.waited = frozenset({place_of(policy.gateway[0])})
        weaker = tuple(f"this machine cannot hold: {what}" for what in child.plan.weaker)
        return Confined(
            child,
            rung=child.plan.rung,
            notes=(*child.plan.notes, *weaker),
            denials=child.denials,
            reached=child.reached,
            gateway=child.take_gateway(),
        )

    def close(self) -> None:
        self._warm.close()


def place_of(way: str) -> tuple[str, int]:
    """Of "tcp ADDRESS PORT"."""
    _, address, port = way.split()
    return address, int(port)


NAME_SERVICE_CACHES: Final = ("/run/nscd/socket", "/var/run/nscd/socket")


def new_judge(profile: "EffectiveProfile", ways: tuple[str, ...] = ()) -> Judge:
    """A judge for one command of this user on this host. `ways`: where a proxy waits."""
    cache = any(os.path.exists(path) for path in NAME_SERVICE_CACHES)
    waited = frozenset(place_of(way) for way in ways) if ways else None
    return Judge(profile, uid=os.getuid(), name_service_cache=cache, waited=waited)


class RungFailed(Exception):  # noqa: N818 - the ladder goes on or stops
    def __init__(self, plan: Plan, record: "Record | None") -> None:
        self.reason = ladder.failure(plan, record) or "the sandbox ended before the command started"
        self.condemned = ladder.condemned(plan, record)
        self.remedy = ladder.remedy_for(plan, record)
        self.moved = ladder.moved(plan, record)
        super().__init__(self.reason)


class MountWatch:
    """Tells when the host's mounts have changed: views built before are then out of date."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLPRI | select.POLLERR)

    def changed(self) -> bool:
        return bool(self._poll.poll(0))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ConfinedChild:
    """A `process.Child` inside a sandbox, with the denials seen so far."""

    def __init__(
        self,
        built: Built,
        spec: ProcessSpec,
        judge: "Judge | None",
        on_close: "Callable[[Built], None]",
        group: "Group | None" = None,
    ) -> None:
        self._group = group
        self._hit: str | None = None
        self._built = built
        self._spec = spec
        self._judge = judge
        self._on_close = on_close
        self._fds: dict[str, int] = {}
        self._spawned: Spawned | None = None
        self._status: ExitStatus | None = None
        self._loop = asyncio.get_running_loop()
        self._start: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()
        self._watcher: threading.Thread | None = None
        self._closed = False
        self._began = time.monotonic()
        built.running += 1

    @property
    def plan(self) -> Plan:
        """How it is confined."""
        return self._built.plan

    def take_gateway(self) -> tuple[int, ...]:
        """The sockets that are its only ways out, the caller's from now on."""
        if self._spawned is None:
            return ()
        found, self._spawned.gateway = self._spawned.gateway, []
        return tuple(found)

    def reached(self) -> str | None:
        """The limit of its control group that it ran into: "memory", "processes", or None."""
        return self._hit or (self._group.reached() if self._group is not None else None)

    def denials(self) -> "tuple[Denial, ...]":
        """What was refused so far; complete once the command has ended and `gone` has returned."""
        if self._watcher is not None and self._ended.is_set():
            self._watcher.join(WATCH_END_S)
        return self._judge.denials if self._judge is not None else ()

    # ---- starting ---------------------------------------------------------------------------

    def spawn(self, forks: "ForkServer", command: Command) -> None:
        theirs, close_after = self._open_stdio()
        try:
            if self._built.server is not None:
                self._spawned = self._built.server.spawn(command, theirs)
            else:
                self._spawned = forks.keep(self._built.plan, command, theirs)
        finally:
            for fd in close_after:
                os.close(fd)
        self._loop.add_reader(self._spawned.report.fileno(), self._news)
        if self._spawned.pidfd >= 0:
            self._loop.add_reader(self._spawned.pidfd, self._all_gone)

    def _open_stdio(self) -> "tuple[tuple[int, int, int], set[int]]":
        """Pipes for the command; what to close here once it has them."""
        stdio = self._spec.stdio
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if isinstance(stdio, Terminal):
            return (null, null, null), {null}
        after = {null}

        def pipe(name: str, *, read: bool) -> int:
            ends = os.pipe()
            mine, other = ends if read else ends[::-1]
            os.set_blocking(mine, False)
            self._fds[name] = mine
            after.add(other)
            return other

        stdin = pipe("stdin", read=False) if stdio.stdin else null
        stdout = pipe("stdout", read=True)
        stderr = stdout if stdio.merge_stderr else pipe("stderr", read=True)
        return (stdin, stdout, stderr), after

    async def started(self) -> None:
        """Until the command runs. Raises RungFailed or StartError."""
        async with asyncio.timeout(START_S):
            await self._start

    def _news(self) -> None:
        assert self._spawned is not None
        record = self._spawned.read()
        if record is None:
            self._end(ExitStatus(signal=signal.SIGKILL))
        elif record.kind == status.READY:
            self._ready(record)
        elif record.kind == status.EXITED:
            self._end(ExitStatus.from_wait_status(record.value))
        elif record.kind == status.SPAWN_FAILED:
            error = OSError(record.errno, os.strerror(record.errno))
            self._fail(StartError(self._spec.argv[0], error))
        elif record.kind in (status.STEP_FAILED, status.CONFINE_FAILED):
            self._fail(self._confinement_failed(record))

    def _confinement_failed(self, record: "Record") -> Exception:
        if record.kind == status.CONFINE_FAILED and status.PHASES[record.index] == "cwd":
            error = OSError(record.errno, os.strerror(record.errno))
            return StartError(self._spec.argv[0], error, folder=self._spec.cwd)
        return RungFailed(self.plan, record)

    def _ready(self, record: "Record") -> None:
        assert self._spawned is not None
        spawned = self._spawned
        if spawned.terminal >= 0 and "terminal" not in self._fds:
            self._fds["terminal"] = os.dup(spawned.terminal)
            os.set_blocking(self._fds["terminal"], False)
            stdio = self._spec.stdio
            assert isinstance(stdio, Terminal)
            self.resize(stdio.rows, stdio.cols)
        if spawned.listener >= 0 and self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="denials", daemon=True)
            self._watcher.start()
        if record.index == status.STARTED and not self._start.done():
            self._start.set_result(None)

    def _watch(self) -> None:
        """In a thread of its own, so that a busy application does not slow the command down."""
        assert self._spawned is not None
        _, notify = linux_warm()
        plan = self.plan
        supervisor = notify.Supervisor(
            self._spawned.listener, plan.network, unix=plan.unix, nested=plan.nested
        )
        poll = select.poll()
        poll.register(self._spawned.listener, select.POLLIN)
        while True:
            events = poll.poll()[0][1]
            if not events & select.POLLIN or not supervisor.serve(self._note):
                return

    def _note(self, attempt: object) -> None:
        if self._judge is not None:
            elapsed_ms = round((time.monotonic() - self._began) * 1000)
            self._judge.note(attempt, elapsed_ms)  # type: ignore[arg-type]  # an Attempt, typed in the platform room

    def _fail(self, error: Exception) -> None:
        if not self._start.done():
            self._start.set_exception(error)
        self._end(ExitStatus())

    def _end(self, ended: ExitStatus) -> None:
        if self._spawned is not None:
            self._loop.remove_reader(self._spawned.report.fileno())
        if not self._start.done():
            self._start.set_exception(RungFailed(self.plan, None))
        if self._status is None:
            self._status = ended
        self._ended.set()
        if self._spawned is None or self._spawned.pidfd < 0:
            self._gone.set()

    def _all_gone(self) -> None:
        assert self._spawned is not None
        self._loop.remove_reader(self._spawned.pidfd)
        self._gone.set()
        if not self._ended.is_set():
            self._news()

    # ---- the Child protocol -----------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._spawned.pid if self._spawned is not None else 0

    @property
    def stdin_fd(self) -> int | None:
        return self._fds.get("stdin")

    @property
    def stdout_fd(self) -> int | None:
        return self._fds.get("stdout")

    @property
    def stderr_fd(self) -> int | None:
        return self._fds.get("stderr")

    @property
    def terminal_fd(self) -> int | None:
        return self._fds.get("terminal")

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        assert self._status is not None
        return self._status

    async def gone(self) -> None:
        await self._gone.wait()

    def close_stdin(self) -> None:
        fd = self._fds.pop("stdin", None)
        if fd is not None:
            os.close(fd)

    def send_signal(self, number: int) -> None:
        if self._spawned is not None and not self._ended.is_set():
            self._spawned.signal(number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._spawned is not None:
            self._spawned.kill()

    def resize(self, rows: int, cols: int) -> None:
        terminal = self.terminal_fd
        if terminal is None:
            raise UsageError("this command has no terminal to resize")
        size = Terminal(rows=rows, cols=cols)
        shared.set_window(terminal, size.rows, size.cols)

    def _wait_until_gone(self) -> None:
        """The kernel ends a killed pid namespace within a millisecond or two."""
        assert self._spawned is not None
        if self._spawned.pidfd >= 0:
            poll = select.poll()
            poll.register(self._spawned.pidfd, select.POLLIN)
            poll.poll(GONE_MS)
        self._ended.set()
        self._gone.set()
        if self._status is None:
            self._status = ExitStatus(signal=signal.SIGKILL)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.kill()
        if self._spawned is not None:
            self._loop.remove_reader(self._spawned.report.fileno())
            if self._spawned.pidfd >= 0:
                self._loop.remove_reader(self._spawned.pidfd)
            self._wait_until_gone()
            if self._watcher is not None:
                self._watcher.join(WATCH_END_S)
            self._spawned.close()
        if self._group is not None:
            self._hit = self._group.reached()
            self._group.close()
            self._group = None
        while self._fds:
            os.close(self._fds.popitem()[1])
        if self._start.done() and not self._start.cancelled():
            self._start.exception()  # somebody else has heard it, or nobody has to
        self._built.running -= 1
        self._on_close(self._built)


if TYPE_CHECKING:
    from collections.abc import Callable
