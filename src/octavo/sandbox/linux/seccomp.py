"""The system-call filter: a table of refused calls, compiled to classic BPF.

Pure: bytes out, nothing installed. The program is a binary decision tree over the call number,
because the kernel walks it once per number when it is installed, and on every call after.
`programs.py` holds the finished bytes of the common filters; a test compares them with this.
"""

TYPE_CHECKING = False  # `typing` costs more at start than this module
if TYPE_CHECKING:
    Block = list[tuple[int, int, int, int]]

ALLOW = 0x7FFF0000
KILL = 0x80000000
NOTIFY = 0x7FC00000
EPERM = 0x00050000 | 1
ENOSYS = 0x00050000 | 38

# BPF instruction classes, from linux/bpf_common.h
LOAD, JUMP_EQ, JUMP_SET, JUMP_GE, JUMP, RETURN, AND = 0x20, 0x15, 0x45, 0x35, 0x05, 0x06, 0x54
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64 or None where the machine lacks it), from asm/unistd.h
REFUSED: "dict[str, tuple[int, int | None]]" = {
    # reaching into other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    # mounts and roots
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    # namespaces; clone has its own test
    "unshare": (272, 97),
    "setns": (308, 268),
    # handles open files without a path
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # keyrings belong to the user, not to a namespace
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # kernel surface that building software does not need
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "vserver": (236, None),
    "afs_syscall": (183, None),
    "tuxcall": (184, None),
    "security": (185, None),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "lsm_set_self_attr": (460, 460),
}
# io_uring would open, connect and create without the calls in the table; programs expect that an
# old kernel lacks it, so it is "not there" rather than refused
ABSENT = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
STRICT_NETWORK = {
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "sendmmsg": (307, 269),
}
ARGUMENT_TESTED = {
    "ioctl": (16, 29),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "sendto": (44, 206),
    "clone": (56, 220),
    "clone3": (435, 435),
}
# calls that ask for a file system change or an open, reported when denials are watched; the
# second value is the argument that holds open(2) flags
WATCHED: "dict[str, tuple[int | None, int | None]]" = {
    "open": (2, None),
    "creat": (85, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "truncate": (76, 45),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rmdir": (84, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
# also watched when some paths may not be read
WATCHED_READS: "dict[str, tuple[int | None, int | None]]" = {
    "execve": (59, 221),
    "chdir": (80, 49),
    "readlink": (89, None),
    "readlinkat": (267, 78),
}
OPEN_FLAGS = {"open": 1, "openat": 2}
WRITING_FLAGS = 0o3 | 0o100 | 0o1000  # O_WRONLY | O_RDWR, O_CREAT, O_TRUNC
CONNECTS = {"connect": (42, 203), "bind": (49, 200)}

TIOCSTI, TIOCLINUX = 0x5412, 0x541C
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_DGRAM = 2
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME shares a bit with the exit signal
NAMESPACE_FLAGS = 0x7E020000
# what the policy server itself still needs after its own filter is in place
SERVER_NEEDS = ("clone", "mount", "move_mount", "open_tree", "mount_setattr", "socketpair")


def argument(index: int, *, high: bool = False) -> int:
    """Offset of an argument (low word first) in struct seccomp_data."""
    return 16 + 8 * index + (4 if high else 0)


def build(
    machine: str,
    network: str,
    *,
    unix: bool = False,
    nested: bool = False,
    notify: bool = False,
    reads: bool = False,
    part: str = "whole",
) -> bytes:
    """The program for one machine and policy.

    network: "off" (loopback works), "none" (no sockets but pairs), "on". unix: sockets on the file
    system allowed. nested: new namespaces allowed. notify: refusals and file changes go to a
    supervisor instead of being answered here; reads: opens for reading too. part: "whole", or
    "server" and "command" for the two layers of the warm way.
    """
    blocks = table(machine, network, unix=unix, nested=nested, notify=notify, reads=reads)
    if part == "server":
        blocks = {name: block for name, block in blocks.items() if name not in SERVER_NEEDS}
    elif part == "command":
        blocks = {name: block for name, block in blocks.items() if name in SERVER_NEEDS}
    return compile_tree(machine, {numbers(machine)[name]: block for name, block in blocks.items()})


def numbers(machine: str) -> "dict[str, int]":
    """Every call this module knows, with its number on `machine`."""
    column = 0 if machine == "x86_64" else 1
    known = REFUSED | ABSENT | STRICT_NETWORK | ARGUMENT_TESTED | WATCHED | WATCHED_READS | CONNECTS
    return {name: n for name, row in known.items() if (n := row[column]) is not None}


def table(
    machine: str, network: str, *, unix: bool, nested: bool, notify: bool, reads: bool
) -> "dict[str, Block]":
    """Which block of instructions answers which call; calls not listed are allowed."""
    have = numbers(machine)
    no = NOTIFY if notify else EPERM
    blocks: dict[str, Block] = {name: answer(no) for name in REFUSED if name in have}
    blocks |= {name: answer(ENOSYS) for name in ABSENT}
    if nested:
        for name in ("unshare", "clone3"):
            blocks.pop(name, None)
    else:
        # glibc falls back from clone3 to clone, whose flags can be seen
        blocks["clone3"] = answer(ENOSYS)
        blocks["clone"] = refuse_if_set(0, NAMESPACE_FLAGS, no)
    blocks["ioctl"] = terminal_injection(no)
    blocks |= sockets(network, no, unix=unix)
    if notify:
        blocks |= watched(have, network, blocks, reads=reads)
    return blocks


def sockets(network: str, no: int, *, unix: bool) -> "dict[str, Block]":
    if network == "none":
        blocks = {name: answer(no) for name in STRICT_NETWORK}
        # send(2) is sendto without an address: asyncio wakes itself through a pair that way
        blocks["sendto"] = [
            (LOAD, 0, 0, argument(4)),
            (JUMP_EQ, 0, 2, 0),
            (LOAD, 0, 0, argument(4, high=True)),
            (JUMP_EQ, 1, 0, 0),
            *answer(no),
            *answer(ALLOW),
        ]
        families: tuple[int, ...] = ()
    else:
        blocks = {}
        families = (AF_INET, AF_INET6, AF_NETLINK)
    blocks["socket"] = socket_families((AF_UNIX, *families) if unix else families, no)
    blocks["socketpair"] = pairs(no, datagrams=unix)
    return blocks


def socket_families(families: "tuple[int, ...]", no: int) -> "Block":
    """Allow these; netlink only with protocol 0, the routing tables that getifaddrs reads."""
    checks = [(JUMP_EQ, len(families) - i, 0, family) for i, family in enumerate(families)]
    block: Block = [(LOAD, 0, 0, argument(0)), *checks, *answer(no)]
    if AF_NETLINK in families:
        block += [
            (JUMP_EQ, 0, 3, AF_NETLINK),
            (LOAD, 0, 0, argument(2)),
            (JUMP_EQ, 1, 0, 0),
            *answer(no),
        ]
    return block + answer(ALLOW)


def pairs(no: int, *, datagrams: bool) -> "Block":
    """Unnamed pairs are harmless; a datagram pair can send to any socket by name."""
    block: Block = [(LOAD, 0, 0, argument(0)), (JUMP_EQ, 1, 0, AF_UNIX), *answer(no)]
    if not datagrams:
        block += [
            (LOAD, 0, 0, argument(1)),
            (AND, 0, 0, 0xF),
            (JUMP_EQ, 0, 1, SOCK_DGRAM),
            *answer(no),
        ]
    return block + answer(ALLOW)


def terminal_injection(no: int) -> "Block":
    """TIOCSTI and TIOCLINUX by their low 32 bits: the kernel ignores the rest."""
    return [
        (LOAD, 0, 0, argument(1)),
        (JUMP_EQ, 1, 0, TIOCSTI),
        (JUMP_EQ, 0, 1, TIOCLINUX),
        *answer(no),
        *answer(ALLOW),
    ]


def refuse_if_set(index: int, bits: int, verdict: int) -> "Block":
    return [(LOAD, 0, 0, argument(index)), (JUMP_SET, 0, 1, bits), *answer(verdict), *answer(ALLOW)]


def watched(
    have: "dict[str, int]", network: str, taken: "dict[str, Block]", *, reads: bool
) -> "dict[str, Block]":
    names = [*WATCHED, *(WATCHED_READS if reads else ()), *(CONNECTS if network == "off" else ())]
    blocks: dict[str, Block] = {}
    for name in names:
        if name not in have or name in taken:
            continue
        if name in OPEN_FLAGS and not reads:
            blocks[name] = refuse_if_set(OPEN_FLAGS[name], WRITING_FLAGS, NOTIFY)
        else:
            blocks[name] = answer(NOTIFY)
    if network == "off":
        blocks["sendto"] = notify_addressed()
    return blocks


def notify_addressed() -> "Block":
    """A datagram with an address may be a refused connection; one without is not."""
    return [
        (LOAD, 0, 0, argument(4)),
        (JUMP_EQ, 0, 2, 0),
        (LOAD, 0, 0, argument(4, high=True)),
        (JUMP_EQ, 1, 0, 0),
        *answer(NOTIFY),
        *answer(ALLOW),
    ]


def evaluate(block: "Block", args: "tuple[int, ...]") -> int:
    """The verdict of one call's block, on paper: is a watched call also a refused one?"""
    at = value = 0
    while True:
        op, yes, no, k = block[at]
        at += 1
        if op == RETURN:
            return k
        if op == LOAD:
            value = args[(k - 16) // 8] >> (32 if (k - 16) % 8 else 0) & 0xFFFFFFFF
        elif op == AND:
            value &= k
        else:
            at += yes if (value & k if op == JUMP_SET else value == k) else no


def answer(verdict: int) -> "Block":
    return [(RETURN, 0, 0, verdict)]


def compile_tree(machine: str, blocks: "dict[int, Block]") -> bytes:
    """Architecture check, then a decision tree over the call numbers in `blocks`."""
    head: Block = [
        (LOAD, 0, 0, 4),
        (JUMP_EQ, 1, 0, ARCHITECTURE[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":  # the x32 numbers would pass the table
        head += [(JUMP_GE, 0, 1, 0x40000000), (RETURN, 0, 0, ENOSYS)]
    code = head + tree(ranges(blocks))
    return b"".join(
        c.to_bytes(2, "little") + bytes((yes, no)) + k.to_bytes(4, "little")
        for c, yes, no, k in code
    )


def ranges(blocks: "dict[int, Block]") -> "list[tuple[int, Block]]":
    """(first number, block), sorted; each block covers up to the next first number."""
    found: list[tuple[int, Block]] = [(0, answer(ALLOW))]
    for number in sorted(blocks):
        if number == found[-1][0]:
            found.pop()
        found.append((number, blocks[number]))
        found.append((number + 1, answer(ALLOW)))
    merged = found[:1]
    for entry in found[1:]:  # neighbours with the same plain answer share a leaf
        if len(entry[1]) > 1 or entry[1] != merged[-1][1]:
            merged.append(entry)
    return merged


def tree(entries: "list[tuple[int, Block]]") -> "Block":
    if len(entries) == 1:
        return entries[0][1]
    middle = len(entries) // 2
    left, right = tree(entries[:middle]), tree(entries[middle:])
    if len(left) <= 255:  # a conditional jump reaches 255 instructions
        return [(JUMP_GE, len(left), 0, entries[middle][0]), *left, *right]
    return [(JUMP_GE, 0, 1, entries[middle][0]), (JUMP, 0, 0, len(left)), *left, *right]
