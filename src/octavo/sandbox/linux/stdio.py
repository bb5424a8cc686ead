"""Standard descriptors across the border.

A descriptor opened before the sandbox keeps the host's writable mount: through /proc/self/fd the
file could be opened again for writing, and fchmod would reach it. So what was opened for reading
is opened again by name inside the view and kept when it is the same file; files opened for
writing stay outside behind a pipe (see `needs_relay`), because they share their offset with others.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import sysc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal  # the real module builds enums: 3 ms
else:
    import _signal

ACCESS_MODE = 0o3
S_IFMT, S_IFREG, S_IFDIR, S_IFCHR = 0o170000, 0o100000, 0o040000, 0o020000
S_IFIFO, S_IFSOCK, S_IFBLK = 0o010000, 0o140000, 0o060000
MEMORY_DEVICES = 1  # major number of null, zero, full, random, urandom
TIOCSCTTY, TIOCSPTLCK, TIOCGPTPEER = 0x540E, 0x40045431, 0x5441


def needs_relay(fd: int) -> bool:
    """What gives the command a hold on the host must not be handed in: bytes go through a pipe.

    A file open for writing or without a name; a named pipe, whose mode could be changed; a socket,
    which could be pointed elsewhere; a device that is neither a terminal nor a memory device.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    kind = status.st_mode & S_IFMT
    if kind == S_IFREG:
        return sysc.flags_of(fd) & ACCESS_MODE != os.O_RDONLY or not has_name(fd, status)
    if kind == S_IFIFO:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("/")
    if kind == S_IFCHR:
        return os.major(status.st_rdev) != MEMORY_DEVICES
    return kind in (S_IFSOCK, S_IFBLK)


def has_name(fd: int, status: os.stat_result) -> bool:
    """Does the path the kernel remembers still lead to the same file?"""
    try:
        named = os.stat(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)


def reopen_inside() -> None:
    """Open 0, 1 and 2 again inside the view where they are files, folders or memory devices."""
    done: dict[tuple[int, int, int], int] = {}
    for fd in (0, 1, 2):
        try:
            before = os.fstat(fd)
        except OSError:
            close_gap(fd)
            continue
        kind = before.st_mode & S_IFMT
        device = kind == S_IFCHR and os.major(before.st_rdev) == MEMORY_DEVICES
        if device:  # it has no position: one opening serves all that are alike
            key = (before.st_dev, before.st_ino, sysc.flags_of(fd))
            twin = done.setdefault(key, fd)
            if twin != fd:
                os.dup2(twin, fd)
                continue
        if kind in (S_IFREG, S_IFDIR) or device:
            reopen(fd, before, device=device)


def close_gap(fd: int) -> None:
    """A closed standard descriptor would be filled by the next file the command opens."""
    null = os.open("/dev/null", os.O_RDWR)
    if null != fd:
        os.dup2(null, fd)
        os.close(null)
    os.set_inheritable(fd, True)  # noqa: FBT003 - the function's own signature


def reopen(fd: int, before: os.stat_result, *, device: bool) -> None:
    """The same file by its name inside. Raises OSError when the policy hides it: fails closed."""
    flags = sysc.flags_of(fd)
    if flags & ACCESS_MODE != os.O_RDONLY and not device:
        raise OSError(13, "a file open for writing was handed in", f"descriptor {fd}")
    path = f"/dev/{device_name(before)}" if device else os.readlink(f"/proc/self/fd/{fd}")
    keep = flags & (ACCESS_MODE | os.O_APPEND | os.O_NONBLOCK)
    inside = os.open(path, keep | os.O_CLOEXEC | os.O_NOCTTY)
    if not same_file(inside, before):
        raise OSError(13, "another file stands there inside", path)
    if not device and before.st_mode & S_IFMT == S_IFREG:
        os.lseek(inside, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(inside, fd)
    os.close(inside)


def device_name(status: os.stat_result) -> str:
    try:
        return DEVICE_NAMES[os.minor(status.st_rdev)]
    except KeyError:
        raise OSError(13, "this device must not be handed in") from None


DEVICE_NAMES = {3: "null", 5: "zero", 7: "full", 8: "random", 9: "urandom"}


def same_file(fd: int, before: os.stat_result) -> bool:
    now = os.fstat(fd)
    return (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)


def own_terminal(call: "Ioctl", standard: "tuple[int, ...]") -> int:
    """A pseudo-terminal of the sandbox's own as these descriptors; returns its master side."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    call(master, TIOCSPTLCK, (0).to_bytes(4, "little"))
    slave = call(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    call(slave, TIOCSCTTY, 0)
    for fd in standard:
        os.dup2(slave, fd)
    if slave > 2:
        os.close(slave)
    _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
    return master


if TYPE_CHECKING:
    from typing import Protocol

    class Ioctl(Protocol):
        def __call__(self, fd: int, request: int, argument: int | bytes, /) -> int: ...
