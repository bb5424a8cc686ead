"""Limits on memory and processes for a whole command, by a control group of its own.

Only version 2, and only where this user was given a part of the tree (systemd does that for user
sessions and for services with `Delegate=`). A resource limit counts one process, or all of a
user's; a group counts the command and everything it starts. Nothing is made without a limit.
"""

import os
import sys

assert sys.platform == "linux"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], str]

CONTROLLERS = {"memory": "memory", "processes": "pids"}
"""Limits by name, and the controller that holds each."""
OWN_PROCESSES = {"native": 1, "native-root": 1, "bubblewrap": 2, "landlock": 2}
"""Ours that live in the group beside the command."""
EMPTY_TRIES = 200
"""Killed processes leave the group a moment later."""
EMPTY_PAUSE_S = 0.01


def read(path: str) -> str:
    """A small control file, "" when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def wanted(limits: "tuple[tuple[str, int], ...]") -> "dict[str, int]":
    """The limits a group would hold."""
    return {name: value for name, value in limits if name in CONTROLLERS}


def delegated(names: "tuple[str, ...]", read_file: "Read" = read) -> str:
    """A folder of the group tree where groups with these limits can be made; "" without one."""
    own = own_group(read_file)
    if not own:
        return ""
    needed = {CONTROLLERS[name] for name in names}
    for folder in (os.path.dirname(own), own):
        enabled = read_file(folder + "/cgroup.subtree_control").split()
        # to move in, the common ancestor's list of processes must be writable too
        if needed <= set(enabled) and os.access(folder + "/cgroup.procs", os.W_OK):
            return folder
    return ""


def own_group(read_file: "Read" = read) -> str:
    """Where the group of this process is on the file system; "" without version 2."""
    mount = root = ""
    for line in read_file("/proc/self/mountinfo").splitlines():
        fields = line.split()
        if "-" in fields and fields[fields.index("-") + 1] == "cgroup2":
            root, mount = fields[3], fields[4]
            break
    for line in read_file("/proc/self/cgroup").splitlines():
        if mount and line.startswith("0::"):
            path = line[3:]
            if root != "/" and (path + "/").startswith(root + "/"):
                path = path[len(root) :]
            return (mount + path).rstrip("/") or "/"
    return ""


class Group:
    """One command's group. `entry` is for the command to write itself into; `close` ends it all."""

    def __init__(self, path: str, limits: "dict[str, int]", own: int) -> None:
        """Make the group. Raises OSError, with nothing left behind, when the kernel refuses."""
        self.path = path
        os.mkdir(path, 0o755)
        try:
            for name, text in settings(limits, own):
                put(f"{path}/{name}", text)
            self.entry = os.open(path + "/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            os.rmdir(path)
            raise

    @staticmethod
    def left(limits: "tuple[tuple[str, int], ...]") -> "tuple[tuple[str, int], ...]":
        """The limits that stay with the process itself."""
        return tuple(pair for pair in limits if pair[0] not in CONTROLLERS)

    def reached(self) -> "str | None":
        """The limit the command ran into, if any: "memory" or "processes"."""
        memory = events(read(self.path + "/memory.events"))
        pids = events(read(self.path + "/pids.events"))
        if memory.get("oom_kill"):
            return "memory"
        return "processes" if pids.get("max") else None

    def close(self) -> None:
        """End what is still in it, and remove it."""
        os.close(self.entry)
        try:
            put(self.path + "/cgroup.kill", "1")
        except OSError:  # before Linux 5.14; the sandbox has ended its processes anyway
            pass
        import time  # noqa: PLC0415 - only commands with such limits come here

        for _ in range(EMPTY_TRIES):
            try:
                os.rmdir(self.path)
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(EMPTY_PAUSE_S)  # noqa: TID251 - the kernel offers nothing to wait on here
            else:
                return


def settings(limits: "dict[str, int]", own: int) -> "list[tuple[str, str]]":
    """Control files and their values, in the order they are written."""
    found = []
    if "memory" in limits:
        found += [
            ("memory.max", str(limits["memory"])),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
        ]
    if "processes" in limits:
        found.append(("pids.max", str(limits["processes"] + own)))
    return found


def events(text: str) -> "dict[str, int]":
    """`name count` lines."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except FileNotFoundError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


_made = 0


def make(limits: "tuple[tuple[str, int], ...]", rung: str) -> "Group | None":
    """A group that holds these limits, or None: nothing of the kind asked for, or not delegated."""
    global _made  # noqa: PLW0603 - names must differ within one process
    asked = wanted(limits)
    folder = delegated(tuple(asked)) if asked else ""
    if not folder:
        return None
    _made += 1
    try:
        return Group(f"{folder}/octavo-{os.getpid()}-{_made}", asked, OWN_PROCESSES[rung])
    except OSError:
        return None
