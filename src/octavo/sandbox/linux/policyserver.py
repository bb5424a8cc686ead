"""The warm way, second process: lives inside one policy's namespaces and clones commands.

The view is built once. Each command then costs one clone with its own pid and mount namespace, a
/proc, Landlock and a filter; a *spare* has all of that behind it and waits for its command.
"""

import _socket
import gc
import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import (
    gateway,
    init,
    keeper,
    landlock,
    relay_child,
    shared,
    status,
    sysc,
    view,
    wire,
)
from octavo.sandbox.linux.status import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

else:
    import _signal

PER_COMMAND = sysc.CLONE_NEWNS | sysc.CLONE_NEWPID
GROUP = 4  # after stdin, stdout, stderr and the report socket
IGNORED_BY_US = (_signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)


def serve(fd: int, plan: shared.Frozen) -> "NoReturn":
    """Build the view, report, then clone one init per request until the socket closes."""
    sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
    channel = _socket.socket(fileno=os.dup(fd))
    ready = build(plan, fd)
    if ready is None:
        os._exit(1)
    gc.collect()
    gc.freeze()
    gc.disable()
    status.send(fd, Record(status.READY))
    while True:
        value, fds = wire.receive(channel)
        if value is None:
            os._exit(0)
        reap()
        request: shared.Request = value  # type: ignore[assignment]  # from our own side
        if request[0] == "spare":
            make_spare(channel, ready)
        else:
            run_one(channel, ready, request[1], fds)
        for received in fds:
            os.close(received)


def build(plan: shared.Frozen, report: int) -> "init.Confinement | None":
    """Once per policy: the view, and all that commands inherit."""
    try:
        # before the view, which may hide the files of ours that these need
        for_server, filters = (shared.programs(plan, part) for part in ("server", "command"))
        view.build(plan.steps)
        os.setsid()
        abi = landlock.abi() if plan.landlock else 0
        phase = "landlock"
        rules = init.open_rules(abi, plan.landlock)
        phase = "privileges"
        init.privileges()
        phase = "filter"
        for program in for_server:
            init.install(program)
    except view.StepFailed as failure:
        status.send(report, Record(status.STEP_FAILED, index=failure.index, errno=failure.errno))
        return None
    except OSError as error:
        status.send(report, init.ConfineFailed(phase, error).record)
        return None
    return init.Confinement(abi=abi, rules=rules, filters=filters, proc=True, gateway=plan.gateway)


def reap() -> None:
    """Forget inits that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run_one(
    channel: "_socket.socket",
    ready: "init.Confinement",
    command: "shared.Request",
    fds: "list[int]",
) -> None:
    """("run", command) with stdin, stdout, stderr and the report socket: answers (pid,), pidfd."""
    pid, pidfd = clone_init(channel, command, fds, gateway.flags(ready))
    if pid == 0:
        start_inside(ready, command, fds)
    if pid > 0:
        wire.send(channel, ("pid", pid), (pidfd,))
        os.close(pidfd)


def clone_init(
    channel: "_socket.socket", command: "shared.Request", fds: "list[int]", more: int
) -> "tuple[int, int]":
    init.hold()
    try:
        pid, pidfd = sysc.clone(PER_COMMAND | more)
    except OSError as error:  # too many processes or namespaces: this command only
        report = Record(status.STEP_FAILED, index=shared.NAMESPACE_STEP, errno=error.errno or 0)
        if len(fds) > 3:
            status.send(fds[3], report)
        init.unhold()
        wire.send(channel, ("failed", error.errno or 0))
        return -1, -1
    if pid:
        init.unhold()
    return pid, pidfd


def start_inside(
    ready: "init.Confinement", command: "shared.Request", fds: "list[int]", *, sweep: bool = False
) -> "NoReturn":
    """In the clone: restrict, take over the descriptors, become pid 1 of one command."""
    report = fds[3]
    try:
        ear = init.Ear(ignored_by_us=IGNORED_BY_US)
        sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
        if ready.gateway:
            gateway.hand_over(report, gateway.open_gateway(ready.gateway))
        if command[4]:  # a terminal of its own, so a session of its own
            os.setsid()
            relay_child.confine(ready, report, (0, 1, 2))
        elif ready.filters and ready.filters[-1].listens:
            relay_child.confine(ready, report, ())
        else:
            init.confine(ready)
        begin(command, fds, sweep=sweep, ear=ear)
    except init.ConfineFailed as failure:
        status.send(report, failure.record)
    except OSError as error:
        status.send(report, Record(status.CONFINE_FAILED, errno=error.errno or 0))
    finally:
        os._exit(125)


def begin(
    command: "shared.Request", fds: "list[int]", *, sweep: bool = False, ear: "init.Ear"
) -> "NoReturn":
    argv, env, cwd, limits, terminal = command
    if len(fds) > GROUP:
        init.join(fds[GROUP])
    if not terminal:
        for fd, source in enumerate(fds[:3]):
            os.dup2(source, fd)
    init.run(argv, env, cwd, fds[3], limits=limits, terminal=bool(terminal), sweep=sweep, ear=ear)


def make_spare(channel: "_socket.socket", ready: "init.Confinement") -> None:
    """("spare",): a sandbox that waits. Answers (pid,) with a pidfd and the spare's own socket."""
    ours, theirs = wire.pair()
    pid, pidfd = clone_init(channel, (), [], gateway.flags(ready))
    if pid == 0:
        ours.close()
        wait_inside(theirs, ready)
    theirs.close()
    if pid > 0:
        wire.send(channel, ("spare", pid), (pidfd, ours.fileno()))
        os.close(pidfd)
    ours.close()


def wait_inside(channel: "_socket.socket", ready: "init.Confinement") -> "NoReturn":
    try:
        ear = init.Ear(ignored_by_us=IGNORED_BY_US)
        sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
        ways_out = gateway.open_gateway(ready.gateway) if ready.gateway else []
        listener = init.confine(ready)
        status.send(channel.fileno(), Record(status.READY))
        value, fds = wire.receive(channel)
        if value is None:
            os._exit(0)
        gateway.hand_over(fds[3], ways_out)
        if listener >= 0:
            relay_child.hand_over(fds[3], relay_child.HANDED_LISTENER, listener)
        request: shared.Request = value  # type: ignore[assignment]  # from our own side
        begin(request[1], fds, ear=ear)
    except init.ConfineFailed as failure:
        status.send(channel.fileno(), failure.record)
    finally:
        os._exit(125)


def keep(plan: shared.Frozen, command: "shared.Request", fds: "list[int]") -> "NoReturn":
    """Landlock alone: no namespaces, so a keeper ends the command's leftovers."""
    keeper.keep(lambda: without_namespaces(plan, command, fds))


def without_namespaces(plan: shared.Frozen, command: "shared.Request", fds: "list[int]") -> None:
    try:
        os.setsid()
        abi = landlock.abi()
        rules = init.each_rule(abi, plan.landlock)
        init.privileges()
    except OSError as error:
        status.send(fds[3], init.ConfineFailed("landlock", error).record)
        return
    how = init.Confinement(abi=abi, rules=rules, filters=shared.programs(plan), proc=False)
    start_inside(how, command, fds, sweep=landlock.scopes_signals(abi))
