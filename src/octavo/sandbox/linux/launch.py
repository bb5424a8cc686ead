"""Our side of the warm way: start the fork server, ask it for policies and commands.

Blocking calls that take well under a millisecond each; waiting for a command is left to the
caller, who has descriptors to wait on. Safe to use from several threads.
"""

import _socket
import os
import sys
import threading

assert sys.platform == "linux"

from octavo.sandbox.linux import bubblewrap, shared, status, sysc, wire
from octavo.sandbox.linux.relay_child import HANDED_GATEWAY, HANDED_LISTENER, HANDED_TERMINAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from octavo.sandbox.linux.shared import Command, Plan
    from octavo.sandbox.linux.status import Record
else:
    import _signal

START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from octavo.sandbox.linux.forkserver import main; main()"
)
REPLY_S = 20.0  # for any answer of our own helpers
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))


class HelperGone(Exception):  # noqa: N818 - what happened, not what to do
    """A helper process ended or did not answer in time."""


class BuildFailed(Exception):  # noqa: N818 - carried to the ladder as data
    """The policy could not be built: the record names the step."""

    def __init__(self, record: "Record | None") -> None:
        super().__init__("the sandbox could not be built")
        self.record = record


class ForkServer:
    """One per application. `close` ends every sandbox made with it."""

    def __init__(self) -> None:
        ours, theirs = wire.pair()
        os.set_inheritable(theirs.fileno(), True)  # noqa: FBT003 - the function's own signature
        argv = (sys.executable, "-I", "-S", "-c", START, _PACKAGES, str(theirs.fileno()))
        # nothing of the caller's environment: LD_PRELOAD and its kin end here
        self.pid = os.posix_spawn(sys.executable, argv, {"PATH": os.defpath})
        theirs.close()
        ours.settimeout(REPLY_S)
        self.channel = ours
        self.lock = threading.Lock()
        self._greeted = False

    def _greet(self) -> None:
        """Wait until it is up. Not at once: it starts while its owner does something else."""
        if not self._greeted:
            value, _ = answer(self.channel)
            assert value[0] == "hello"
            self._greeted = True

    def policy(self, plan: "Plan") -> "PolicyServer":
        """Build a policy's view once. Raises BuildFailed."""
        ours, theirs = wire.pair()
        with self.lock:
            self._greet()
            wire.send(self.channel, ("policy", shared.frozen_fields(plan)), (theirs.fileno(),))
            theirs.close()
            value, fds = answer(self.channel)
        ours.settimeout(REPLY_S)
        if value[0] == "failed":
            record = read_record(ours)
            ours.close()
            raise BuildFailed(record)
        record = read_record(ours)
        if record is None or record.kind != status.READY:
            ours.close()
            os.close(fds[0])
            raise BuildFailed(record)
        return PolicyServer(ours, value[1], fds[0])

    def keep(self, plan: "Plan", command: "Command", standard: "tuple[int, ...]") -> "Spawned":
        """Start a command without namespaces, under a keeper."""
        ours, theirs = wire.pair()
        fields = shared.frozen_fields(plan)
        with self.lock:
            self._greet()
            request = ("keep", fields, command_fields(command))
            wire.send(self.channel, request, descriptors(standard, theirs, command))
            theirs.close()
            value, fds = answer(self.channel)
        return Spawned(value[1], fds[0], ours, rung=plan.rung)

    def close(self) -> None:
        """End the helpers and all that runs in them, and reap."""
        self.channel.close()
        try:
            os.kill(self.pid, sysc.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):  # ended by itself
            pass


class PolicyServer:
    """One policy, built and ready. `spawn` takes a prepared sandbox when there is one."""

    def __init__(self, channel: "_socket.socket", pid: int, pidfd: int) -> None:
        self.channel = channel
        self.pid = pid
        self.pidfd = pidfd
        self.spares: list[tuple[int, int, _socket.socket]] = []
        self.lock = threading.Lock()

    def spawn(self, command: "Command", standard: "tuple[int, ...]") -> "Spawned":
        """Start a command with these descriptors as its stdin, stdout and stderr.

        With a terminal the descriptors are not used: the command gets one of its own.
        """
        ours, theirs = wire.pair()
        try:
            spare = None if command.terminal else self._ready_spare()
            if spare is not None and hand_over(spare, command, standard, theirs):
                return Spawned(spare[0], spare[1], ours)
            with self.lock:
                request = ("run", command_fields(command))
                wire.send(self.channel, request, descriptors(standard, theirs, command))
                value, fds = answer(self.channel)
        finally:
            theirs.close()
        if value[0] == "failed":
            return Spawned(0, -1, ours)
        return Spawned(value[1], fds[0], ours)

    def _ready_spare(self) -> "tuple[int, int, _socket.socket] | None":
        """A prepared sandbox that says it is ready; broken ones are thrown away."""
        while self.spares:
            pid, pidfd, channel = self.spares.pop(0)
            channel.settimeout(REPLY_S)
            record = read_record(channel)
            if record is not None and record.kind == status.READY:
                return pid, pidfd, channel
            channel.close()
            os.close(pidfd)
        return None

    def prepare(self, count: int = 1) -> None:
        """Make sure that `count` sandboxes wait for a command."""
        while len(self.spares) < count:
            with self.lock:
                wire.send(self.channel, ("spare",))
                value, fds = answer(self.channel)
            if value[0] == "failed":
                return
            self.spares.append((value[1], fds[0], _socket.socket(fileno=fds[1])))

    def close(self) -> None:
        """End the policy and everything that runs under it."""
        for _, pidfd, channel in self.spares:
            channel.close()
            os.close(pidfd)
        self.spares.clear()
        self.channel.close()
        sysc.kill_by_pidfd(self.pidfd, sysc.SIGKILL)
        os.close(self.pidfd)


class Spawned:
    """A command that was asked for: descriptors to wait on, and ways to end it."""

    def __init__(
        self, pid: int, pidfd: int, report: "_socket.socket", *, rung: str = "native"
    ) -> None:
        self.pid = pid
        """Of the command's pid 1, as the host sees it."""
        self.pidfd = pidfd
        self.report = report
        """Readable when there is news; see `read`."""
        self.rung = rung
        self.started = rung != "bubblewrap"
        self.terminal = -1
        self.listener = -1
        self.gateway: list[int] = []

    def read(self) -> "Record | None":
        """The next news, blocking; None when the sandbox died without a word.

        A record of kind READY means that `terminal` or `listener` has been set.
        """
        data, fds = wire.receive_raw(self.report, status.SIZE)
        record = status.decode(data)
        if record is not None and fds:
            if record.index == HANDED_TERMINAL:
                self.terminal = fds.pop(0)
            elif record.index == HANDED_LISTENER:
                self.listener = fds.pop(0)
            elif record.index == HANDED_GATEWAY:
                self.gateway.append(fds.pop(0))
        for fd in fds:
            os.close(fd)
        if record is not None and record.index == status.INSIDE:
            self.started = True
        return record if record is not None or self.started else shared.never_inside()

    def wait(self) -> "Record | None":
        """The record that ends the story."""
        while True:
            record = self.read()
            if record is None or record.kind not in (status.READY, status.STOPPED):
                return record

    def signal(self, number: int) -> None:
        """To the command's process group, through its pid 1."""
        if self.pidfd < 0:
            return
        if self.rung == "bubblewrap":
            inner = bubblewrap.inner(self.pid)
            if inner != self.pid:
                os.kill(inner, number)
                return
        sysc.kill_by_pidfd(self.pidfd, number)

    def kill(self) -> None:
        """The whole tree, at once."""
        if self.pidfd >= 0:
            number = _signal.SIGABRT if self.rung == "landlock" else sysc.SIGKILL
            sysc.kill_by_pidfd(self.pidfd, number)

    def close(self) -> None:
        self.report.close()
        for fd in (self.pidfd, self.terminal, self.listener, *self.gateway):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.terminal = self.listener = -1
        self.gateway = []


def hand_over(
    spare: "tuple[int, int, _socket.socket]",
    command: "Command",
    standard: "tuple[int, ...]",
    report: "_socket.socket",
) -> bool:
    """Give a prepared sandbox its command; False, with everything closed, when it has died."""
    _, pidfd, channel = spare
    try:
        request = ("run", command_fields(command))
        wire.send(channel, request, descriptors(standard, report, command))
    except OSError:
        os.close(pidfd)
        return False
    finally:
        channel.close()
    return True


def descriptors(
    standard: "tuple[int, ...]", report: "_socket.socket", command: "Command"
) -> "tuple[int, ...]":
    """What goes with a request: see `policyserver.GROUP` for the order."""
    group = (command.group,) if command.group >= 0 else ()
    return (*standard, report.fileno(), *group)


def command_fields(command: "Command") -> "tuple[object, ...]":
    return (command.argv, command.env, command.cwd, command.limits, command.terminal)


def answer(channel: "_socket.socket") -> "shared.Request":
    try:
        value, fds = wire.receive(channel)
    except TimeoutError as error:
        raise HelperGone(f"no answer within {REPLY_S:.0f} s") from error
    if value is None:
        raise HelperGone("the helper process has ended")
    return value, fds


def read_record(channel: "_socket.socket") -> "Record | None":
    data, _ = wire.receive_raw(channel, status.SIZE)
    return status.decode(data)
