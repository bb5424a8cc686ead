"""What the short way and the warm way share: a plan's fields, its namespaces, its filter."""

import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import status, sysc
from octavo.sandbox.linux.programs import PROGRAMS
from octavo.sandbox.linux.status import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    Request = tuple[Any, ...]

    class Command(Protocol):
        """A command as the inside needs it: `spec.Command`, or one that came over the wire."""

        argv: tuple[str, ...]
        cwd: str
        env: dict[str, str]
        limits: tuple[tuple[str, int], ...]
        terminal: bool
        group: int

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
        gateway: tuple[str, ...]


BASE_NAMESPACES = sysc.CLONE_NEWNS | sysc.CLONE_NEWIPC | sysc.CLONE_NEWPID
NAMESPACE_STEP = 0xFFFF  # the clone itself, before the first step
TIOCSWINSZ = 0x5414
FIELDS = ("rung", "steps", "landlock", "network", "unix", "nested", "notify", "reads", "gateway")


class Frozen:
    """A plan as it came over the wire: the fields the inside needs."""

    def __init__(self, fields: "tuple[Any, ...]") -> None:
        self.rung: str
        self.steps: tuple[tuple[str, ...], ...]
        self.landlock: tuple[tuple[str, str], ...]
        self.network: str
        self.unix: bool
        self.nested: bool
        self.notify: bool
        self.reads: bool
        self.gateway: tuple[str, ...]
        for name, value in zip(FIELDS, fields, strict=True):
            setattr(self, name, value)


class Asked:
    """A command as it came over the wire."""

    def __init__(self, fields: "Request") -> None:
        self.argv, self.env, self.cwd, self.limits, self.terminal = fields
        self.group = -1


def frozen_fields(plan: object) -> "tuple[object, ...]":
    return tuple(getattr(plan, name) for name in FIELDS)


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


def never_inside() -> Record:
    """bubblewrap ended before our Python ran; it has said why on stderr."""
    return Record(status.STEP_FAILED, index=NAMESPACE_STEP, errno=1)


def set_window(terminal: int, rows: int, cols: int) -> None:
    """Tell a terminal its size; the kernel tells the programs on it."""
    size = b"".join(n.to_bytes(2, "little") for n in (rows, cols, 0, 0))
    sysc.ioctl(terminal, TIOCSWINSZ, size)
