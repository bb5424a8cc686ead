"""The short way: one command in one sandbox, no servers. The whole of `octavo sandbox`.

One clone; the child builds the view, restricts itself and starts the command; this process stays
outside to pass signals on, restore the terminal and remove mount points.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, landlock, status, stdio, sysc, view
from octavo.sandbox.linux.programs import PROGRAMS
from octavo.sandbox.linux.status import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Protocol

    from octavo.sandbox.linux.relay import Watcher

    class Command(Protocol):
        """A command as the inside needs it: `spec.Command`, or one that came over the wire."""

        argv: tuple[str, ...]
        cwd: str
        env: dict[str, str]
        limits: tuple[tuple[str, int], ...]
        terminal: bool

    class Plan(Protocol):
        """The fields of a plan that the inside needs; `spec.Plan` has them, and so has the wire."""

        rung: str
        steps: tuple[tuple[str, ...], ...]
        landlock: tuple[tuple[str, str], ...]
        network: str
        unix: bool
        nested: bool
        notify: bool
        reads: bool
else:
    import _signal

BASE_NAMESPACES = sysc.CLONE_NEWNS | sysc.CLONE_NEWIPC | sysc.CLONE_NEWPID
STANDARD = (0, 1, 2)


class Ended:
    """How it went: a record from inside, or None when the sandbox died without a word."""

    __slots__ = ("limit", "record")

    def __init__(self, record: "Record | None", limit: "str | None" = None) -> None:
        self.record = record
        self.limit = limit
        """The limit that ended the command: "wall" or "output"."""

    @property
    def exit_code(self) -> int:
        if self.record is None:
            return 128 + sysc.SIGKILL
        return status.shell_code(self.record.value)


def namespaces(plan: "Plan") -> int:
    """The clone flags of a plan."""
    if plan.rung in ("landlock", "bubblewrap"):
        return 0
    user = sysc.CLONE_NEWUSER if plan.steps[0][0] == "identity" else 0
    network = 0 if plan.network == "on" else sysc.CLONE_NEWNET
    return BASE_NAMESPACES | user | network


def programs(plan: "Plan", part: str = "whole") -> "list[sysc.Program]":
    """The filter of a plan: finished bytes where there are some, else built now."""
    network = "none" if plan.network == "none" else "off"
    if not (plan.unix or plan.nested or plan.notify):
        return [sysc.Program(PROGRAMS[sysc.MACHINE, network, part])]
    if plan.notify and part == "server":
        return []  # a refusal there would hide the notification from the command's own filter
    from octavo.sandbox.linux import seccomp  # noqa: PLC0415 - rare, and it costs 2 ms

    code = seccomp.build(
        sysc.MACHINE,
        plan.network,
        unix=plan.unix,
        nested=plan.nested,
        notify=plan.notify,
        reads=plan.reads,
        part="whole" if plan.notify else part,
    )
    return [sysc.Program(code, listens=plan.notify)]


def run(plan: "Plan", command: "Command", watch: "Watcher | None" = None) -> Ended:
    """Run one command to its end with this process's own stdin, stdout and stderr.

    `watch` adds deadlines, output caps and the listener for refused calls. A record of kind
    STEP_FAILED or CONFINE_FAILED means that nothing was started.
    """
    terminals = tuple(fd for fd in STANDARD if is_terminal(fd))
    relayed = tuple(fd for fd in STANDARD if fd not in terminals and stdio.needs_relay(fd))
    if watch is None and not terminals and not relayed:
        return run_plain(plan, command)
    from octavo.sandbox.linux import relay  # noqa: PLC0415 - only when bytes pass through us

    return relay.run(plan, command, terminals, relayed, watch)


TIOCSWINSZ = 0x5414


def set_window(terminal: int, rows: int, cols: int) -> None:
    """Tell a terminal its size; the kernel tells the programs on it."""
    size = b"".join(n.to_bytes(2, "little") for n in (rows, cols, 0, 0))
    sysc.ioctl(terminal, TIOCSWINSZ, size)


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def run_plain(plan: "Plan", command: "Command") -> Ended:
    """Nothing passes through this process: it only waits."""
    read, write = os.pipe()
    pid, pidfd = start(plan, command, write)
    os.close(write)
    with forwarded_signals(pid, inner_of(plan)):
        record = last_record(read, plan)
        os.waitpid(pid, 0)
    os.close(read)
    os.close(pidfd)
    return Ended(record)


def last_record(fd: int, plan: "Plan") -> "Record | None":
    """Read reports until the one that ends the story."""
    started = plan.rung != "bubblewrap"
    while True:
        record = status.decode(os.read(fd, status.SIZE))
        if record is not None and record.kind == status.READY:
            started = started or record.index == status.INSIDE
        elif record is not None and record.kind == status.STOPPED:
            continue
        else:
            return record if started or record is not None else never_inside()


def never_inside() -> Record:
    """bubblewrap ended before our Python ran; it has said why on stderr."""
    return Record(status.STEP_FAILED, index=NAMESPACE_STEP, errno=1)


def start(
    plan: "Plan",
    command: "Command",
    report: int,
    *,
    terminals: "tuple[int, ...]" = (),
    standard: "dict[int, int] | None" = None,
) -> "tuple[int, int]":
    """Clone; the child never returns. (pid, pidfd). `standard`: what replaces 0, 1, 2 inside."""
    try:
        pid, pidfd = sysc.clone(namespaces(plan))
    except OSError as error:
        status.send(
            report, Record(status.STEP_FAILED, index=NAMESPACE_STEP, errno=error.errno or 0)
        )
        pid, pidfd = sysc.clone(0)
        if pid == 0:
            os._exit(0)
    if pid == 0:
        try:
            for fd, replacement in (standard or {}).items():
                os.dup2(replacement, fd)
            if plan.rung == "landlock":
                from octavo.sandbox.linux import keeper  # noqa: PLC0415 - only this rung needs one

                keeper.keep(lambda: inside(plan, command, report, terminals))
            if plan.rung == "bubblewrap":
                from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only this rung

                announce(report)
                bubblewrap.become(plan, command, report, terminals)
            inside(plan, command, report, terminals)
        finally:
            os._exit(125)
    return pid, pidfd


NAMESPACE_STEP = 0xFFFF  # the clone itself, before the first step


def inside(plan: "Plan", command: "Command", report: int, terminals: "tuple[int, ...]") -> None:
    """The child: build the view, restrict, start."""
    announce(report)
    try:
        os.setsid()
        if plan.rung != "landlock":
            view.build(plan.steps)
        confine(plan, report, terminals)
    except view.StepFailed as failure:
        status.send(report, Record(status.STEP_FAILED, index=failure.index, errno=failure.errno))
        return
    except init.ConfineFailed as failure:
        status.send(report, failure.record)
        return
    init.run(
        command.argv, command.env, command.cwd, report,
        limits=command.limits, terminal=bool(terminals),
    )  # fmt: skip


def announce(report: int) -> None:
    """Die with the parent; and at once, when it died before that could be arranged."""
    sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
    try:
        os.write(report, Record(status.READY).encode())
    except OSError:
        os._exit(125)


def confine(plan: "Plan", report: int, terminals: "tuple[int, ...]") -> None:
    abi = landlock.abi() if plan.landlock else 0
    try:
        rules = init.open_rules(abi, plan.landlock)
    except OSError as error:
        raise init.ConfineFailed("landlock", error) from error
    try:
        init.privileges()
    except OSError as error:
        raise init.ConfineFailed("privileges", error) from error
    how = init.Confinement(
        abi=abi, rules=rules, filters=programs(plan), proc=plan.rung != "landlock"
    )
    if not terminals and not plan.notify:
        init.confine(how)
        return
    from octavo.sandbox.linux import relay_child  # noqa: PLC0415

    relay_child.confine(how, report, terminals)


def inner_of(plan: "Plan") -> "Callable[[int], int] | None":
    """How to find the process that takes signals, where it is not the one we started."""
    if plan.rung != "bubblewrap":
        return None
    from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only this rung

    return bubblewrap.inner


class forwarded_signals:  # noqa: N801 - used like a function
    """Pass signals on to the command while it runs, and put the old handlers back."""

    def __init__(self, pid: int, inner: "Callable[[int], int] | None" = None) -> None:
        self.pid = pid
        self.inner = inner
        self.before: dict[int, object] = {}

    def __enter__(self) -> None:
        for number in init.FORWARDED:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                self.before[number] = _signal.signal(number, self.forward)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            _signal.signal(number, handler)  # type: ignore[arg-type]  # as it was handed to us

    def forward(self, number: int, frame: object) -> None:
        if self.inner:
            self.pid = self.inner(self.pid)
        try:
            os.kill(self.pid, number)
        except OSError:  # it has just ended
            pass
        if number == _signal.SIGTSTP:
            os.kill(os.getpid(), _signal.SIGSTOP)
            os.kill(self.pid, _signal.SIGCONT)
