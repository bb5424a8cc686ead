"""One command in one sandbox: clone, build the view, restrict, start; and pass signals on."""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, landlock, shared, status, sysc, view
from octavo.sandbox.linux.status import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable

    from octavo.sandbox.linux.shared import Command, Plan
else:
    import _signal


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


def start(
    plan: "Plan",
    command: "Command",
    report: int,
    *,
    terminals: "tuple[int, ...]" = (),
    standard: "dict[int, int] | None" = None,
    ours: "tuple[int, ...]" = (),
) -> "tuple[int, int]":
    """Clone; the child never returns. (pid, pidfd). `standard`: what replaces 0, 1, 2 inside;
    `ours`: our ends of the report and of pipes, which the child lets go of."""
    init.hold()  # until both sides listen: see `forwarded_signals` and `init.Ear`
    try:
        pid, pidfd = sysc.clone(shared.namespaces(plan))
    except OSError as error:
        status.send(
            report, Record(status.STEP_FAILED, index=shared.NAMESPACE_STEP, errno=error.errno or 0)
        )
        pid, pidfd = sysc.clone(0)
        if pid == 0:
            os._exit(0)
    if pid == 0:
        try:
            ear = None if plan.rung == "bubblewrap" else init.Ear()
            init.unhold()
            for fd in ours:
                os.close(fd)
            for fd, replacement in (standard or {}).items():
                os.dup2(replacement, fd)
            enter_group(command.group, report)
            if plan.rung == "landlock":
                from octavo.sandbox.linux import keeper  # noqa: PLC0415 - only this rung needs one

                keeper.keep(lambda: inside(plan, command, report, terminals, ear))
            if plan.rung == "bubblewrap":
                from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only this rung

                announce(report)
                bubblewrap.become(plan, command, report, terminals)
            inside(plan, command, report, terminals, ear)
        finally:
            os._exit(125)
    return pid, pidfd


def enter_group(group: int, report: int) -> None:
    """With limits that a control group holds: into it, or not at all."""
    if group < 0:
        return
    try:
        init.join(group)
    except init.ConfineFailed as failure:
        status.send(report, failure.record)
        os._exit(125)


def inside(
    plan: "Plan",
    command: "Command",
    report: int,
    terminals: "tuple[int, ...]",
    ear: "init.Ear | None",
) -> None:
    """The child: build the view, restrict, start."""
    announce(report)
    try:
        os.setsid()
        ready = before_the_view(plan, watched=bool(terminals or plan.notify))
        if plan.rung != "landlock":
            view.build(plan.steps)
        confine(plan, ready, report, terminals)
    except view.StepFailed as failure:
        status.send(report, Record(status.STEP_FAILED, index=failure.index, errno=failure.errno))
        return
    except init.ConfineFailed as failure:
        status.send(report, failure.record)
        return
    init.run(
        command.argv, command.env, command.cwd, report,
        limits=command.limits, terminal=bool(terminals),
        sweep=plan.rung == "landlock" and landlock.scopes_signals(landlock.abi()), ear=ear,
    )  # fmt: skip


def announce(report: int) -> None:
    """Die with the parent; and at once, when it died before that could be arranged."""
    sysc.prctl(sysc.PR_SET_PDEATHSIG, sysc.SIGKILL)
    try:
        os.write(report, Record(status.READY).encode())
    except OSError:
        os._exit(125)


def before_the_view(plan: "Plan", *, watched: bool) -> "list[sysc.Program]":
    """What needs files of ours, which the view may hide: late modules, and the filter."""
    if watched:
        from octavo.sandbox.linux import relay_child  # noqa: F401, PLC0415
    return shared.programs(plan)


def confine(
    plan: "Plan",
    filters: "list[sysc.Program]",
    report: int,
    terminals: "tuple[int, ...]",
) -> None:
    abi = landlock.abi() if plan.landlock else 0
    try:
        alone = plan.rung == "landlock"
        rules = (init.each_rule if alone else init.open_rules)(abi, plan.landlock)
    except OSError as error:
        raise init.ConfineFailed("landlock", error) from error
    try:
        init.privileges()
    except OSError as error:
        raise init.ConfineFailed("privileges", error) from error
    how = init.Confinement(abi=abi, rules=rules, filters=filters, proc=plan.rung != "landlock")
    if not terminals and not plan.notify:
        init.confine(how)
        return
    from octavo.sandbox.linux import relay_child  # noqa: PLC0415 - loaded by now

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
        init.unhold()

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
