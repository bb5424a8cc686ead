"""The same view through an installed bubblewrap, where only that program may make namespaces.

It makes the namespaces and mounts; then our own Python inside adds what it lacks (Landlock, the
filter, limits) and starts the command, as pid 1. Arguments travel in a memory file: their number
on a command line is limited, and they would show in /proc.
"""

import marshal
import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import init, landlock, relay_child, shared, status
from octavo.sandbox.linux.shared import Frozen, frozen_fields
from octavo.sandbox.linux.status import Record
from octavo.sandbox.linux.view import PROC_CONTROLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from octavo.sandbox.linux.shared import Command, Plan, Request

PROGRAMS = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from octavo.sandbox.linux.bubblewrap import inside; inside()"
)
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))


def find() -> str:
    """An installed bubblewrap, by absolute path only: PATH may lead into a workspace. "" if none."""
    for path in PROGRAMS:
        if os.access(path, os.X_OK):
            return path
    return ""


def arguments(plan: "Plan", empty_file: int) -> "list[str]":
    """The plan's steps as bubblewrap's operations, in the same order."""
    words = ["--die-with-parent", "--as-pid-1", "--unshare-pid", "--unshare-ipc"]
    if plan.network != "on":
        words.append("--unshare-net")
    late: list[str] = []
    if any(step[0] == "new-root" for step in plan.steps):
        words += ["--tmpfs", "/", *own_files(plan)]
    for name, *rest in plan.steps:
        args = [str(part) for part in rest]
        if name == "seal":
            words += ["--ro-bind" if rest[0] else "--bind", "/", "/"]
        elif name == "new-root":
            late += ["--remount-ro", "/"]
        elif name == "devices":
            words += ["--dev", "/dev", "--tmpfs", "/dev/shm"]
        elif name in ("pin", "read"):
            words += ["--ro-bind", args[0], args[0]]
        elif name in ("write", "pin-open"):
            words += ["--bind", args[0], args[0]]
        elif name == "symlink":
            words += ["--symlink", args[1], args[0]]
        elif name == "mask":
            words += mask(args[0], args[1], rest[2], empty_file)
            late += ["--remount-ro", args[0]] if args[1] == "dir" else []
        elif name == "link":
            raise OSError(95, "bubblewrap cannot fix a symlink in place", args[0])
    words += ["--proc", "/proc"]
    if os.getuid() == 0:
        for control in PROC_CONTROLS:
            path = "/proc/" + control
            words += ["--ro-bind", path, path] if os.path.exists(path) else []
    return words + late


def own_files(plan: "Plan") -> "list[str]":
    """Our Python starts inside, so an empty root needs it and its library, read-only.

    Not where a rule hides them: then nothing starts. `plan_linux.weaker_view` says so to people.
    """
    hidden = [str(step[1]) for step in plan.steps if step[0] == "mask"]
    words = []
    for path in (sys.base_prefix, os.path.join(_PACKAGES, "octavo")):
        real = os.path.realpath(path)
        if real != "/usr" and not any((real + "/").startswith(name + "/") for name in hidden):
            words += ["--ro-bind", real, path]
    return words


def mask(path: str, kind: str, places: object, empty_file: int) -> "list[str]":
    if kind != "dir":
        return ["--perms", "0000", "--ro-bind-data", str(empty_file), path]
    assert isinstance(places, tuple)
    words = ["--perms", "0111" if places else "0000", "--tmpfs", path]
    for place in places:
        relative, _, _ = place.rpartition(":")
        words += ["--perms", "0111", "--dir", os.path.dirname(path + relative)]
    return words


def become(
    plan: "Plan", command: "Command", report: int, terminals: "tuple[int, ...]"
) -> "NoReturn":
    """Replace this process by bubblewrap with our Python inside. Never returns."""
    try:
        empty = memory_file(b"", "octavo-empty")
        words = arguments(plan, empty)
        blob = "\0".join(words).encode(errors="surrogateescape")
        listed = memory_file(blob, "octavo-arguments")
        fields = (command.argv, command.env, command.cwd, command.limits, command.terminal)
        asked: Any = (frozen_fields(plan), fields, terminals)
        request = memory_file(marshal.dumps(asked), "octavo-request")
        program = find()
        python = os.path.realpath(sys.executable)  # of a virtual environment: what is behind it
        argv = [program, "--args", str(listed), "--", python, "-I", "-S", "-c", START,
                _PACKAGES, str(request), str(report)]  # fmt: skip
        for fd in (empty, listed, request, report):
            os.set_inheritable(fd, True)  # noqa: FBT003 - the function's own signature
        # a clean environment: its own libraries must not come from the caller's
        os.execve(program, argv, {"PATH": os.defpath})
    except OSError as error:
        status.send(report, Record(status.STEP_FAILED, index=0xFFFF, errno=error.errno or 0))
    finally:
        os._exit(125)


def memory_file(data: bytes, name: str) -> int:
    fd = os.memfd_create(name, 0)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def inside() -> None:
    """Entry point inside bubblewrap: read the request, restrict, become the command's pid 1."""
    request_fd, report = int(sys.argv[-2]), int(sys.argv[-1])
    os.set_inheritable(report, False)  # noqa: FBT003
    size = os.fstat(request_fd).st_size
    fields, request, terminals = marshal.loads(os.pread(request_fd, size, 0))  # noqa: S302 - from our own side
    os.close(request_fd)
    status.send(report, Record(status.READY, index=status.INSIDE))
    try:
        if terminals:
            os.setsid()
        plan = Frozen(fields)
        if plan.gateway:
            way_out(plan.gateway[0], report)
        restrict(plan, report, terminals)
        start(request, report)
    except init.ConfineFailed as failure:
        status.send(report, failure.record)
    finally:
        os._exit(125)


def way_out(way: str, report: int) -> None:
    """Only to the proxy: what catches other connections takes rights that nobody has in here."""
    from octavo.sandbox.linux import gateway  # noqa: PLC0415 - few commands have hosts

    try:
        gateway.hand_over(report, [gateway.listening(way)])
    except OSError as error:
        raise init.ConfineFailed("gateway", error) from error


def restrict(plan: Frozen, report: int, terminals: "tuple[int, ...]") -> None:
    abi = landlock.abi() if plan.landlock else 0
    try:
        rules = init.open_rules(abi, plan.landlock)
        init.privileges()
        filters = shared.programs(plan)
    except OSError as error:
        raise init.ConfineFailed("landlock", error) from error
    how = init.Confinement(abi=abi, rules=rules, filters=filters, proc=False, own_proc=True)
    if terminals or plan.notify:
        relay_child.confine(how, report, terminals)
    else:
        init.confine(how)


def start(request: "Request", report: int) -> None:
    argv, env, cwd, limits, terminal = request
    init.run(argv, env, cwd, report, limits=limits, terminal=bool(terminal))


def inner(pid: int) -> int:
    """The pid of our Python inside, as the host sees it: bubblewrap passes no signals on."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            found = file.read(64).split()
        return int(found[0]) if found else pid
    except OSError:
        return pid
