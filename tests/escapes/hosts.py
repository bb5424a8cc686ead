"""Pretend to be another kind of host: a filter around everything, and perhaps another user.

As uid 0 a filter can be installed without giving up privileges, so what runs below it meets the
refusals of a container, an old kernel or a hardened one, and can still try everything else.
Used as a program: `python hosts.py NAME[,NAME] UID -- CMD...`.
"""

import ctypes
import os
import struct
import sys

X86 = os.uname().machine == "x86_64"
EPERM, ENOSPC, ENOSYS = 1, 28, 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NAMESPACES, NEWUSER = 0x7E020000, 0x10000000
CLONE, UNSHARE = (56, 272) if X86 else (220, 97)
CLONE3 = 435


def number(x86_64, aarch64):
    return x86_64 if X86 else aarch64


MOUNTS = (
    number(165, 40),
    number(166, 39),
    number(155, 41),
    number(308, 268),
    *range(428, 434),
    442,
)
HOSTS = {  # name: [(call, bits of its first argument or 0 for any, errno)]
    "docker": [
        (CLONE, NAMESPACES, EPERM), (UNSHARE, 0, EPERM), (CLONE3, 0, ENOSYS),
        *((call, 0, EPERM) for call in MOUNTS),
    ],
    "no-user-namespaces": [(CLONE, NEWUSER, EPERM), (UNSHARE, NEWUSER, EPERM), (CLONE3, 0, ENOSYS)],
    "no-namespaces-left": [(CLONE, NEWUSER, ENOSPC), (UNSHARE, NEWUSER, ENOSPC), (CLONE3, 0, ENOSYS)],
    "old-kernel": [(442, 0, ENOSYS), (428, 0, ENOSYS), (467, 0, ENOSYS)],
    "no-landlock": [(call, 0, ENOSYS) for call in (444, 445, 446)],
}  # fmt: skip


def program(names):
    """Classic BPF, one check after the other; calls not named are allowed."""
    code = [(LOAD, 0, 0, 0)]
    for name in names:
        for call, bits, error in HOSTS[name]:
            if bits:
                code += [(EQUAL, 0, 4, call), (LOAD, 0, 0, 16), (ANY_BIT, 0, 1, bits),
                         (RETURN, 0, 0, ERRNO | error), (LOAD, 0, 0, 0)]  # fmt: skip
            else:
                code += [(EQUAL, 0, 1, call), (RETURN, 0, 0, ERRNO | error)]
    code.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in code)


def become(names, uid):
    """Install the filter and change the user; everything started from here on lives with both."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program(names))
    header = struct.pack("HxxxxxxQ", (len(code) - 1) // 8, ctypes.addressof(code))
    if os.getuid() != 0:
        libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, ctypes.create_string_buffer(header), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter could not be installed")
    if uid != os.getuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    become(sys.argv[1].split(","), int(sys.argv[2]))
    os.execvp(sys.argv[4], sys.argv[4:])
