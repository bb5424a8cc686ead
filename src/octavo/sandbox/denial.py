"""Evidence -> Denial records: what was refused, by which rule, and the smallest thing that allows it.

Pure. A call is a denial when the policy says no *and* it would have worked without the sandbox:
a missing file, a folder of somebody else's or a port nobody listens on are ordinary failures.
Words in a command's output are never looked at.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

from msgspec import Struct

from octavo.policy.protect import GIT_CLOSED
from octavo.protocol.permissions import Access, RuleRef

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile


class Place(Protocol):
    """One path of a call: where it leads on the host, and what is there."""

    @property
    def path(self) -> str:
        """Symlinks followed, as the call itself would."""
        ...

    kind: str
    exists: bool
    empty: bool
    """A folder without entries."""
    ours: bool
    """It looks like a mount point that a sandbox made for a missing name."""
    owned: bool
    readable: bool
    writable: bool
    folder_exists: bool
    folder_writable: bool
    folder_ours: bool


class Attempt(Protocol):
    """One call of a confined process, as the kernel reported it."""

    @property
    def name(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def args(self) -> tuple[int, ...]: ...
    @property
    def flags(self) -> int: ...
    @property
    def places(self) -> Sequence[Place]: ...
    @property
    def address(self) -> bytes: ...
    @property
    def refused(self) -> bool:
        """The filter itself refuses it; otherwise it goes on and the kernel decides."""
        ...


Operation = Literal[
    "read", "write", "create", "delete", "rename", "link", "metadata", "execute",
    "connect", "socket", "mount", "namespace", "trace", "keyring", "terminal", "kernel",
]  # fmt: skip

O_ACCMODE, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY = 0o3, 0o100, 0o200, 0o1000, 0o200000
O_PATH, UNNAMED = 0o10000000, 0o20000000  # the latter is O_TMPFILE without O_DIRECTORY
AT_REMOVEDIR = 0x200
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
FAMILIES: Final = {AF_UNIX: "AF_UNIX", AF_INET: "AF_INET", AF_INET6: "AF_INET6", AF_NETLINK: "AF_NETLINK",
                   17: "AF_PACKET", 31: "AF_BLUETOOTH", 38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP"}  # fmt: skip
CLONE_NEWUSER = 0x10000000
# glibc asks a name service cache before it reads /etc/passwd: with exactly this type
NSCD_PROBE = 0o4000 | 0o2000000 | 1

KERNEL_CALLS: Final[dict[str, Operation]] = {
    **dict.fromkeys(("mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
                     "fsconfig", "fsmount", "fspick", "mount_setattr", "open_tree_attr"), "mount"),
    **dict.fromkeys(("unshare", "setns", "clone"), "namespace"),
    **dict.fromkeys(("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd",
                     "process_madvise"), "trace"),
    **dict.fromkeys(("add_key", "request_key", "keyctl"), "keyring"),
    "ioctl": "terminal",
    "socket": "socket",
    "socketpair": "socket",
}  # fmt: skip
# these fail for everybody but root, sandbox or not
ROOT_ONLY: Final = frozenset(
    ("mount", "umount2", "pivot_root", "chroot", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
     "mount_setattr", "open_tree", "open_tree_attr", "setns", "bpf", "perf_event_open", "fanotify_init",
     "fanotify_mark", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
     "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "settimeofday", "clock_settime",
     "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "vhangup", "iopl", "ioperm", "syslog",
     "lookup_dcookie", "open_by_handle_at", "userfaultfd")
)  # fmt: skip
# calls no kernel has any more: they fail everywhere
GONE: Final = frozenset(
    ("_sysctl", "create_module", "get_kernel_syms", "query_module", "vserver", "afs_syscall", "tuxcall",
     "security", "nfsservctl", "uselib", "sysfs", "ustat")
)  # fmt: skip


class Denial(Struct, frozen=True, kw_only=True):
    """One thing the sandbox refused."""

    operation: Operation
    subject: str
    """The path as it really is, `host:port`, a socket family, or the name of a system call."""
    rule: RuleRef
    """Where the user can find and change it."""
    grant: str
    """The smallest change that would allow it; empty when nothing can."""
    at_ms: int
    """Since the command started."""
    count: int = 1

    def __str__(self) -> str:
        line = f"{self.operation} {self.subject}: {self.rule}"
        return f"{line}; to allow: {self.grant}" if self.grant else line


class Judge:
    """Turns attempts into records; the same operation on the same subject is one record."""

    def __init__(
        self,
        profile: "EffectiveProfile",
        *,
        uid: int,
        name_service_cache: bool = False,
        waited: frozenset[tuple[str, int]] | None = None,
    ) -> None:
        self.profile = profile
        self.uid = uid
        self.name_service_cache = name_service_cache
        """A cache listens on this host; without one, glibc's question to it is no loss."""
        self.waited = waited
        """Addresses and ports at which a proxy waits in the command's own network, and tells by
        itself; EVERY_ADDRESS stands for each of IPv4. None: it has no proxy."""
        self.found: dict[tuple[str, str], Denial] = {}
        self.closed = frozenset(r.path for r in profile.rules if r.access is Access.READ)

    def note(self, attempt: Attempt, at_ms: int) -> None:
        """Judge one attempt and remember the denial, if it is one."""
        verdict = self.verdict(attempt)
        if verdict is None:
            return
        operation, subject, rule, grant = verdict
        key = (operation, subject)
        before = self.found.get(key)
        if before is None and len(self.found) >= MOST:
            return
        self.found[key] = Denial(
            operation=operation,
            subject=subject,
            rule=rule,
            grant=grant,
            at_ms=before.at_ms if before else at_ms,
            count=before.count + 1 if before else 1,
        )

    @property
    def denials(self) -> tuple[Denial, ...]:
        return tuple(self.found.values())

    def verdict(self, attempt: Attempt) -> "tuple[Operation, str, RuleRef, str] | None":
        """What was refused, or None when the call works or would have failed anyway."""
        if attempt.name in KERNEL_CALLS or attempt.refused:
            return self._kernel(attempt)
        if attempt.operation == "connect":
            return self._connect(attempt)
        for place in attempt.places:
            self._without_us(place)
        for place, operation in wanted(attempt):
            denied = self._path(place, operation)
            if denied is not None:
                return denied
        return None

    # ---- files ------------------------------------------------------------------------------

    def _without_us(self, place: Place) -> None:
        """A mount point we made keeps a name from being created: judge as if it were not there."""
        if place.ours and place.path in self.closed:
            place.exists, place.kind = False, "missing"
        if place.folder_ours and folder_of(place.path) in self.closed:
            place.folder_writable = True

    def _path(
        self, place: Place, operation: Operation
    ) -> "tuple[Operation, str, RuleRef, str] | None":
        if private(place.path):
            return None
        explained = self.profile.explain(place.path)
        needed = Access.READ if operation in ("read", "execute") else Access.WRITE
        if operation in ("delete", "rename") and explained.access is Access.WRITE:
            return self._fixed(place, operation)
        if explained.access is Access.WRITE or explained.access is needed:
            return None
        return operation, place.path, explained.rule, self._grant(place, operation, explained.rule)

    def _grant(self, place: Place, operation: Operation, rule: RuleRef) -> str:
        """What would allow it. A new, old or moved name is an entry of its folder."""
        if rule.source == "protected" and opened_by_git_write(place.path):
            return "--git-write"
        if rule.source == "protected" and operation in ("delete", "rename") and place.exists:
            return "--unprotected"  # an entry of its own would close names below it again
        access = "read" if operation in ("read", "execute") else "write"
        path, folder = place.path, folder_of(place.path)
        named = operation in ("delete", "rename", "link") or place.kind == "link"
        named = named or (operation == "create" and not place.exists)
        if access == "write" and named and self.profile.access(folder) is not Access.WRITE:
            path = folder
        return f'"{path}" = "{access}"'

    def _fixed(
        self, place: Place, operation: Operation
    ) -> "tuple[Operation, str, RuleRef, str] | None":
        """A writable folder that holds something protected stays where it is."""
        below = place.path.rstrip("/") + "/"
        for rule in self.profile.rules:
            if rule.path == place.path or rule.path.startswith(below):
                return operation, place.path, rule.ref, ""
        return None

    # ---- network and kernel -----------------------------------------------------------------

    def _connect(self, attempt: Attempt) -> "tuple[Operation, str, RuleRef, str] | None":
        address = parse_address(attempt.address, stand_ins=self.waited is not None)
        if address is None:
            return None
        if self.waited is None:
            return "connect", address, self.profile.network.ref, "--network on"
        host, _, port = address.rpartition(":")
        every = host if ":" in host else EVERY_ADDRESS
        if not self.waited.isdisjoint({(host, int(port)), (every, int(port))}):
            return None
        return "connect", address, self.profile.network.ref, f"--allow {address}"

    def _kernel(self, attempt: Attempt) -> "tuple[Operation, str, RuleRef, str] | None":
        name = attempt.name
        if name in GONE or (name in ROOT_ONLY and self.uid != 0):
            return None
        operation = KERNEL_CALLS.get(name, "kernel")
        if name in ("unshare", "clone") and self.uid != 0 and not attempt.args[0] & CLONE_NEWUSER:
            return None
        if name in ("socket", "socketpair"):
            return self._socket(attempt)
        if name in ("connect", "sendto", "sendmmsg", "bind", "listen", "accept", "accept4"):
            address = parse_address(attempt.address) if attempt.address else None
            return "connect", address or name, self.profile.network.ref, "--network on"
        grant = "--nested" if operation == "namespace" else ""
        return operation, name, FILTER, grant

    def _socket(self, attempt: Attempt) -> "tuple[Operation, str, RuleRef, str] | None":
        family, kind = attempt.args[0] & 0xFFFFFFFF, attempt.args[1] & 0xFFFFFFFF
        if (
            attempt.name == "socket"
            and family == AF_UNIX
            and kind == NSCD_PROBE
            and not self.name_service_cache
        ):
            return None
        if family in (17, 31, 44) and self.uid != 0:
            return None
        subject = FAMILIES.get(family, f"family {family}")
        if family in (AF_INET, AF_INET6):
            return "socket", subject, self.profile.network.ref, "--network on"
        grant = "--unix-sockets" if family == AF_UNIX else ""
        return "socket", subject, FILTER, grant


MOST: Final = 1000
"""Different refusals of one command; more tell nobody anything."""
EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - compared
STAND_IN, STAND_IN_BITS = 64, 0xC0
"""The second byte of an address that stands for a name, see `octavo.proxy.names`."""
MAPPED: Final = bytes(10) + b"\xff\xff"
FILTER: Final = RuleRef(text="system calls that leave the sandbox are refused", source="preset")


def wanted(attempt: Attempt) -> list[tuple[Place, Operation]]:
    """Which access each place of a call needs, leaving out what would fail without a sandbox."""
    places, kind = attempt.places, attempt.operation
    if not places:
        return []
    first = places[0]
    if kind == "open":
        return opening(first, attempt.flags)
    if kind in ("read", "search"):
        return [(first, "read")] if first.exists else []
    if kind == "execute":
        return [(first, "execute")] if first.kind == "file" else []
    if kind == "write":
        return [(first, "write")] if first.kind == "file" and first.writable else []
    if kind == "create":
        return [(first, "create")] if can_create(first) else []
    if kind == "delete":
        folder = attempt.name == "rmdir" or attempt.flags & AT_REMOVEDIR != 0
        return [(first, "delete")] if can_delete(first, folder=folder) else []
    if kind == "metadata":
        return [(first, "metadata")] if first.exists and (first.owned or first.writable) else []
    second = places[1]
    if kind == "link":
        possible = first.exists and first.kind != "dir" and can_create(second)
        return [(second, "link")] if possible else []
    if kind == "rename" and can_rename(first, second, attempt.flags):
        return [(first, "rename"), (second, "rename")]
    return []


def opening(place: Place, flags: int) -> list[tuple[Place, Operation]]:
    writes = flags & O_ACCMODE != 0 or flags & O_TRUNC != 0
    if flags & O_PATH or place.kind == "link":  # looks without opening; or a link not followed
        return []
    if flags & UNNAMED:
        return [(place, "create")] if writes and place.kind == "dir" and place.writable else []
    if flags & O_DIRECTORY and place.kind != "dir":
        return []
    if not place.exists:
        return [(place, "create")] if flags & O_CREAT and can_create(place) else []
    if flags & O_CREAT and flags & O_EXCL:
        return []
    if writes:
        return [(place, "write")] if place.kind != "dir" and place.writable else []
    return [(place, "read")] if place.readable else []


def can_create(place: Place) -> bool:
    return not place.exists and place.folder_exists and place.folder_writable


def can_delete(place: Place, *, folder: bool) -> bool:
    if not (place.exists and place.folder_writable):
        return False
    return place.empty if folder else place.kind != "dir"


def can_rename(first: Place, second: Place, flags: int) -> bool:
    if not (first.exists and first.folder_writable and second.folder_writable):
        return False
    if flags & RENAME_EXCHANGE:
        return second.exists
    if not second.exists:
        return second.folder_exists
    if flags & RENAME_NOREPLACE:
        return False
    return second.empty if first.kind == "dir" else second.kind != "dir"


def private(path: str) -> bool:
    """The sandbox has its own /dev and /proc: the host's say nothing about them."""
    return path.startswith(("/dev/", "/proc/")) and not path.startswith("/proc/sys/")


def opened_by_git_write(path: str) -> bool:
    """Inside a repository, but not what stays closed there."""
    inside = path.partition("/.git/")[2]
    return bool(inside) and inside.split("/")[0] not in GIT_CLOSED


def folder_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def parse_address(data: bytes, *, stand_ins: bool = False) -> str | None:
    """`host:port` of a socket address that is not this host's loopback; None for all others.

    `stand_ins`: those of loopback that stand for names (127.64.0.0/10) are no loopback.
    """
    if len(data) < 4:
        return None
    family = int.from_bytes(data[:2], "little")
    port = int.from_bytes(data[2:4], "big")
    if family == AF_INET and len(data) >= 8:
        host = ".".join(str(part) for part in data[4:8])
        own = data[4] == 127 and not (stand_ins and data[5] & STAND_IN_BITS == STAND_IN)
        return None if own or host == "0.0.0.0" else f"{host}:{port}"  # noqa: S104 - compared
    if family == AF_INET6 and len(data) >= 24:
        raw = data[8:24]
        if raw[:12] == MAPPED:  # a socket of version 6 that speaks version 4
            inner = AF_INET.to_bytes(2, "little") + data[2:4] + raw[12:]
            return parse_address(inner, stand_ins=stand_ins)
        if raw in (bytes(16), bytes(15) + b"\x01"):
            return None
        groups = [f"{int.from_bytes(raw[i : i + 2], 'big'):x}" for i in range(0, 16, 2)]
        return f"[{':'.join(groups)}]:{port}"
    return None
