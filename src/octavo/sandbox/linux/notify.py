"""Refused calls, as the kernel reports them: read the notification, gather the facts, answer.

The filter sends each refusal, and each call that would change a file, to this side before it is
carried out. A refusal is answered with its error. Everything else is answered "go on": the
mounts, Landlock and the network namespace decide, so it does not matter that the command could
change its arguments in between. What is gathered here only serves the report.
See seccomp_unotify(2).
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import mountpoints, seccomp, sysc

NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
NOTIF_SIZE = 80
CONTINUE = 1
EPERM = 1
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100
O_CREAT, O_EXCL, O_TRUNC, O_ACCMODE = 0o100, 0o200, 0o1000, 0o3
PATH_MAX = 4096
ADDRESS_MAX = 128

# name: (operation, [(directory argument or None, path argument)], keys of SPECIAL)
PATHS: "dict[str, tuple[str, tuple[tuple[int | None, int], ...]]]" = {
    "open": ("open", ((None, 0),)),
    "openat": ("open", ((0, 1),)),
    "openat2": ("open", ((0, 1),)),
    "creat": ("open", ((None, 0),)),
    "truncate": ("write", ((None, 0),)),
    "unlink": ("delete", ((None, 0),)),
    "unlinkat": ("delete", ((0, 1),)),
    "rmdir": ("delete", ((None, 0),)),
    "mkdir": ("create", ((None, 0),)),
    "mkdirat": ("create", ((0, 1),)),
    "mknod": ("create", ((None, 0),)),
    "mknodat": ("create", ((0, 1),)),
    "rename": ("rename", ((None, 0), (None, 1))),
    "renameat": ("rename", ((0, 1), (2, 3))),
    "renameat2": ("rename", ((0, 1), (2, 3))),
    "link": ("link", ((None, 0), (None, 1))),
    "linkat": ("link", ((0, 1), (2, 3))),
    "symlink": ("create", ((None, 1),)),
    "symlinkat": ("create", ((1, 2),)),
    "chmod": ("metadata", ((None, 0),)),
    "fchmodat": ("metadata", ((0, 1),)),
    "fchmodat2": ("metadata", ((0, 1),)),
    "chown": ("metadata", ((None, 0),)),
    "lchown": ("metadata", ((None, 0),)),
    "fchownat": ("metadata", ((0, 1),)),
    "utime": ("metadata", ((None, 0),)),
    "utimes": ("metadata", ((None, 0),)),
    "utimensat": ("metadata", ((0, 1),)),
    "futimesat": ("metadata", ((0, 1),)),
    "setxattr": ("metadata", ((None, 0),)),
    "lsetxattr": ("metadata", ((None, 0),)),
    "removexattr": ("metadata", ((None, 0),)),
    "lremovexattr": ("metadata", ((None, 0),)),
    "execve": ("execute", ((None, 0),)),
    "chdir": ("search", ((None, 0),)),
    "readlink": ("search", ((None, 0),)),
    "readlinkat": ("search", ((0, 1),)),
}
OWN_TREES = ("/dev/", "/proc/")
STANDARD = {"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}
DESCRIPTOR_FOLDERS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")
DESCRIPTORS = ("fchmod", "fchown", "fsetxattr", "fremovexattr")
ADDRESSES = {"connect": (1, 2), "sendto": (4, 5)}
# the last component itself is meant, not what a symlink there points to
NOT_FOLLOWED = (
    "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "lchown", "lsetxattr", "lremovexattr",
    "readlink", "readlinkat",
)  # fmt: skip
FLAG_ARGUMENT = {
    "open": 1,
    "openat": 2,
    "fchmodat2": 3,
    "fchownat": 4,
    "utimensat": 3,
    "unlinkat": 2,
    "renameat2": 4,
}


class Place:
    """One path of a call: where it leads on the host, and what is there."""

    __slots__ = (
        "empty",
        "exists",
        "folder_exists",
        "folder_ours",
        "folder_writable",
        "kind",
        "ours",
        "owned",
        "path",
        "readable",
        "writable",
        "written",
    )

    def __init__(self, written: str, path: str) -> None:
        self.written = written
        """As the command wrote it, made absolute."""
        self.path = path
        """Symlinks followed, as the call itself would."""
        status = stat_or_none(path)
        self.exists = status is not None
        self.kind = "missing" if status is None else KINDS.get(status.st_mode & 0o170000, "other")
        self.owned = status is not None and os.geteuid() in (0, status.st_uid)
        self.empty = self.kind == "dir" and is_empty(path)
        self.ours = looks_ours(status, empty=self.empty)
        folder = os.path.dirname(path)
        above = stat_or_none(folder)
        self.folder_ours = looks_ours(above, empty=above is not None and is_empty(folder))
        self.folder_exists = os.path.isdir(folder)
        self.folder_writable = os.access(folder, os.W_OK | os.X_OK)
        self.writable = status is not None and os.access(path, os.W_OK)
        self.readable = status is not None and os.access(path, os.R_OK)


KINDS = {
    0o040000: "dir",
    0o100000: "file",
    0o120000: "link",
    0o020000: "device",
    0o060000: "device",
}


class Attempt:
    """One call of a confined process, with what is needed to judge it."""

    __slots__ = ("address", "args", "flags", "name", "operation", "pid", "places", "refused")

    def __init__(self, name: str, operation: str, pid: int, args: "tuple[int, ...]") -> None:
        self.name = name
        self.operation = operation
        self.pid = pid
        self.args = args
        self.flags = 0
        self.places: tuple[Place, ...] = ()
        self.address = b""
        self.refused = False
        """The filter itself refuses it; otherwise the call goes on and the kernel decides."""


class Supervisor:
    """Reads a listener and answers. `on_attempt` gets each call before its answer is sent."""

    def __init__(self, listener: int, network: str, *, unix: bool, nested: bool) -> None:
        self.listener = listener
        self.table = seccomp.table(
            sysc.MACHINE, network, unix=unix, nested=nested, notify=False, reads=False
        )
        self.names = {number: name for name, number in seccomp.numbers(sysc.MACHINE).items()}

    def serve(self, on_attempt: "Callable[[Attempt], None]") -> bool:
        """Handle one notification; False when nobody is left who could send one."""
        buffer = bytearray(NOTIF_SIZE)
        try:
            sysc.ioctl(self.listener, NOTIF_RECV, sysc.address_of(buffer))
        except OSError as error:
            return error.errno in (2, 4)  # the caller was killed meanwhile, or we were interrupted
        notification = int.from_bytes(buffer[0:8], "little")
        pid = int.from_bytes(buffer[8:12], "little")
        number = int.from_bytes(buffer[16:20], "little")
        args = tuple(int.from_bytes(buffer[32 + 8 * i : 40 + 8 * i], "little") for i in range(6))
        name = self.names.get(number, f"call {number}")
        refused = name in self.table and seccomp.evaluate(self.table[name], args) != seccomp.ALLOW
        try:
            attempt = gather(name, pid, args)
            attempt.refused = refused
            if (
                sysc.attempt(sysc.NR_IOCTL, self.listener, NOTIF_ID_VALID, sysc.word(notification))
                == 0
            ):
                on_attempt(attempt)
        except OSError:  # gone, or its memory cannot be read: the call is answered all the same
            pass
        finally:
            self.answer(notification, refused=refused)
        return True

    def answer(self, notification: int, *, refused: bool) -> None:
        error, flags = (-EPERM, 0) if refused else (0, CONTINUE)
        response = (
            sysc.word(notification) + sysc.word(0) + sysc.word(error, 4) + sysc.word(flags, 4)
        )
        sysc.attempt(sysc.NR_IOCTL, self.listener, NOTIF_SEND, response)


def gather(name: str, pid: int, args: "tuple[int, ...]") -> Attempt:
    """The facts of one call. OSError when the caller is gone."""
    if name in ADDRESSES:
        attempt = Attempt(name, "connect", pid, args)
        pointer, size = ADDRESSES[name]
        attempt.address = sysc.read_memory(pid, args[pointer], min(args[size], ADDRESS_MAX))
        return attempt
    if name in DESCRIPTORS:
        attempt = Attempt(name, "metadata", pid, args)
        path = os.readlink(f"/proc/{pid}/fd/{args[0] & 0xFFFFFFFF}")
        attempt.places = (Place(path, path),) if path.startswith("/") else ()
        return attempt
    if name not in PATHS:
        return Attempt(name, name, pid, args)
    operation, where = PATHS[name]
    attempt = Attempt(name, operation, pid, args)
    attempt.flags = flags_of(name, pid, args)
    follow = follows(name, attempt.flags)
    attempt.places = tuple(
        place_of(pid, None if base is None else args[base], args[path], follow=follow)
        for base, path in where
    )
    return attempt


def flags_of(name: str, pid: int, args: "tuple[int, ...]") -> int:
    if name == "creat":
        return O_CREAT | O_TRUNC | 1
    if name == "openat2":  # struct open_how begins with the flags
        return int.from_bytes(sysc.read_memory(pid, args[2], 8), "little")
    index = FLAG_ARGUMENT.get(name)
    return 0 if index is None else args[index] & 0xFFFFFFFF


def follows(name: str, flags: int) -> bool:
    if name in NOT_FOLLOWED:
        return False
    if name in ("fchownat", "utimensat", "fchmodat2"):
        return not flags & AT_SYMLINK_NOFOLLOW
    if PATHS[name][0] == "open":
        return not (flags & O_CREAT and flags & O_EXCL) and not flags & 0o400000  # O_NOFOLLOW
    return True


def place_of(pid: int, base: "int | None", pointer: int, *, follow: bool) -> Place:
    path = read_path(pid, pointer)
    written = path
    if not path.startswith("/"):
        folder = base_folder(pid, base)
        written = f"{folder}/{path}" if path else folder
    if follow:
        written = own_descriptor(pid, os.path.normpath(written))
    return Place(
        os.path.normpath(written) if follow else tidy(written), resolve(written, follow=follow)
    )


def own_descriptor(pid: int, path: str) -> str:
    """`/dev/stderr` and its kin lead to a file of the caller, not to one of ours.

    What is no file in a folder stays as written.
    """
    folder, _, name = path.rpartition("/")
    number = STANDARD.get(path, name if folder in DESCRIPTOR_FOLDERS else "")
    if not number.isdecimal():
        return path
    target = os.readlink(f"/proc/{pid}/fd/{number}")
    return target if target.startswith("/") and os.path.lexists(target) else path


def tidy(path: str) -> str:
    return (
        os.path.normpath(path)
        if not path.endswith("/")
        else os.path.normpath(path.rstrip("/") or "/")
    )


def base_folder(pid: int, base: "int | None") -> str:
    signed = AT_FDCWD if base is None else ((base & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    link = f"/proc/{pid}/cwd" if signed == AT_FDCWD else f"/proc/{pid}/fd/{signed}"
    return os.readlink(link)


def read_path(pid: int, pointer: int) -> str:
    """A string of the process; a page boundary may end before its terminator does."""
    if pointer == 0:
        return ""
    data = b""
    while len(data) < PATH_MAX:
        step = 4096 - (pointer + len(data)) % 4096
        data += sysc.read_memory(pid, pointer + len(data), min(step, PATH_MAX - len(data)))
        end = data.find(b"\0")
        if end >= 0:
            return os.fsdecode(data[:end])
    raise OSError(36, os.strerror(36))


def resolve(path: str, *, follow: bool) -> str:
    """Where a call with this path would land, as the host sees it."""
    if path.startswith(OWN_TREES):  # the sandbox has its own; ours would lead to our own files
        return os.path.normpath(path)
    if follow:
        return os.path.realpath(path)
    folder, name = os.path.split(path.rstrip("/") or "/")
    if name in ("", ".", ".."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(folder), name)


def is_empty(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def looks_ours(status: "os.stat_result | None", *, empty: bool) -> bool:
    """As `mountpoints.create` leaves it: an empty folder or small file that nobody may write."""
    if status is None or status.st_mode & 0o222:
        return False
    return empty or status.st_size in map(len, mountpoints.CONTENT.values())


def stat_or_none(path: str) -> "os.stat_result | None":
    try:
        return os.lstat(path)
    except OSError:
        return None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
