"""From the strongest mechanism to the weakest that still holds the policy; then none.

The rung is found by building the policy itself and looking at the step that failed, never by a
probe of its own. A rung that cannot hold a rule refuses; when no rung is left, nothing runs.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox import plan_linux
from octavo.sandbox.backends import control_group, disk, mount_points, oneshot, status
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Command, Host, Plan, Policy, Refused, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.sandbox.linux.cgroup import Group
    from octavo.sandbox.linux.mountpoints import MountPoints
    from octavo.sandbox.linux.relay import Watcher
    from octavo.sandbox.linux.single import Ended
    from octavo.sandbox.linux.status import Record

EPERM, EACCES, EINVAL, ENOSPC, ENOSYS, EUSERS, EOPNOTSUPP = 1, 13, 22, 28, 38, 87, 95
MISSING_MECHANISM = (EPERM, EACCES, EINVAL, ENOSPC, ENOSYS, EUSERS, EOPNOTSUPP)
# steps that only need the mechanism, not a path of the user: their failure condemns the rung
MECHANISM_STEPS = (
    "identity",
    "seal",
    "devices",
    "loopback",
    "new-root",
    "enter-root",
    "hold-devices",
)
OVERLAY_STEPS = ("overlay", "overlay-under")
REMEDY = (
    "`octavo doctor` shows what is missing. On Ubuntu the AppArmor profile `bwrap-userns-restrict` "
    "with bubblewrap installed is enough; in a container allow user namespaces or Landlock"
)
PATH_REMEDY = (
    "look at that path: it may have changed while the sandbox was built, or no rule of the profile "
    "lets a command see it (`octavo sandbox --explain-path PATH` says which rule decides)"
)
ENOENT, ENOTDIR, EMFILE = 2, 20, 24
MOVED_TRIES = 4
FILES_REMEDY = "raise the hard limit on open files (`ulimit -Hn`): each rule needs one for a moment"


class Ran:
    """A command that was started: how it ended, and under which plan."""

    __slots__ = ("ended", "plan")

    def __init__(self, ended: "Ended", plan: Plan) -> None:
        self.ended = ended
        self.plan = plan


def run(policy: Policy, command: Command, session: Session, watch: "Watcher | None" = None) -> Ran:
    """Run a command with this process's own standard descriptors, on the first rung that holds.

    Raises Unavailable when none does: then nothing was started.
    """
    check_loader(policy, os.environ)
    reasons: list[str] = []
    remedy = REMEDY
    for rung in session.rungs:
        try:
            plan, ended = attempt(policy, command, session, rung, watch)
        except Refused as refusal:
            reasons.append(f"{rung}: {refusal.rule}: {refusal.reason}")
            remedy = refusal.remedy
            if refusal.final:
                break
            continue
        if plan is None or ended is None:
            continue
        reason = failure(plan, ended.record)
        if reason is None:
            return Ran(ended, plan)
        reasons.append(f"{rung}: {reason}")
        if not condemned(plan, ended.record):
            remedy = remedy_for(plan, ended.record)
            break
    raise Unavailable(tuple(reasons), remedy)


def attempt(
    policy: Policy, command: Command, session: Session, rung: str, watch: "Watcher | None"
) -> "tuple[Plan | None, Ended | None]":
    """Plan and run on one rung; again when a path moved between the two: others work here too."""
    for _ in range(MOVED_TRIES):
        plan = make_plan(policy, session, rung)
        ended = carry_out(plan, command, session, watch)
        if plan is None or ended is None or not moved(plan, ended.record):
            break
    return plan, ended


def moved(plan: Plan, record: "Record | None") -> bool:
    """Did a path that was planned for disappear, or become something else, before it was held?"""
    if record is None or record.kind != status.STEP_FAILED or record.index >= len(plan.steps):
        return False
    return record.errno in (ENOENT, ENOTDIR) and plan.steps[record.index][0].startswith("hold")


def group_for(limits: "tuple[tuple[str, int], ...]", rung: str) -> "Group | None":
    """A control group where one can hold these limits; None: the process's own limits must do.

    Raises Unavailable for a limit that this kernel would then not hold for this user.
    """
    group = control_group(limits, rung) if limits else None
    if group is None and os.getuid() == 0 and any(name == "processes" for name, _ in limits):
        raise Unavailable(
            ("limit on processes: the kernel exempts uid 0 from it, and no control group is ours",),
            "run as an ordinary user, or where systemd delegates a control group with `pids` "
            "(`systemd-run --scope -p Delegate=yes`), or leave this limit out",
        )
    return group


def grouped(command: Command, group: "Group | None") -> Command:
    """The same command, its limits shared out between the group and the process."""
    if group is None:
        return command
    return Command(
        command.argv, command.cwd, command.env, limits=group.left(command.limits),
        terminal=command.terminal, group=group.entry,
    )  # fmt: skip


LOADER_VARIABLES = (
    "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"
)  # fmt: skip


def check_loader(policy: Policy, outside: "Mapping[str, str]") -> None:
    """This very process was started with the caller's libraries: none may lie where commands write.

    Raises Unavailable naming the variable; a Python program cannot undo that after the fact.
    """
    writable = [path for path, access, _ in policy.rules if access == "write"]
    for name in LOADER_VARIABLES:
        for entry in outside.get(name, "").replace(" ", ":").split(":"):
            path = os.path.realpath(entry) if entry else ""
            if path and any(plan_linux.under(path, root) for root in writable):
                raise Unavailable(
                    (f"{name} names {entry}, which commands in this sandbox can write",),
                    f"start octavo without {name}",
                )


def make_plan(
    policy: Policy, session: Session, rung: str, look: "disk.Disk | None" = None
) -> "Plan | None":
    """The plan for one rung; None when the rung is not for this user or machine."""
    uid, gid, machine, abi = disk.facts()
    if rung == "native-root" and uid != 0:
        return None
    if rung == "bubblewrap" and not bubblewrap_path():
        return None
    host = Host(uid=uid, gid=gid, machine=machine, abi=abi, user_namespace=rung != "native-root")
    try:
        return plan_linux.plan(
            policy, host, look or disk.Disk(), rung=rung, temporary=session.temporary
        )
    except OSError as error:
        raise Refused(
            str(error.filename or "a path of the policy"),
            f"it changed while the sandbox was planned ({error.strerror})",
            "try again; a command that runs in the same folder may be changing it",
        ) from error


def carry_out(
    plan: "Plan | None", command: Command, session: Session, watch: "Watcher | None"
) -> "Ended | None":
    if plan is None:
        return None
    group = group_for(command.limits, plan.rung)
    try:
        ended = with_points(plan, grouped(command, group), session, watch)
        if group is not None and ended.exit_code:
            ended.limit = ended.limit or group.reached()
        return ended
    finally:
        if group is not None:
            group.close()


def with_points(plan: Plan, command: Command, session: Session, watch: "Watcher | None") -> "Ended":
    """Run with the mount points the plan wants on the host; they go again afterwards."""
    if not plan.creates and not journalled(session.journal):
        return oneshot.run(plan, command, watch)
    points = mount_points(session.journal, plan.creates)
    make_points(points, session)
    try:
        return oneshot.run(plan, command, watch)
    finally:
        points.release()


def journalled(journal: str) -> bool:
    """Is there anything in the journal that somebody may have left behind?"""
    try:
        return any(name != "lock" for name in os.listdir(journal))
    except OSError:
        return False


def make_points(points: "MountPoints", session: Session) -> None:
    """Create missing mount points, or refuse: without a journal nothing is made."""
    try:
        points.make()
    except OSError as error:
        raise Refused(
            "protected folders",
            f"{error.filename or session.journal}: {error.strerror}; the journal of mount points "
            f"is {session.journal}",
            "set OCTAVO_HOME to a folder this user can write",
            final=True,
        ) from error


def failure(plan: Plan, record: "Record | None") -> "str | None":
    """Why the sandbox could not be built; None when the command was started."""
    if record is None or record.kind in (status.EXITED, status.SPAWN_FAILED):
        return None
    what = failed_step(plan, record)
    return f"{what}: {os.strerror(record.errno)}"


def remedy_for(plan: Plan, record: "Record | None") -> str:
    """What helps when the mechanism works, but one step did not."""
    if record is None:
        return PATH_REMEDY
    failed = record.kind == status.STEP_FAILED
    if failed and record.index < len(plan.steps) and plan.steps[record.index][0] in OVERLAY_STEPS:
        return plan_linux.OVERLAY_REMEDY
    return FILES_REMEDY if record.errno == EMFILE else PATH_REMEDY


def failed_step(plan: Plan, record: "Record") -> str:
    if record.kind == status.CONFINE_FAILED:
        phase = status.PHASES[record.index]
        return "the working folder of the command" if phase == "cwd" else phase
    if record.index >= len(plan.steps):
        return "making namespaces"
    return " ".join(str(part) for part in plan.steps[record.index])


def condemned(plan: Plan, record: "Record | None") -> bool:
    """Does the failure say that this rung does not work here, rather than that a path changed?"""
    if record is None or record.errno not in MISSING_MECHANISM:
        return False
    if record.kind == status.CONFINE_FAILED:
        return status.PHASES[record.index] in (
            "proc",
            "landlock",
            "privileges",
            "filter",
            "gateway",
        )
    if record.index >= len(plan.steps):
        return True
    name = plan.steps[record.index][0]
    if name in OVERLAY_STEPS:  # the rung is good for whoever wants no overlay
        return False
    return name in MECHANISM_STEPS or record.errno in (EPERM, ENOSYS)


def environment(outside: "Mapping[str, str]", policy: Policy) -> "dict[str, str]":
    """What the command finds in its environment; the names are those existing tools look for."""
    inside = dict(outside)
    if policy.network != "on" and not policy.gateway:
        inside["CODEX_SANDBOX_NETWORK_DISABLED"] = "1"
    inside["OCTAVO_SANDBOX"] = "1"
    return inside


def bubblewrap_path() -> str:
    """An installed bubblewrap, or ""."""
    from octavo.sandbox.backends import find_bubblewrap  # noqa: PLC0415

    return find_bubblewrap()
