"""The warm way, first process: a small Python that clones one server per policy.

Started once per application as an isolated interpreter. It stays single-threaded, so that raw
clone is safe, and in the host's namespaces, so that it can make new ones. Requests come over one
private socket; when that closes, everything ends.

    application -> fork server -> policy server (one per policy) -> init (one per command) -> command
"""

import _socket
import gc
import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import policyserver, shared, status, sysc, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from octavo.sandbox.linux.shared import Request
else:
    import _signal


def main() -> None:
    """Serve until the application closes its end of the socket (descriptor in argv)."""
    channel = _socket.socket(fileno=int(sys.argv[-1]))
    os.set_inheritable(channel.fileno(), False)  # noqa: FBT003
    sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
    for number in policyserver.IGNORED_BY_US:
        _signal.signal(number, _signal.SIG_IGN)  # the terminal's keys are for the application
    os.chdir("/")
    gc.collect()
    gc.freeze()
    gc.disable()
    wire.send(channel, ("hello", os.getpid()))
    while True:
        value, fds = wire.receive(channel)
        if value is None:
            return
        policyserver.reap()
        request: Request = value  # type: ignore[assignment]  # from our own side
        if request[0] == "policy":
            start_policy(channel, request, fds)
        else:
            start_keeper(channel, request, fds)
        for fd in fds:
            os.close(fd)


def start_policy(channel: "_socket.socket", request: "Request", fds: "list[int]") -> None:
    """("policy", plan) with the server's end of a socket: answers (pid,) and a pidfd."""
    plan = shared.Frozen(request[1])
    try:
        pid, pidfd = sysc.clone(shared.namespaces(plan) & ~sysc.CLONE_NEWPID)
    except OSError as error:
        failed = status.Record(
            status.STEP_FAILED, index=shared.NAMESPACE_STEP, errno=error.errno or 0
        )
        os.write(fds[0], failed.encode())
        wire.send(channel, ("failed",))
        return
    if pid == 0:
        try:
            channel.close()
            policyserver.serve(fds[0], plan)
        finally:
            os._exit(1)
    wire.send(channel, ("policy", pid), (pidfd,))
    os.close(pidfd)


def start_keeper(channel: "_socket.socket", request: "Request", fds: "list[int]") -> None:
    """("keep", plan, command): a command without namespaces; its keeper ends all it started."""
    pid, pidfd = sysc.clone(0)
    if pid == 0:
        try:
            channel.close()
            plan = shared.Frozen(request[1])
            if plan.rung == "bubblewrap":
                wrap(plan, request[2], fds)
            policyserver.keep(plan, request[2], fds)
        finally:
            os._exit(1)
    wire.send(channel, ("pid", pid), (pidfd,))
    os.close(pidfd)


def wrap(plan: "shared.Frozen", command: "Request", fds: "list[int]") -> None:
    """Become bubblewrap for one command."""
    from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only where it is needed

    for number in policyserver.IGNORED_BY_US:
        _signal.signal(number, _signal.SIG_DFL)
    for fd, source in enumerate(fds[:3]):
        os.dup2(source, fd)
    os.setsid()
    sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
    if len(fds) > policyserver.GROUP:
        from octavo.sandbox.linux import single  # noqa: PLC0415 - rare

        single.enter_group(fds[policyserver.GROUP], fds[3])
    terminals = (0, 1, 2) if command[4] else ()
    bubblewrap.become(plan, shared.Asked(command), fds[3], terminals)
