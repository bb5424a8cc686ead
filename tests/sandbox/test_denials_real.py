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
    "closed": '" = "read"',
    "hidden": '" = "deny"',
    "secret": '" = "deny"',
    "network": "network off",
}
"""How the text of each rule ends; a long path in it is shortened."""


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
    """A new, removed or moved name needs its folder; everything else the path itself."""
    if "grant" not in more and rule in ("root", "closed", "hidden", "secret"):
        access = "read" if operation in ("read", "execute") else "write"
        folder = operation in ("create", "delete", "rename", "link")
        more["grant"] = f"{os.path.dirname(subject) if folder else subject} {access}"
    if rule == "network":
        more["grant"] = "--network on"
    return Kind(name, body, operation, subject, rule, **more)


WRITING = [
    kind("open for writing only", "os.close(call('openat', CWD, O + '/file', 1, 0))", "write", "O/file"),
    kind("open for reading and writing", "call('openat', CWD, O + '/file', 2, 0)", "write", "O/file"),
    kind("open and create", "call('openat', CWD, O + '/new', 0o101, 0o644)", "create", "O/new"),
    kind("open and truncate", "call('openat', CWD, O + '/file', 0o1001, 0)", "write", "O/file"),
    kind("open for reading, truncating", "call('openat', CWD, O + '/file', 0o1000, 0)", "write", "O/file"),
    kind("open for appending", "call('openat', CWD, O + '/file', 0o2001, 0)", "write", "O/file"),
    kind("create exclusively", "call('openat', CWD, O + '/new', 0o301, 0o644)", "create", "O/new"),
    kind("an unnamed file", "call('openat', CWD, O + '/dir', 0o20200002, 0o600)", "create", "O/dir",
         grant="O/dir write"),
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
    kind("a descriptor opened again for writing",
         "call('openat', CWD, '/proc/self/fd/%d' % os.open(O + '/file', 0), 1, 0)", "write", "O/file"),
    kind("below the protected .git", "call('openat', CWD, W + '/.git/HEAD', 1, 0)",
         "write", "W/.git/HEAD", "protected", grant="--git-write"),
    kind("a new hook", "call('openat', CWD, W + '/.git/hooks/pre-commit', 0o101, 0o755)",
         "create", "W/.git/hooks/pre-commit", "protected", grant="W/.git/hooks write"),
    kind("a new object", "call('openat', CWD, W + '/.git/index.lock', 0o101, 0o644)",
         "create", "W/.git/index.lock", "protected", grant="--git-write"),
    kind("the git settings", "call('openat', CWD, W + '/.git/config', 1, 0)",
         "write", "W/.git/config", "protected", grant="W/.git/config write"),
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
    kind("link of a symlink", "call('linkat', CWD, O + '/link', CWD, O + '/new', 0)", "link", "O/new"),
    kind("link", "call('link', O + '/file', O + '/new')", "link", "O/new", needs="link"),
    kind("linkat", "call('linkat', CWD, O + '/file', CWD, O + '/new', 0)", "link", "O/new"),
    kind("symlink", "call('symlink', 'file', O + '/new')", "create", "O/new", needs="symlink"),
    kind("symlinkat", "call('symlinkat', 'file', CWD, O + '/new')", "create", "O/new"),
    kind("rename a protected folder", "call('renameat2', CWD, W + '/.git', CWD, W + '/old', 0)",
         "rename", "W/.git", "protected", grant="--unprotected"),
    kind("make a missing protected folder", "call('mkdirat', CWD, W + '/.codex', 0o755)",
         "create", "W/.codex", "protected", grant="W/.codex write"),
    kind("put a folder in the place of a missing protected one",
         "call('renameat2', CWD, W + '/own_dir', CWD, W + '/.agents', 0)",
         "rename", "W/.agents", "protected", grant="W/.agents write"),
    kind("a link as a missing protected folder", "call('symlinkat', 'own_dir', CWD, W + '/.codex')",
         "create", "W/.codex", "protected", grant="W/.codex write"),
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
         "metadata", "O/link", needs="lchown", grant="O write"),
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
    kind("a version 4 address on a socket of version 6",
         "call('connect', call('socket', 10, 1, 0),"
         " address(10, 80, bytes(10) + bytes((255, 255, 192, 0, 2, 1))), 28)",
         "connect", "192.0.2.1:80", "network", free=False),
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


def grant_text(place: Room, grant: str) -> str:
    """`O/file write` as the record says it."""
    if grant.startswith("--") or not grant:
        return grant
    path, access = grant.rsplit(" ", 1)
    return f'"{place.tree.named(path)}" = "{access}"'


def check_record(place: Room, expected: Kind, denials) -> None:
    subject = place.tree.named(expected.subject)
    assert [(d.operation, d.subject, d.count) for d in denials] == [
        (expected.operation, subject, 1)
    ]
    denial = denials[0]
    assert denial.grant == grant_text(place, expected.grant)
    assert 0 <= denial.at_ms < 20_000
    if expected.rule in LINES:
        assert denial.rule.source == "config"
        assert (denial.rule.file, denial.rule.line) == (str(place.config), LINES[expected.rule])
        assert denial.rule.text.endswith(RULES[expected.rule])
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


# what helps ------------------------------------------------------------------------------------

GRANTED = (
    "open for writing only", "open and create", "an unnamed file", "unlinkat", "unlinkat of a folder",
    "mkdirat", "renameat", "linkat", "symlinkat", "fchmodat", "lchown of a symlink", "utimensat",
    "read a hidden file", "read in a hidden folder", "list a hidden folder", "a new hook",
    "the git settings", "make a missing protected folder",
    "a file closed by its own rule",
)  # fmt: skip


@pytest.mark.parametrize("expected", [p for p in here(KINDS) if p.id in GRANTED])
def test_the_grant_lets_the_same_call_work(tmp_path, place, expected):
    with room(tmp_path) as fresh:
        line = grant_text(fresh, expected.grant)
        table = "[permissions.case.filesystem]\n"
        others = [
            rule for rule in fresh.config.read_text().splitlines(keepends=True)
            if not rule.startswith(line.partition(" = ")[0] + " = ")
        ]  # fmt: skip
        fresh.config.write_text("".join(others).replace(table, f"{table}{line}\n"))
        done = fresh.provoke(expected.body)
        assert done.output.text == "worked"
        assert done.denials == ()


@pytest.mark.parametrize("body", [
    "call('openat', CWD, W + '/.git/HEAD', 1, 0)",
    "call('openat', CWD, W + '/.git/index.lock', 0o101, 0o644)",
])  # fmt: skip
def test_git_write_lets_git_write_what_the_grant_said(tmp_path, body):
    with room(tmp_path) as fresh:
        done = fresh.provoke(body, sandbox=Sandbox.workspace_write(git_write=True))
        assert (done.output.text, done.denials) == ("worked", ())


def test_without_protection_a_protected_folder_can_be_moved(tmp_path):
    with room(tmp_path) as fresh:
        sandbox = Sandbox.workspace_write(protect=False)
        body = "call('renameat2', CWD, W + '/.git', CWD, W + '/old', 0)"
        done = fresh.provoke(body, sandbox=sandbox)
        assert (done.output.text, done.denials) == ("worked", ())


def test_the_same_refusal_many_times_is_one_record_with_a_count(place):
    done = place.provoke("for _ in range(7):\n    os.path.exists(O) and os.access(O, 2)\n"
                         "    try:\n        call('openat', CWD, O + '/file', 1, 0)\n"
                         "    except OSError:\n        pass")  # fmt: skip
    assert [(d.subject, d.count) for d in done.denials] == [(place.tree.named("O/file"), 7)]


def test_records_come_in_the_order_of_the_calls(place):
    body = "for name in ('other', 'file', 'full/inner'):\n    try:\n        os.chmod(O + '/' + name, 0)\n    except OSError:\n        pass"
    names = [d.subject.rpartition("outside/")[2] for d in place.provoke(body).denials]
    assert names == ["other", "file", "full/inner"]


# ordinary failures -----------------------------------------------------------------------------

ORDINARY = {
    "a missing file": "call('openat', CWD, O + '/missing', 0, 0)",
    "a missing file, for writing": "call('openat', CWD, O + '/missing', 1, 0)",
    "a missing folder above": "call('openat', CWD, O + '/missing/new', 0o101, 0o644)",
    "a file in the middle of a path": "call('openat', CWD, O + '/file/new', 0o101, 0o644)",
    "a name that exists": "call('openat', CWD, O + '/file', 0o301, 0o644)",
    "a folder that exists": "call('mkdirat', CWD, O + '/dir', 0o755)",
    "a link that exists": "call('symlinkat', 'x', CWD, O + '/file')",
    "a folder opened for writing": "call('openat', CWD, O + '/dir', 1, 0)",
    "a folder removed that has something in it": "call('unlinkat', CWD, O + '/full', 0x200)",
    "a folder removed as a file": "call('unlinkat', CWD, O + '/dir', 0)",
    "a file removed as a folder": "call('unlinkat', CWD, O + '/file', 0x200)",
    "a missing name removed": "call('unlinkat', CWD, O + '/missing', 0)",
    "a missing name renamed": "call('renameat2', CWD, O + '/missing', CWD, O + '/new', 0)",
    "a rename that must not replace": "call('renameat2', CWD, O + '/file', CWD, O + '/other', 1)",
    "an exchange with a missing name": "call('renameat2', CWD, O + '/file', CWD, O + '/missing', 2)",
    "a folder renamed over a file": "call('renameat2', CWD, O + '/dir', CWD, O + '/file', 0)",
    "a file renamed over a folder": "call('renameat2', CWD, O + '/file', CWD, O + '/dir', 0)",
    "a folder renamed over a full one": "call('renameat2', CWD, O + '/dir', CWD, O + '/full', 0)",
    "a hard link to a folder": "call('linkat', CWD, O + '/dir', CWD, O + '/new', 0)",
    "a symlink that must not be followed": "call('openat', CWD, O + '/link', 0o400001, 0)",
    "a file that has to be a folder": "call('openat', CWD, O + '/file', 0o200001, 0)",
    "a mode of a missing file": "call('fchmodat', CWD, O + '/missing', 0o600)",
    "a closed descriptor": "call('fchmod', 99, 0o600)",
    "a truncated folder": "call('truncate', O + '/dir', 0)",
    "a descriptor opened for reading, written": "os.write(os.open(O + '/file', 0), b'x')",
    "a path that is empty": "call('openat', CWD, '', 1, 0)",
    "a path that is too long": "call('openat', CWD, O + '/x' * 3000, 0o101, 0o644)",
    "a pointer to nowhere": "call('openat', CWD, 8, 0o101, 0o644)",
    "a port nobody listens on": "call('connect', call('socket', 2, 1, 0), address(2, 1, bytes((127, 0, 0, 1))), 16)",
    "a port nobody listens on, version 6":
        "call('connect', call('socket', 10, 1, 0), address(10, 1, bytes(15) + bytes((1,))), 28)",
    "a loopback address on a socket of version 6":
        "call('connect', call('socket', 10, 1, 0),"
        " address(10, 1, bytes(10) + bytes((255, 255, 127, 0, 0, 1))), 28)",
    "an address that is not ours": "call('bind', call('socket', 2, 1, 0), address(2, 0, bytes((192, 0, 2, 1))), 16)",
    "a connection without an address": "call('connect', call('socket', 2, 1, 0), bytes(1), 1)",
    "a pipe nobody reads": "r, w = os.pipe()\nos.close(r)\nos.write(w, b'x')",
    "a missing process": "os.kill(999_999, 15)",
    "no child": "os.wait()",
    "a missing program": "os.execv(O + '/missing', ['missing'])",
    "a program that is a folder": "os.execv(O + '/dir', ['dir'])",
    "a program that may not be executed": "os.execv(O + '/file', ['file'])",
    "a folder that is a file": "os.chdir(O + '/file')",
    "a missing key in the environment": "os.unsetenv('=')",
    "io_uring, which looks absent": "call('io_uring_setup', 1, ctypes.create_string_buffer(200))",
}  # fmt: skip

AS_ORDINARY_USER = {
    "a file of root": "call('openat', CWD, '/etc/passwd', 1, 0)",
    "a folder of root": "call('mkdirat', CWD, '/etc/octavo', 0o755)",
    "the mode of a file of root": "call('fchmodat', CWD, '/etc/passwd', 0o777)",
    "a mount": "call('mount', 'none', O, 'tmpfs', 0, 0)",
    "the machine's name": "call('sethostname', 'x', 1)",
    "a mount namespace without a user namespace": "call('unshare', 0x20000)",
    "another root": "call('chroot', O)",
    "a kernel module": "call('init_module', 0, 0, b'')",
    "loading a program into the kernel": "call('bpf', 5, bytes(64), 64)",
    "raw packets": "call('socket', 17, 3, 0)",
}


def test_at_least_twenty_ordinary_failures_are_scripted():
    assert len(ORDINARY) >= 20


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_failure_gives_no_record(place, name):
    done = place.provoke(ORDINARY[name])
    assert done.output.text.startswith("refused"), done.output.text
    assert done.denials == ()


@pytest.mark.parametrize("name", [name for name in ORDINARY if "looks absent" not in name])
def test_an_ordinary_failure_fails_without_a_sandbox_too(place, name):
    assert place.without_sandbox(ORDINARY[name]).startswith("refused")


@pytest.mark.skipif(ROOT, reason="root may do these without a sandbox")
@pytest.mark.parametrize("name", AS_ORDINARY_USER)
def test_what_an_ordinary_user_may_never_do_gives_no_record(place, name):
    done = place.provoke(AS_ORDINARY_USER[name])
    assert done.output.text.startswith("refused"), done.output.text
    assert done.denials == ()


COMMANDS = {
    "ls": "ls -la / /etc /usr/bin",
    "id": "id",
    "find": "find /etc -name 'passwd*'",
    "a pipe that breaks": "yes | head -1",
    "git": "git init -q repo && cd repo && git status --short && git log -1",
    "python": f"{sys.executable} -c pass",
    "a temporary file": "f=$(mktemp ./x.XXXX) && rm $f",
    "copying": "cp -a /etc/passwd mine && mv mine other && ln -s other link && rm other link",
    "an archive": "tar cf a.tar own && tar tf a.tar",
    "make": "printf 'all:\n\techo made > made\n' > Makefile && make -s && cat made",
    "exit": "exit 3",
    "a signal": "kill -TERM $$",
    "words only": "echo 'Permission denied'; echo 'Read-only file system' >&2; exit 1",
    "cat of a missing file": "cat /missing/file",
    "date and uname": "date; uname -a; hostname; nproc; df .; free; ps",
    "redirection to null": "echo x > /dev/null; cat < /dev/null; echo y >> /dev/stderr",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_an_ordinary_command_gives_no_record(tmp_path, place, name):
    os.makedirs(folder := f"{place.tree.work}/{name.replace(' ', '-')}")
    (open(f"{folder}/own", "w")).close()
    done = place.run(["sh", "-c", f"cd {folder} && {COMMANDS[name]}"])
    assert [str(d) for d in done.denials] == [], done.output.text


def test_words_in_the_output_are_never_evidence(place):
    text = "sh: cannot create /etc/x: Read-only file system\nOperation not permitted\n"
    done = place.run(["printf", text])
    assert (done.exit_code, done.output.text, done.denials) == (0, text, ())


# A name is looked up by sending to the servers in /etc/resolv.conf. Where those are other hosts,
# the lookup is a refused connection and is reported; where this host answers itself, it is not.
def test_a_failed_name_lookup_names_the_servers_that_could_not_be_asked(place):
    with open("/etc/resolv.conf") as file:
        servers = [
            line.split()[1] for line in file if line.startswith("nameserver") and line.split()[1:]
        ]
    body = "import socket\ntry:\n    socket.getaddrinfo('host.example', 80)\nexcept socket.gaierror:\n    raise OSError(113, 'name')"
    done = place.provoke(body)
    assert done.output.text.startswith("refused")
    outside = {f"{s}:53" for s in servers[:3] if ":" not in s and not s.startswith("127.")}
    asked = {d.subject for d in done.denials if ":" in d.subject}
    assert asked <= outside
    assert bool(asked) == bool(outside)
    assert {d.operation for d in done.denials} <= {"connect"}


# other policies, other rungs, other doors ------------------------------------------------------

STRICT = {
    "a socket": ("call('socket', 2, 1, 0)", "socket", "AF_INET"),
    "a socket of version 6": ("call('socket', 10, 2, 0)", "socket", "AF_INET6"),
    "routing tables": ("call('socket', 16, 3, 0)", "socket", "AF_NETLINK"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRICT)
def test_without_any_network_the_socket_itself_is_refused_once(place, name):
    body, operation, subject = STRICT[name]
    done = place.provoke(body, sandbox=Sandbox.from_profile(place.profile, strict_network=True))
    assert done.output.text == "refused EPERM"
    assert [(d.operation, d.subject, d.count) for d in done.denials] == [(operation, subject, 1)]


def test_a_rule_of_a_program_says_so(place):
    mapping = {"filesystem": {":root": "read", ":cwd": "write"}}
    sandbox = Sandbox.from_profile(PermissionProfile.from_mapping(mapping))
    (denial,) = place.provoke("os.mkdir(O + '/new')", sandbox=sandbox).denials
    assert (denial.rule.source, denial.rule.file) == ("program", None)


def test_a_rule_of_a_mode_says_so(place):
    (denial,) = place.provoke("os.mkdir(O + '/new')", sandbox=Sandbox.read_only()).denials
    assert (denial.rule.source, denial.rule.text) == ("preset", '":root" = "read"')


def test_nobody_is_asked_when_denials_are_not_watched(place):
    done = place.provoke("os.mkdir(O + '/new')", watch_denials=False)
    assert (done.output.text, done.denials) == ("refused EROFS", ())


ON_LANDLOCK = {
    "a file": ("call('openat', CWD, O + '/file', 1, 0)", "write", "O/file"),
    "a new file": ("call('openat', CWD, O + '/new', 0o101, 0o644)", "create", "O/new"),
    "a removed file": ("call('unlinkat', CWD, O + '/file', 0)", "delete", "O/file"),
    "a new folder": ("call('mkdirat', CWD, O + '/new', 0o755)", "create", "O/new"),
    "a renamed file": ("call('renameat2', CWD, O + '/file', CWD, O + '/new', 0)", "rename", "O/file"),
    "a truncated file": ("call('truncate', O + '/file', 0)", "write", "O/file"),
    "a socket": ("call('socket', 2, 1, 0)", "socket", "AF_INET"),
    "tracing": ("call('ptrace', 0, 0, 0, 0)", "trace", "ptrace"),
    "a user namespace": ("call('unshare', 0x10000000)", "namespace", "unshare"),
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    with room(tmp_path_factory.mktemp("bare"), rungs=("landlock",)) as made:
        yield made


@pytest.mark.parametrize("name", ON_LANDLOCK)
def test_landlock_alone_gives_the_same_records(bare, name):
    body, operation, subject = ON_LANDLOCK[name]
    mapping = {"filesystem": {":root": "read", ":cwd": "write"}, "network": False}
    rules = PermissionProfile.from_mapping({**mapping, "protect_metadata": False})
    done = bare.provoke(body, sandbox=Sandbox.from_profile(rules))
    assert done.rung == "landlock"
    assert done.output.text.startswith("refused"), done.output.text
    wanted = [(operation, bare.tree.named(subject), 1)]
    assert [(d.operation, d.subject, d.count) for d in done.denials] == wanted
