"""Every kind of refused call gives exactly one record, every ordinary failure none.

Each script makes one kernel call inside a real sandbox; the record must name the operation, the
real path or address, the rule with its file and line, and the smallest grant. The scripts that
can do no harm are also run without a sandbox, where each has to work: a denial is what the
sandbox took away, not what would have failed anyway.
"""

import os
import sys
from dataclasses import dataclass

import pytest

if sys.platform != "linux":
    pytest.skip("denials come from the Linux kernel here", allow_module_level=True)

from octavo import PermissionProfile, Sandbox
from sandbox.denial_room import LINES, MACHINE, NUMBERS, Room, room

pytestmark = pytest.mark.linux

ROOT = os.getuid() == 0
X86 = MACHINE == "x86_64"
RULES = {
    "root": '":root" = "read"',
    "closed": 'closed" = "read"',
    "hidden": 'hidden" = "deny"',
    "secret": 'secret" = "deny"',
    "network": "enabled = false",
}


@dataclass(frozen=True)
class Kind:
    """One kind of denial: a call, and the record it has to give."""

    name: str
    body: str
    operation: str
    subject: str
    rule: str
    grant: str = ""
    needs: str = ""
    """A kernel call that only some machines have."""
    free: bool = True
    """May also be tried without a sandbox, where it works."""
    root: bool | None = None
    """Only for uid 0 (True) or only for others (False)."""


def kind(name, body, operation, subject, rule="root", **more):
    grants = {"root": '"{}" = "{}"', "hidden": '"{}" = "{}"', "secret": '"{}" = "{}"',
              "closed": '"{}" = "{}"', "network": "--network on"}  # fmt: skip
    if "grant" not in more:
        more["grant"] = grants.get(rule, "")
    return Kind(name, body, operation, subject, rule, **more)


WRITING = [
    kind("open for writing only", "os.close(call('openat', CWD, O + '/file', 1, 0))", "write", "O/file"),
    kind("open for reading and writing", "call('openat', CWD, O + '/file', 2, 0)", "write", "O/file"),
    kind("open and create", "call('openat', CWD, O + '/new', 0o101, 0o644)", "create", "O/new"),
    kind("open and truncate", "call('openat', CWD, O + '/file', 0o1001, 0)", "write", "O/file"),
    kind("open for reading, truncating", "call('openat', CWD, O + '/file', 0o1000, 0)", "write", "O/file"),
    kind("open for appending", "call('openat', CWD, O + '/file', 0o2001, 0)", "write", "O/file"),
    kind("create exclusively", "call('openat', CWD, O + '/new', 0o301, 0o644)", "create", "O/new"),
    kind("an unnamed file", "call('openat', CWD, O + '/dir', 0o20200002, 0o600)", "create", "O/dir"),
    kind("the old open", "call('open', O + '/file', 1, 0)", "write", "O/file", needs="open"),
    kind("openat below a folder",
         "call('openat', os.open(O, os.O_RDONLY), 'file', 1, 0)", "write", "O/file"),
    kind("openat2", "call('openat2', CWD, O + '/file', (1).to_bytes(24, 'little'), 24)",
         "write", "O/file"),
    kind("openat2 that creates",
         "call('openat2', CWD, O + '/new', (0o101).to_bytes(8, 'little') + (0o644).to_bytes(16, 'little'), 24)",
         "create", "O/new"),
    kind("creat", "call('creat', O + '/new', 0o644)", "create", "O/new", needs="creat"),
    kind("creat over a file", "call('creat', O + '/file', 0o644)", "write", "O/file", needs="creat"),
    kind("truncate", "call('truncate', O + '/file', 0)", "write", "O/file"),
    kind("a relative path upwards", "call('openat', CWD, '../outside/file', 1, 0)", "write", "O/file"),
    kind("through a symlink to outside", "call('openat', CWD, W + '/link_out', 1, 0)", "write", "O/file"),
    kind("below the protected .git", "call('openat', CWD, W + '/.git/HEAD', 1, 0)",
         "write", "W/.git/HEAD", "protected", grant="--git-write"),
    kind("a new hook", "call('openat', CWD, W + '/.git/hooks/pre-commit', 0o101, 0o755)",
         "create", "W/.git/hooks/pre-commit", "protected", grant="--git-write"),
    kind("the git settings", "call('openat', CWD, W + '/.git/config', 1, 0)",
         "write", "W/.git/config", "protected"),
    kind("a file closed by its own rule", "call('openat', CWD, W + '/a/b/closed/file', 1, 0)",
         "write", "W/a/b/closed/file", "closed"),
]  # fmt: skip

NAMES = [
    kind("unlink", "call('unlink', O + '/file')", "delete", "O/file", needs="unlink"),
    kind("unlinkat", "call('unlinkat', os.open(O, os.O_RDONLY), 'file', 0)", "delete", "O/file"),
    kind("unlink a symlink itself", "call('unlinkat', CWD, O + '/link', 0)", "delete", "O/link"),
    kind("rmdir", "call('rmdir', O + '/dir')", "delete", "O/dir", needs="rmdir"),
    kind("unlinkat of a folder", "call('unlinkat', CWD, O + '/dir', 0x200)", "delete", "O/dir"),
    kind("mkdir", "call('mkdir', O + '/new', 0o755)", "create", "O/new", needs="mkdir"),
    kind("mkdirat", "call('mkdirat', os.open(O, os.O_RDONLY), 'new', 0o755)", "create", "O/new"),
    kind("mknod of a pipe", "call('mknod', O + '/new', 0o010644, 0)", "create", "O/new", needs="mknod"),
    kind("mknodat of a pipe", "call('mknodat', CWD, O + '/new', 0o010644, 0)", "create", "O/new"),
    kind("rename", "call('rename', O + '/file', O + '/new')", "rename", "O/file", needs="rename"),
    kind("renameat", "call('renameat', CWD, O + '/file', CWD, O + '/new')", "rename", "O/file"),
    kind("rename into the workspace", "call('renameat2', CWD, O + '/file', CWD, W + '/new', 0)",
         "rename", "O/file"),
    kind("rename out of the workspace", "call('renameat2', CWD, W + '/own', CWD, O + '/new', 0)",
         "rename", "O/new"),
    kind("exchange two names", "call('renameat2', CWD, O + '/file', CWD, O + '/other', 2)",
         "rename", "O/file"),
    kind("link", "call('link', O + '/file', O + '/new')", "link", "O/new", needs="link"),
    kind("linkat", "call('linkat', CWD, O + '/file', CWD, O + '/new', 0)", "link", "O/new"),
    kind("symlink", "call('symlink', 'file', O + '/new')", "create", "O/new", needs="symlink"),
    kind("symlinkat", "call('symlinkat', 'file', CWD, O + '/new')", "create", "O/new"),
    kind("rename a protected folder", "call('renameat2', CWD, W + '/.git', CWD, W + '/old', 0)",
         "rename", "W/.git", "protected", grant="--git-write"),
    kind("rename a folder that holds a closed one",
         "call('renameat2', CWD, W + '/a', CWD, W + '/old', 0)", "rename", "W/a", "closed", grant=""),
    kind("replace a folder that holds a closed one",
         "call('renameat2', CWD, W + '/own_dir', CWD, W + '/a', 2)", "rename", "W/a", "closed", grant=""),
]  # fmt: skip

METADATA = [
    kind("chmod", "call('chmod', O + '/file', 0o600)", "metadata", "O/file", needs="chmod"),
    kind("fchmod on a file opened for reading",
         "call('fchmod', os.open(O + '/file', os.O_RDONLY), 0o600)", "metadata", "O/file"),
    kind("fchmodat", "call('fchmodat', CWD, O + '/file', 0o600)", "metadata", "O/file"),
    kind("fchmodat2", "call('fchmodat2', CWD, O + '/file', 0o600, 0)", "metadata", "O/file",
         needs="fchmodat2"),
    kind("chown", "call('chown', O + '/file', os.getuid(), os.getgid())", "metadata", "O/file",
         needs="chown"),
    kind("lchown of a symlink", "call('lchown', O + '/link', os.getuid(), os.getgid())",
         "metadata", "O/link", needs="lchown"),
    kind("fchown", "call('fchown', os.open(O + '/file', os.O_RDONLY), os.getuid(), os.getgid())",
         "metadata", "O/file"),
    kind("fchownat", "call('fchownat', CWD, O + '/file', os.getuid(), os.getgid(), 0)",
         "metadata", "O/file"),
    kind("utime", "call('utime', O + '/file', 0)", "metadata", "O/file", needs="utime"),
    kind("utimes", "call('utimes', O + '/file', 0)", "metadata", "O/file", needs="utimes"),
    kind("utimensat", "call('utimensat', CWD, O + '/file', 0, 0)", "metadata", "O/file"),
    kind("utimensat on a descriptor",
         "call('utimensat', os.open(O + '/file', os.O_RDONLY), 0, 0, 0)", "metadata", "O/file"),
    kind("setxattr", "call('setxattr', O + '/file', 'user.new', b'1', 1, 0)", "metadata", "O/file"),
    kind("lsetxattr", "call('lsetxattr', O + '/file', 'user.new', b'1', 1, 0)", "metadata", "O/file"),
    kind("fsetxattr",
         "call('fsetxattr', os.open(O + '/file', os.O_RDONLY), 'user.new', b'1', 1, 0)",
         "metadata", "O/file"),
    kind("removexattr", "call('removexattr', O + '/file', 'user.mark')", "metadata", "O/file"),
    kind("fremovexattr", "call('fremovexattr', os.open(O + '/file', os.O_RDONLY), 'user.mark')",
         "metadata", "O/file"),
]  # fmt: skip

READING = [
    kind("read a hidden file", "call('openat', CWD, O + '/secret', 0, 0)", "read", "O/secret", "secret"),
    kind("write a hidden file", "call('openat', CWD, O + '/secret', 1, 0)", "write", "O/secret", "secret"),
    kind("read in a hidden folder", "call('openat', CWD, H + '/file', 0, 0)", "read", "H/file", "hidden"),
    kind("list a hidden folder", "call('openat', CWD, H, 0o200000, 0)", "read", "H", "hidden"),
    kind("go into a hidden folder", "call('chdir', H)", "read", "H", "hidden"),
    kind("execute a hidden program",
         "words = (ctypes.c_char_p * 2)(b'program', None)\n"
         "if os.fork() == 0:\n"
         "    try:\n"
         "        call('execve', H + '/program', words, (ctypes.c_char_p * 1)(None))\n"
         "    finally:\n"
         "        os._exit(1)\n"
         "if os.waitstatus_to_exitcode(os.wait()[1]):\n"
         "    raise OSError(13, 'execve')",
         "execute", "H/program", "hidden"),
    kind("follow a hidden symlink",
         "call('readlinkat', CWD, H + '/link', ctypes.create_string_buffer(100), 100)",
         "read", "H/link", "hidden"),
    kind("read through a symlink to a hidden file", "call('openat', CWD, W + '/link_hidden', 0, 0)",
         "read", "H/file", "hidden"),
]  # fmt: skip

NETWORK = [
    kind("a connection to an address",
         "call('connect', call('socket', 2, 1, 0), address(2, 80, bytes((192, 0, 2, 1))), 16)",
         "connect", "192.0.2.1:80", "network", free=False),
    kind("a connection to an address of version 6",
         "call('connect', call('socket', 10, 1, 0),"
         " address(10, 443, bytes.fromhex('20010db8000000000000000000000001')), 28)",
         "connect", "[2001:db8:0:0:0:0:0:1]:443", "network", free=False),
    kind("a datagram to an address",
         "call('sendto', call('socket', 2, 2, 0), b'x', 1, 0, address(2, 53, bytes((192, 0, 2, 1))), 16)",
         "connect", "192.0.2.1:53", "network", free=False),
    kind("a socket on the file system", "call('socket', 1, 1, 0)", "socket", "AF_UNIX", "filter",
         grant="--unix-sockets"),
    kind("a pair that could send by name", "call('socketpair', 1, 2, 0, ctypes.create_string_buffer(8))",
         "socket", "AF_UNIX", "filter", grant="--unix-sockets"),
    kind("netlink that is not about routes", "call('socket', 16, 3, 15)", "socket", "AF_NETLINK", "filter"),
    kind("a socket to the host of a virtual machine", "call('socket', 40, 1, 0)",
         "socket", "AF_VSOCK", "filter", free=False),
    kind("the kernel's ciphers", "call('socket', 38, 5, 0)", "socket", "AF_ALG", "filter", free=False),
]  # fmt: skip

KERNEL = [
    kind("a user namespace", "call('unshare', 0x10000000)", "namespace", "unshare", "filter",
         grant="--nested", free=False),
    kind("a mount namespace", "call('unshare', 0x20000)", "namespace", "unshare", "filter",
         grant="--nested", free=False, root=True),
    kind("a clone into a user namespace",
         "if call('clone', 0x10000000 | 17, 0, 0, 0, 0) == 0:\n    os._exit(0)",
         "namespace", "clone", "filter", grant="--nested", free=False),
    kind("tracing", "call('ptrace', 0, 0, 0, 0)", "trace", "ptrace", "filter"),
    kind("reading another process's memory",
         "call('process_vm_readv', os.getpid(), 0, 0, 0, 0, 0)", "trace", "process_vm_readv", "filter"),
    kind("writing another process's memory",
         "call('process_vm_writev', os.getpid(), 0, 0, 0, 0, 0)", "trace", "process_vm_writev", "filter"),
    kind("comparing processes", "call('kcmp', os.getpid(), os.getpid(), 0, 0, 0)",
         "trace", "kcmp", "filter", free=False),
    kind("adding a key", "call('add_key', 'user', 'octavo', b'x', 1, -1)", "keyring", "add_key", "filter",
         free=False),
    kind("reading a keyring", "call('keyctl', 0, -3, 0)", "keyring", "keyctl", "filter", free=False),
    kind("typing into a terminal", "call('ioctl', 0, 0x5412, b'x')", "terminal", "ioctl", "filter", free=False),
    kind("a file handle",
         "call('name_to_handle_at', CWD, O + '/file', (120).to_bytes(128, 'little'),"
         " ctypes.create_string_buffer(8), 0)",
         "kernel", "name_to_handle_at", "filter", free=False),
    kind("moving pages", "call('move_pages', 0, 0, 0, 0, 0, 0)", "kernel", "move_pages", "filter"),
    kind("bpf", "call('bpf', 0, bytes(64), 64)", "kernel", "bpf", "filter", free=False, root=True),
    kind("a mount", "call('mount', 'none', O + '/dir', 'tmpfs', 0, 0)", "mount", "mount", "filter",
         free=False, root=True),
    kind("an unmount", "call('umount2', O, 0)", "mount", "umount2", "filter", free=False, root=True),
    kind("another root", "call('chroot', O)", "mount", "chroot", "filter", free=False, root=True),
    kind("a new file system", "call('fsopen', 'tmpfs', 0)", "mount", "fsopen", "filter", free=False, root=True),
    kind("the machine's name", "call('sethostname', 'octavo', 6)", "kernel", "sethostname", "filter",
         free=False, root=True),
    kind("a namespace of another process", "call('setns', os.open('/proc/self/ns/mnt', 0), 0)",
         "namespace", "setns", "filter", grant="--nested", free=False, root=True),
    kind("performance counters", "call('perf_event_open', bytes(128), 0, -1, -1, 0)",
         "kernel", "perf_event_open", "filter", free=False, root=True),
    kind("a kernel setting", "call('openat', CWD, '/proc/sys/kernel/hostname', 1, 0)",
         "write", "/proc/sys/kernel/hostname", "root", free=False, root=True),
]  # fmt: skip

KINDS = [*WRITING, *NAMES, *METADATA, *READING, *NETWORK, *KERNEL]


def here(kinds):
    """Kinds this machine and this user can be asked about, each with its name."""

    def fits(one):
        return (not one.needs or one.needs in NUMBERS) and one.root in (None, ROOT)

    return [pytest.param(one, id=one.name) for one in kinds if fits(one)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with room(tmp_path_factory.mktemp("denials")) as made:
        yield made


def check_record(place: Room, expected: Kind, denials) -> None:
    subject = place.tree.named(expected.subject)
    assert [(d.operation, d.subject, d.count) for d in denials] == [(expected.operation, subject, 1)]
    denial = denials[0]
    access = "read" if expected.operation in ("read", "execute") else "write"
    assert denial.grant == expected.grant.format(subject, access)
    assert 0 <= denial.at_ms < 20_000
    if expected.rule in LINES:
        assert denial.rule.source == "config"
        assert (denial.rule.file, denial.rule.line) == (str(place.config), LINES[expected.rule])
        assert RULES[expected.rule] in denial.rule.text
    elif expected.rule == "filter":
        assert denial.rule.source == "preset"
        assert "system calls" in denial.rule.text
    else:
        assert denial.rule.source == expected.rule


def test_at_least_forty_kinds_are_scripted():
    assert len(here(KINDS)) >= 40
    assert len({one.name for one in KINDS}) == len(KINDS)


@pytest.mark.parametrize("expected", here(KINDS))
def test_a_refused_call_gives_exactly_one_record(place, expected):
    before = place.contents()
    done = place.provoke(expected.body)
    assert done.output.text.startswith("refused"), done.output.text
    check_record(place, expected, done.denials)
    assert place.contents() == before


@pytest.mark.parametrize("expected", here([one for one in KINDS if one.free]))
def test_the_same_call_works_without_a_sandbox(place, expected):
    assert place.without_sandbox(expected.body) == "worked"
