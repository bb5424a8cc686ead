"""Inside: restrict this process for good, start the command, wait for it, report.

This is pid 1 of the command's pid namespace; when it exits the kernel ends whatever is left in
there. The order matters: Landlock forbids every later mount call, and the filter every later
namespace call, so both come after the last of those.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import landlock, status, stdio, sysc
from octavo.sandbox.linux.status import PHASES, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal  # the real module builds enums: 3 ms
    from collections.abc import Iterable, Iterator
    from typing import NoReturn
else:
    import _signal

RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_AS = 0, 1, 4, 6, 7, 9
LIMITS = {
    "cpu": RLIMIT_CPU,
    "file-size": RLIMIT_FSIZE,
    "processes": RLIMIT_NPROC,
    "files": RLIMIT_NOFILE,
    "memory": RLIMIT_AS,
}
FORWARDED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1,
             _signal.SIGUSR2, _signal.SIGTSTP, _signal.SIGCONT)  # fmt: skip
DEFAULT_AGAIN = (_signal.SIGPIPE, _signal.SIGXFSZ)  # Python ignores them; commands must not
SHELL = "/bin/sh"


class Confinement:
    """What is taken away from one command, prepared as far as possible."""

    __slots__ = ("abi", "filters", "gateway", "own_proc", "proc", "rules")

    def __init__(
        self,
        *,
        abi: int,
        rules: "Iterable[bytes]",
        filters: "list[sysc.Program]",
        proc: bool,
        own_proc: bool = False,
        gateway: "tuple[str, ...]" = (),
    ) -> None:
        self.gateway = gateway
        """Each command has a network of its own, with these ways out; see `gateway.open_gateway`."""
        self.abi = abi
        self.rules = rules
        """Landlock rules on open descriptors."""
        self.filters = filters
        self.proc = proc
        """Mount /proc of the own pid namespace; False where there is none."""
        self.own_proc = proc or own_proc
        """Somebody has mounted it already. The host's /proc must stay read-only."""


class ConfineFailed(Exception):  # noqa: N818 - carried to the caller as data
    def __init__(self, phase: str, error: OSError) -> None:
        super().__init__(phase, error)
        self.record = Record(
            status.CONFINE_FAILED, index=PHASES.index(phase), errno=error.errno or 0
        )


def privileges() -> None:
    """Nothing this process starts can gain any: no setuid, no capabilities, not by any exec."""
    sysc.prctl(sysc.PR_SET_NO_NEW_PRIVS, 1)
    if (
        os.geteuid() == 0
        or sysc.attempt(sysc.NR_PRCTL, sysc.PR_SET_SECUREBITS, sysc.SECUREBITS_LOCKED) == 0
    ):
        sysc.drop_bounding_set()
        sysc.attempt(sysc.NR_PRCTL, sysc.PR_SET_SECUREBITS, sysc.SECUREBITS_LOCKED)


def open_rules(abi: int, allowed: "tuple[tuple[str, str], ...]") -> list[bytes]:
    """Landlock rules for paths; the descriptors stay open. /proc belongs to each command."""
    return [open_rule(abi, path, access)[1] for path, access in named(allowed)]


def each_rule(abi: int, allowed: "tuple[tuple[str, str], ...]") -> "Iterator[bytes]":
    """The same one by one, each open only while it is used: a folder may have thousands of names.

    Only where nothing between here and the use changes what the paths mean.
    """
    for path, access in named(allowed):
        try:
            fd, rule = open_rule(abi, path, access)
        except FileNotFoundError:
            if (path, access) in allowed:
                raise
            continue  # a neighbour of something hidden has just gone
        try:
            yield rule
        finally:
            os.close(fd)


def named(allowed: "tuple[tuple[str, str], ...]") -> "list[tuple[str, str]]":
    """The rights that need a rule, written out around what is hidden."""
    hidden = [path for path, access in allowed if access == "none"]
    given = [rule for one in allowed for rule in around(*one, hidden)]
    return [rule for rule in given if rule[1] not in ("proc", "none")]


def open_rule(abi: int, path: str, access: str) -> "tuple[int, bytes]":
    """One right, and the descriptor it is about."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    directory = os.fstat(fd).st_mode & 0o170000 == 0o040000
    rights = landlock.rights_for(access, abi, directory=directory)
    return fd, landlock.encode_rule(fd, rights)


def around(path: str, access: str, hidden: list[str]) -> "list[tuple[str, str]]":
    """A read right without what is hidden below it: Landlock only adds, so all else is named.

    Folders on the way can be listed. What appears in one of them later cannot be read, and links in
    them need no right of their own: where they lead counts.
    """
    below = [one for one in hidden if one.startswith(path.rstrip("/") + "/")]
    if access != "read" or not below:
        return [(path, access)]
    found = [(path, "list")]
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.path not in below and not entry.is_symlink():
                found += around(entry.path, access, below)
    return found


def confine(how: Confinement) -> int:
    """Restrict this process. Returns the listener for refused calls, or -1.

    Raises ConfineFailed; the caller reports it and starts nothing.
    """
    phase = "proc"
    try:
        if how.proc:
            mount_proc()
        phase = "landlock"
        if how.abi:
            landlock.restrict(how.abi, how.rules, own_proc_rules(how))
        phase = "privileges"
        sysc.drop_capabilities()
        sysc.prctl(sysc.PR_SET_DUMPABLE, 0)
        phase = "filter"
        listener = -1
        for program in how.filters:
            listener = install(program)
    except OSError as error:
        raise ConfineFailed(phase, error) from error
    return listener


def own_proc_rules(how: Confinement) -> list[bytes]:
    """A program may write its own entries in a /proc of its own; on the host's, uid 0 owns the kernel's."""
    if not how.own_proc:
        return []
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    return [landlock.encode_rule(proc, landlock.rights_for("proc", how.abi, directory=True))]


def mount_proc() -> None:
    from octavo.sandbox.linux.view import mount_proc as mount  # noqa: PLC0415 - bare Landlock has no view

    mount(controls=os.getuid() == 0)


SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8


def install(program: "sysc.Program") -> int:
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER if program.listens else 0
    result = sysc.call(sysc.NR_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, program.header)
    return result if program.listens else -1


def join(group: int) -> None:
    """Enter a control group; everything started later is in it too. Raises ConfineFailed."""
    try:
        os.write(group, b"0")
        os.close(group)
    except OSError as error:
        raise ConfineFailed("limits", error) from error


def limit(limits: "tuple[tuple[str, int], ...]") -> None:
    sysc.limit(RLIMIT_CORE, 0, 0)
    for name, value in limits:
        # past the soft limit a program may clean up for a second; the hard one ends it
        hard = value + 1 if name == "cpu" else value
        sysc.limit(LIMITS[name], value, hard)


def hold() -> None:
    """Before a clone: signals wait. A pid 1 without handlers would lose those that come first."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, FORWARDED)


def unhold() -> None:
    """Whoever waited is heard now."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, FORWARDED)


class Ear:
    """Hears signals meant for the command, from the first moment on; tells it once it is there.

    Without it a signal that comes while the view is built would end nothing, or all without a
    word: a pid 1 ignores what it has no handler for.
    """

    __slots__ = ("child", "early")

    def __init__(self, *, ignored_by_us: "tuple[int, ...]" = ()) -> None:
        """`ignored_by_us`: signals this process ignores only because a helper of ours does."""
        self.child = 0
        self.early: list[int] = []
        for number in FORWARDED:
            if number in ignored_by_us or _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self.hear)
        unhold()

    def hear(self, number: int, _frame: object) -> None:
        if self.child:
            send_to_group(self.child, number)
        else:
            self.early.append(number)

    def attach(self, child: int) -> None:
        """The command is there: from now on, and for what came before."""
        self.child = child
        while self.early:
            send_to_group(child, self.early.pop(0))


def run(
    argv: "tuple[str, ...]",
    env: "dict[str, str]",
    cwd: str,
    report: int,
    *,
    limits: "tuple[tuple[str, int], ...]" = (),
    terminal: bool = False,
    sweep: bool = False,
    ear: "Ear | None" = None,
) -> "NoReturn":
    """Start the command in `cwd`, wait, report to the descriptor, exit. Never returns.

    `sweep`: there is no pid namespace, but signals reach only this Landlock domain: end it all.
    `ear`: has been listening since this process began.
    """
    phase = "limits"
    try:
        limit(limits)
        phase = "stdio"
        stdio.reopen_inside()
        phase = "cwd"
        os.chdir(cwd)
    except OSError as error:
        status.send(report, ConfineFailed(phase, error).record)
        os._exit(125)
    sysc.close_on_exec_from(3)
    ear = ear or Ear()
    try:
        start = start_on_terminal if terminal else start_plain
        child = spawn(argv, env, start)
    except OSError as error:
        status.send(report, Record(status.SPAWN_FAILED, errno=error.errno or 0))
        os._exit(125)
    ear.attach(child)
    status.send(report, Record(status.READY, index=status.STARTED))
    wait_status = wait_for(child, report, terminal=terminal)
    if sweep:
        end_domain()
    status.send(report, Record(status.EXITED, value=wait_status))
    os._exit(0)


def end_domain() -> None:
    """Kill everything this process may signal: in a scoped domain that is only what it started.

    One call, which no fork can outrun, unlike a walk through /proc.
    """
    try:
        os.kill(-1, sysc.SIGKILL)
    except OSError:  # nothing is left
        pass


def send_to_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except OSError:  # it has just ended
        pass


def wait_for(child: int, report: int, *, terminal: bool) -> int:
    """The command's wait status; reaps everything else that ends meanwhile."""
    options = os.WUNTRACED if terminal else 0
    while True:
        pid, wait_status = os.waitpid(-1, options)
        if pid != child:
            continue
        if os.WIFSTOPPED(wait_status):
            status.send(report, Record(status.STOPPED, value=os.WSTOPSIG(wait_status)))
            continue
        return wait_status


def spawn(argv: "tuple[str, ...]", env: "dict[str, str]", start: "Start") -> int:
    """Find the program as a shell would, and start it. OSError says why not."""
    name = argv[0]
    if not name:
        raise FileNotFoundError(2, os.strerror(2), name)
    if "/" in name:
        candidates = [name]
    else:
        folders = env.get("PATH", os.defpath).split(":")
        candidates = [f"{folder or '.'}/{name}" for folder in folders]
    refused: OSError = FileNotFoundError(2, os.strerror(2), name)
    for path in candidates:
        try:
            return start_script_too(path, argv, env, start)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            refused = error
    raise refused


def start_script_too(
    path: str, argv: "tuple[str, ...]", env: "dict[str, str]", start: "Start"
) -> int:
    """A text file without an interpreter line is a shell script, as for execvp(3)."""
    if not os.access(path, os.X_OK):
        os.stat(path)  # says whether it is missing or merely not executable
        raise PermissionError(13, os.strerror(13), path)
    if os.path.isdir(path):
        raise PermissionError(13, "is a directory", path)
    try:
        return start(path, argv, env)
    except OSError as error:
        if error.errno != 8:  # ENOEXEC
            raise
        return start(SHELL, (SHELL, path, *argv[1:]), env)


def start_plain(path: str, argv: "tuple[str, ...]", env: "dict[str, str]") -> int:
    return os.posix_spawn(path, argv, env, setpgroup=0, setsigdef=DEFAULT_AGAIN)


def start_on_terminal(path: str, argv: "tuple[str, ...]", env: "dict[str, str]") -> int:
    """As the foreground job of its terminal, which posix_spawn cannot do."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        answer = os.read(read, 4)
        os.close(read)
        if answer:
            os.waitpid(pid, 0)
            number = int.from_bytes(answer, "little")
            raise OSError(number, os.strerror(number), path)
        return pid
    try:
        os.setpgid(0, 0)
        _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
        os.tcsetpgrp(next(fd for fd in (0, 1, 2) if os.isatty(fd)), os.getpid())
        for number in (_signal.SIGTTOU, *DEFAULT_AGAIN):
            _signal.signal(number, _signal.SIG_DFL)
        os.execve(path, argv, env)
    except OSError as error:
        os.write(write, (error.errno or 0).to_bytes(4, "little"))
    finally:
        os._exit(127)


if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[[str, tuple[str, ...], dict[str, str]], int]
