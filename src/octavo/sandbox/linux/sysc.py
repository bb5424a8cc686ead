"""Linux system calls by number, for what Python does not wrap.

Standard library only, and only `_ctypes` of it: the `ctypes` package costs 2 ms at start.
Numbers and constants are those of the kernel's uapi headers; 424 and above are the same on
every architecture. Failures are OSError with the path, as the `os` functions raise them.
"""

import _ctypes
import os
import sys

assert sys.platform == "linux"

TYPE_CHECKING = False  # `typing` costs more at start than this module
if TYPE_CHECKING:
    from typing import Any

MACHINE = os.uname().machine
X86 = MACHINE == "x86_64"
SUPPORTED = MACHINE in ("x86_64", "aarch64")

# name: (x86_64, aarch64), from asm/unistd.h
_BY_MACHINE = {
    "clone": (56, 220),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "ioctl": (16, 29),
    "process_vm_readv": (310, 270),
    "setns": (308, 268),
    "unshare": (272, 97),
    "prlimit64": (302, 261),
    "socket": (41, 198),
    "fcntl": (72, 25),
}


def number(name: str) -> int:
    """The number of a call in the table above, on this machine."""
    return _BY_MACHINE[name][0 if X86 else 1]


NR_CLONE = number("clone")
NR_PRCTL = number("prctl")
NR_SECCOMP = number("seccomp")
NR_MOUNT = number("mount")
NR_UMOUNT2 = number("umount2")
NR_PIVOT_ROOT = number("pivot_root")
NR_CAPSET = number("capset")
NR_IOCTL = number("ioctl")
NR_PROCESS_VM_READV = number("process_vm_readv")
NR_PRLIMIT64 = number("prlimit64")
NR_SOCKET = number("socket")
NR_FCNTL = number("fcntl")
NR_PIDFD_SEND_SIGNAL = 424
NR_OPEN_TREE = 428
NR_MOVE_MOUNT = 429
NR_FSOPEN = 430
NR_FSCONFIG = 431
NR_FSMOUNT = 432
NR_CLOSE_RANGE = 436
NR_OPENAT2 = 437
NR_MOUNT_SETATTR = 442
NR_LANDLOCK_CREATE_RULESET = 444
NR_LANDLOCK_ADD_RULE = 445
NR_LANDLOCK_RESTRICT_SELF = 446

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
CLONE_NEWNS = 0x20000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_PIDFD = 0x1000
CLOSE_RANGE_CLOEXEC = 4
SIGCHLD = 17
SIGKILL = 9
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63  # the kernel answers EINVAL past its own last one
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock
SECUREBITS_LOCKED = 0xCF


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # not subscriptable at run time
    _type_ = "l"


class _Pointer(_ctypes._SimpleCData):  # type: ignore[type-arg]  # not subscriptable at run time
    _type_ = "P"


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # not subscriptable at run time
    _type_ = "i"


class _Syscall(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long
    _argtypes_ = (_Long, *(_Pointer,) * 6)


_program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None means this program
_raw = _Syscall(_ctypes.dlsym(_program, "syscall"))

Arg = int | bytes


def attempt(nr: int, a: Arg = 0, b: Arg = 0, c: Arg = 0, d: Arg = 0, e: Arg = 0) -> int:
    """The result of the call, or minus its errno."""
    result: int = _raw(nr, a, b, c, d, e, 0)
    return -_ctypes.get_errno() if result == -1 else result


def call(
    nr: int, a: Arg = 0, b: Arg = 0, c: Arg = 0, d: Arg = 0, e: Arg = 0, *, path: str = ""
) -> int:
    """The result of the call; OSError (with `path`, when given) if it failed."""
    result = attempt(nr, a, b, c, d, e)
    if result < 0:
        raise OSError(-result, os.strerror(-result), path or None)
    return result


def word(value: int, size: int = 8) -> bytes:
    """An integer as the kernel reads it: little endian on both machines we support."""
    return (value & ((1 << (8 * size)) - 1)).to_bytes(size, "little")


def zstring(path: str) -> bytes:
    return os.fsencode(path) + b"\0"


# ---- processes ------------------------------------------------------------------------------

_pidfd = _Int(-1)
_PIDFD_ADDRESS = _ctypes.addressof(_pidfd)


def clone(flags: int) -> tuple[int, int]:
    """Fork with namespaces. Returns (pid, pidfd) in the parent and (0, -1) in the child.

    Only for single-threaded processes: no at-fork handlers run, and the child may do nothing but
    system calls, `os` functions and `posix_spawn`.
    """
    pid = call(NR_CLONE, flags | CLONE_PIDFD | SIGCHLD, 0, _PIDFD_ADDRESS)
    return pid, (_pidfd.value if pid else -1)


def kill_by_pidfd(pidfd: int, number: int) -> bool:
    """Send a signal to exactly this process; False when it is gone."""
    return attempt(NR_PIDFD_SEND_SIGNAL, pidfd, number) == 0


def prctl(option: int, value: int = 0) -> int:
    return call(NR_PRCTL, option, value)


def close_on_exec_from(first: int) -> None:
    call(NR_CLOSE_RANGE, first, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC)


def ioctl(fd: int, request: int, argument: Arg, /) -> int:
    return call(NR_IOCTL, fd, request, argument)


F_GETFL = 3


def flags_of(fd: int) -> int:
    """A descriptor's open flags; `fcntl` would be one more module to load."""
    return call(NR_FCNTL, fd, F_GETFL)


def limit(resource: int, soft: int, hard: int) -> None:
    """Set a resource limit of this process. The caller may only lower the hard one."""
    call(NR_PRLIMIT64, 0, resource, word(soft) + word(hard))


def limits_of(resource: int) -> "tuple[int, int]":
    """The soft and the hard limit of this process."""
    found = _char_array(16)()
    call(NR_PRLIMIT64, 0, resource, 0, _ctypes.addressof(found))
    raw = bytes(found)
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")


def drop_bounding_set() -> None:
    for capability in range(LAST_CAPABILITY + 1):
        if attempt(NR_PRCTL, PR_CAPBSET_DROP, capability) < 0:
            if capability == 0:
                raise PermissionError(1, "capability bounding set cannot be dropped")
            return


def drop_capabilities() -> None:
    """All three sets of this process, to zero (version 3 header, two empty records)."""
    call(NR_CAPSET, word(0x20080522, 4) + word(0, 4), bytes(24))


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Bytes of another process of ours; shorter at the end of its mapping. OSError when refused."""
    buffer = bytearray(size)
    local = word(address_of(buffer)) + word(size)
    remote = word(address) + word(size)
    got = call(NR_PROCESS_VM_READV, pid, local, 1, remote, 1)
    return bytes(buffer[:got])


def address_of(buffer: bytearray) -> int:
    """Where a buffer lives, for calls that fill it. The caller keeps it alive."""
    return _ctypes.addressof(_char_array(len(buffer)).from_buffer(buffer))


_ARRAYS: "dict[int, Any]" = {}


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]  # not subscriptable at run time
    _type_ = "B"


def _char_array(size: int) -> "Any":  # noqa: ANN401 - a type made at run time
    found = _ARRAYS.get(size)
    if found is None:
        found = _ARRAYS[size] = type("Bytes", (_ctypes.Array,), {"_type_": _Byte, "_length_": size})
    return found


class Program:
    """A seccomp program in memory the kernel can read: struct sock_fprog and its instructions."""

    def __init__(self, code: bytes, *, listens: bool = False) -> None:
        self.listens = listens
        self._keep = _char_array(len(code))(*code)
        self.header = word(len(code) // 8, 2) + bytes(6) + word(_ctypes.addressof(self._keep))


# ---- mounts ---------------------------------------------------------------------------------


def open_beneath(root_fd: int, path: str) -> int:
    """An O_PATH descriptor for `path` under `root_fd`, refusing every symlink on the way.

    A symlink as the last component is opened itself. OSError(ELOOP) if one stands in the middle.
    """
    flags = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
    how = word(flags) + word(0) + word(RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT)
    return call(NR_OPENAT2, root_fd, zstring(path), how, 24, path=path)


def clone_tree(fd: int, *, recursive: bool, path: str = "") -> int:
    """A detached copy of the mount at `fd` (with the mounts below it), as a descriptor."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    return call(NR_OPEN_TREE, fd, b"\0", flags, path=path)


def attach(mount_fd: int, target_fd: int, *, path: str = "") -> None:
    """Mount a detached tree over what `target_fd` names."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    call(NR_MOVE_MOUNT, mount_fd, b"\0", target_fd, b"\0", flags, path=path)


def set_mount(fd: int, attributes: int, *, recursive: bool = True, path: str = "") -> None:
    """Set mount attributes and make the mount private, so nothing propagates into it."""
    record = word(attributes) + word(0) + word(MS_PRIVATE) + word(0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call(NR_MOUNT_SETATTR, fd, b"\0", flags, record, 32, path=path)


def new_filesystem(kind: str, options: dict[str, str | None], attributes: int) -> int:
    """A new file system of `kind`, mounted nowhere yet, as a descriptor."""
    context = call(NR_FSOPEN, zstring(kind), 1, path=kind)
    try:
        for key, value in options.items():
            if value is None:
                call(NR_FSCONFIG, context, FSCONFIG_SET_FLAG, zstring(key), path=kind)
            else:
                call(
                    NR_FSCONFIG,
                    context,
                    FSCONFIG_SET_STRING,
                    zstring(key),
                    zstring(value),
                    path=kind,
                )
        call(NR_FSCONFIG, context, FSCONFIG_CMD_CREATE, path=kind)
        return call(NR_FSMOUNT, context, 1, attributes, path=kind)
    finally:
        os.close(context)
