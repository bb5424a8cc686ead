"""The attempts themselves: run by a plain interpreter, with or without a sandbox around it.

Standard library only, nothing of ours. Each function is one attempt; its argument holds what
`targets.py` prepared for it. Adding one is a function with a decorator: the kind of target it is
aimed at, and what is needed for it to work at all. What it prints does not matter: whoever
prepared the target looks whether it was touched.
"""

# ruff: noqa: SIM105, SIM115, T201
# each attempt is a short-lived process of its own, kept as plain as an attacker would write it;
# what it prints is read by whoever debugs

import ctypes
import json
import mmap
import os
import platform
import shutil
import signal
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_MOVE = 1, 32, 4096, 16384, 8192
NUMBERS = {  # name: (x86_64, aarch64)
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97),
    "setns": (308, 268), "clone": (56, 220), "clone3": (435, 435), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "mount_setattr": (442, 442), "openat2": (437, 437), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "renameat2": (316, 276), "fchmodat2": (452, 452),
    "setxattrat": (463, 463), "file_setattr": (469, 469), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "process_vm_writev": (311, 271), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "ioprio_set": (251, 30), "ptrace": (101, 117),
    "shmget": (29, 194), "shmat": (30, 196), "semop": (65, 193), "msgsnd": (69, 189),
    "mq_open": (240, 180), "mq_timedsend": (242, 182), "add_key": (248, 217),
    "keyctl": (250, 219), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "fanotify_init": (300, 262), "kcmp": (312, 272),
    "modify_ldt": (154, -1), "sendmmsg": (307, 269), "syslog": (103, 116),
    "quotactl": (179, 60), "sethostname": (170, 161), "chroot": (161, 51),
    "process_madvise": (440, 440), "getpid": (39, 172),
}  # fmt: skip
ATTEMPTS = {}


def content(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


class Attempt:
    def __init__(self, run, target, needs, weak):
        self.run = run
        self.name = run.__name__
        self.target = target
        self.needs = needs
        self.weak = weak

    def untestable(self):
        """Why it cannot work on this host even without a sandbox; "" when it should."""
        root = os.getuid() == 0
        for need in self.needs:
            if need == "root" and not root:
                return "needs uid 0"
            if need == "user" and root:
                return "needs an ordinary user"
            if need == "x86" and not X86:
                return "needs x86-64"
            if (
                need == "tracing"
                and not root
                and content("/proc/sys/kernel/yama/ptrace_scope") > "0"
            ):
                return "this kernel lets users trace only their own children"
            if need.startswith("file:") and not os.path.exists(need[5:]):
                return "needs " + need[5:]
            if need.startswith("kernel:"):
                wanted = tuple(int(n) for n in need[7:].split("."))
                if tuple(int(n) for n in os.uname().release.split(".")[:2]) < wanted:
                    return "needs Linux " + need[7:]
        return ""


def attempt(target, *needs, weak=""):
    """`weak`: the words with which the Landlock rung owns up to not holding this."""

    def register(run):
        assert run.__name__ not in ATTEMPTS, run.__name__
        ATTEMPTS[run.__name__] = Attempt(run, target, needs, weak)
        return run

    return register


def call(name, *arguments):
    """A system call by name. OSError when it fails."""
    number = NUMBERS[name][0 if X86 else 1]
    words = [a if isinstance(a, (bytes, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) for a in arguments]  # fmt: skip
    result = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def write_to(path, flags=0):
    fd = os.open(path, os.O_WRONLY | flags)
    os.write(fd, b"changed")
    os.close(fd)


MODES, XATTRS = "file modes, owners and times", "extended attributes"

# ---- contents ---------------------------------------------------------------------------------


@attempt("tree")
def open_for_writing(t):
    write_to(t.file)


@attempt("tree")
def open_for_appending(t):
    write_to(t.file, os.O_APPEND)


@attempt("tree")
def open_with_truncation(t):
    os.close(os.open(t.file, os.O_RDONLY | os.O_TRUNC))


@attempt("tree")
def truncate_by_path(t):
    os.truncate(t.file, 1)


@attempt("tree")
def write_through_a_symlink(t):
    write_to(t.link)


@attempt("tree")
def write_through_a_new_symlink(t):
    link = t.scratch + "/new-link"
    os.symlink(t.file, link)
    write_to(link)


@attempt("tree")
def write_through_proc_self_fd(t):
    fd = os.open(t.file, os.O_RDONLY)
    write_to(f"/proc/self/fd/{fd}")


@attempt("tree")
def write_through_a_path_descriptor(t):
    fd = os.open(t.file, os.O_PATH)
    write_to(f"/proc/self/fd/{fd}")


@attempt("tree")
def write_relative_to_a_directory_descriptor(t):
    folder = os.open(t.dir, os.O_RDONLY | os.O_DIRECTORY)
    os.write(os.open("file", os.O_WRONLY, dir_fd=folder), b"changed")


@attempt("tree")
def write_through_proc_self_root(t):
    write_to("/proc/self/root" + t.file)


@attempt("tree", "root", "optional")
def write_through_proc_1_root(t):
    write_to("/proc/1/root" + t.file)


@attempt("tree")
def write_through_the_root_of_any_process(t):
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                write_to(f"/proc/{name}/root{t.file}")
            except OSError:
                pass


@attempt("tree")
def write_through_proc_self_cwd(t):
    os.chdir(t.dir)
    write_to("/proc/self/cwd/file")


@attempt("tree")
def write_with_openat2(t):
    how = struct.pack("QQQ", os.O_WRONLY, 0, 0)
    os.write(call("openat2", AT_FDCWD, t.file.encode() + b"\0", how, len(how)), b"changed")


@attempt("tree")
def write_through_a_shared_mapping(t):
    fd = os.open(t.file, os.O_RDWR)
    with mmap.mmap(fd, 4, mmap.MAP_SHARED) as memory:
        memory[:4] = b"mmap"


@attempt("tree")
def write_after_mprotect(t):
    fd = os.open(t.file, os.O_RDONLY)
    try:
        fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    finally:
        with mmap.mmap(fd, 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            memory[:4] = b"mmap"


@attempt("tree")
def copy_file_range_into(t):
    source = os.open("/etc/passwd", os.O_RDONLY)
    os.copy_file_range(source, os.open(t.file, os.O_WRONLY), 8)


@attempt("tree")
def sendfile_into(t):
    os.sendfile(os.open(t.file, os.O_WRONLY), os.open("/etc/passwd", os.O_RDONLY), 0, 8)


@attempt("tree")
def splice_into(t):
    read, write = os.pipe()
    os.write(write, b"spliced")
    os.splice(read, os.open(t.file, os.O_WRONLY), 7)


@attempt("tree")
def fallocate_more(t):
    os.posix_fallocate(os.open(t.file, os.O_RDWR), 0, 8192)


@attempt("tree", "root")
def write_by_file_handle(t):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.create_string_buffer(8)
    call("name_to_handle_at", AT_FDCWD, t.file.encode() + b"\0", handle, mount_id, 0)
    folder = os.open(t.dir, os.O_RDONLY)
    os.write(call("open_by_handle_at", folder, handle, os.O_WRONLY), b"changed")


IO_URING_OP_OPENAT = 18


@attempt("tree", "file:/proc/sys/kernel/io_uring_disabled")
def create_with_io_uring(t):
    params = ctypes.create_string_buffer(120)
    ring = call("io_uring_setup", 4, params)
    sq_off = struct.unpack_from("10I", params, 40)
    head_tail = mmap.mmap(ring, 4096, mmap.MAP_SHARED, offset=0)
    entries = mmap.mmap(ring, 4096, mmap.MAP_SHARED, offset=0x10000000)
    path = ctypes.create_string_buffer((t.dir + "/by-io-uring").encode())
    struct.pack_into("BBHiQQIIQ", entries, 0, IO_URING_OP_OPENAT, 0, 0, AT_FDCWD, 0,
                     ctypes.addressof(path), 0o644, os.O_CREAT | os.O_WRONLY, 1)  # fmt: skip
    struct.pack_into("I", head_tail, sq_off[6], 0)
    struct.pack_into("I", head_tail, sq_off[1], 1)
    call("io_uring_enter", ring, 1, 1, 1, 0, 0)


# ---- names ------------------------------------------------------------------------------------


@attempt("tree")
def create_a_file(t):
    os.close(os.open(t.dir + "/new", os.O_CREAT | os.O_WRONLY, 0o644))


@attempt("tree")
def create_an_unnamed_file_and_link_it(t):
    fd = os.open(t.dir, os.O_TMPFILE | os.O_WRONLY, 0o600)
    LIBC.linkat(
        AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, (t.dir + "/new").encode(), 0x400
    )


@attempt("tree")
def make_a_folder(t):
    os.mkdir(t.dir + "/new")


@attempt("tree")
def make_a_fifo(t):
    os.mkfifo(t.dir + "/new")


@attempt("tree")
def make_a_node(t):
    os.mknod(t.dir + "/new", 0o100644)


@attempt("tree", "root")
def make_a_device(t):
    os.mknod(t.dir + "/new", 0o020644, os.makedev(1, 3))


@attempt("tree")
def make_a_symlink(t):
    os.symlink("/etc", t.dir + "/new")


@attempt("tree")
def make_a_socket(t):
    socket.socket(socket.AF_UNIX).bind(t.dir + "/new")


@attempt("tree")
def hard_link_inside(t):
    os.link(t.file, t.dir + "/new")


@attempt("tree")
def hard_link_out_and_write(t):
    os.link(t.file, t.scratch + "/hard")
    write_to(t.scratch + "/hard")


@attempt("tree")
def hard_link_in(t):
    open(t.scratch + "/mine", "w").close()
    os.link(t.scratch + "/mine", t.dir + "/new")


@attempt("tree")
def unlink(t):
    os.unlink(t.file)


@attempt("tree")
def unlink_the_symlink(t):
    os.unlink(t.link)


@attempt("tree")
def remove_a_folder(t):
    os.rmdir(t.empty)


@attempt("tree")
def remove_everything(t):
    shutil.rmtree(t.dir)


@attempt("tree")
def rename_inside(t):
    os.rename(t.file, t.dir + "/renamed")


@attempt("tree")
def rename_out(t):
    os.rename(t.file, t.scratch + "/taken")


@attempt("tree")
def rename_over(t):
    with open(t.scratch + "/mine2", "w") as file:
        file.write("planted")
    os.rename(t.scratch + "/mine2", t.file)


@attempt("tree")
def rename_the_folder(t):
    os.rename(t.dir, t.dir + "-moved")


@attempt("tree")
def rename_the_folder_away(t):
    os.rename(t.dir, t.scratch + "/moved")


@attempt("tree")
def exchange_the_folder(t):
    os.mkdir(t.scratch + "/other")
    call("renameat2", AT_FDCWD, t.dir.encode() + b"\0", AT_FDCWD,
         (t.scratch + "/other").encode() + b"\0", 2)  # fmt: skip


@attempt("tree")
def exchange_files(t):
    open(t.scratch + "/mine3", "w").close()
    call("renameat2", AT_FDCWD, t.file.encode() + b"\0", AT_FDCWD,
         (t.scratch + "/mine3").encode() + b"\0", 2)  # fmt: skip


@attempt("tree", "root")
def rename_with_whiteout(t):
    call("renameat2", AT_FDCWD, t.file.encode() + b"\0", AT_FDCWD,
         (t.dir + "/white").encode() + b"\0", 4)  # fmt: skip


@attempt("tree")
def rename_the_parents_and_rebuild_the_path(t):
    top = t.parent
    os.rename(top, top + "-moved")
    os.makedirs(t.dir)
    open(t.file, "w").close()


@attempt("tree")
def exchange_the_parent(t):
    top = t.parent
    os.mkdir(t.scratch + "/otherparent")
    call("renameat2", AT_FDCWD, top.encode() + b"\0", AT_FDCWD,
         (t.scratch + "/otherparent").encode() + b"\0", 2)  # fmt: skip


@attempt("tree")
def remove_the_parents(t):
    shutil.rmtree(t.parent)


# ---- metadata ---------------------------------------------------------------------------------


@attempt("tree", weak=MODES)
def change_mode(t):
    os.chmod(t.file, 0o777)


@attempt("tree", weak=MODES)
def change_mode_of_the_folder(t):
    os.chmod(t.dir, 0o777)


@attempt("tree", weak=MODES)
def change_mode_by_descriptor(t):
    os.fchmod(os.open(t.file, os.O_RDONLY), 0o777)


@attempt("tree", weak=MODES)
def change_mode_through_proc_self_fd(t):
    os.chmod(f"/proc/self/fd/{os.open(t.file, os.O_PATH)}", 0o777)


@attempt("tree", "kernel:6.6", weak=MODES)
def change_mode_by_fchmodat2(t):
    call("fchmodat2", os.open(t.file, os.O_PATH), b"\0", 0o777, AT_EMPTY_PATH)


@attempt("tree", weak=MODES)
def change_owner(t):
    os.chown(t.file, os.getuid(), os.getgid())


@attempt("tree", weak=MODES)
def change_owner_by_descriptor(t):
    os.fchown(os.open(t.file, os.O_RDONLY), os.getuid(), os.getgid())


@attempt("tree", weak=MODES)
def change_owner_of_the_symlink(t):
    os.lchown(t.link, os.getuid(), os.getgid())


@attempt("tree", weak=MODES)
def change_times(t):
    os.utime(t.file, (1, 1))


@attempt("tree", weak=MODES)
def change_times_by_descriptor(t):
    os.utime(os.open(t.file, os.O_RDONLY), (1, 1))


@attempt("tree", weak=MODES)
def change_times_of_the_symlink(t):
    os.utime(t.link, (1, 1), follow_symlinks=False)


@attempt("tree", weak=XATTRS)
def set_an_attribute(t):
    os.setxattr(t.file, "user.planted", b"1")


@attempt("tree", weak=XATTRS)
def set_an_attribute_by_descriptor(t):
    os.setxattr(os.open(t.file, os.O_RDONLY), "user.planted", b"1")


@attempt("tree", weak=XATTRS)
def remove_an_attribute(t):
    os.removexattr(t.file, "user.mark")


@attempt("tree", "kernel:6.13", weak=XATTRS)
def set_an_attribute_with_setxattrat(t):
    value = ctypes.create_string_buffer(b"1")
    args = struct.pack("QII", ctypes.addressof(value), 1, 0)
    call("setxattrat", AT_FDCWD, t.file.encode() + b"\0", 0, b"user.at\0", args, len(args))


@attempt("tree", weak=XATTRS)
def set_an_access_list(t):
    entries = struct.pack("<IHHIHHIHHIHHIHHI", 2, 1, 7, 0xFFFFFFFF, 2, 7, 12345, 4, 7, 0xFFFFFFFF,
                          0x10, 7, 0xFFFFFFFF, 0x20, 7, 0xFFFFFFFF)  # fmt: skip
    os.setxattr(t.file, "system.posix_acl_access", entries)


@attempt("tree", weak=XATTRS)
def set_an_inode_flag(t):
    import fcntl

    fcntl.ioctl(os.open(t.file, os.O_RDONLY), 0x40086602, struct.pack("l", 0x40))  # NODUMP


# ---- mounts and namespaces: undo the view, then write -----------------------------------------


@attempt("tree")
def remount_writable(t):
    for path in (t.dir, t.parent, "/") if t.confined else ():
        LIBC.mount(b"none", path.encode(), None, MS_REMOUNT | MS_BIND, None)
    write_to(t.file)


@attempt("tree")
def unmount_what_is_in_the_way(t):
    for path in (t.dir, t.parent, "/") if t.confined else ():
        for _ in range(3):
            LIBC.umount2(path.encode(), 2)
    write_to(t.file)


def in_new_namespaces(t, flags, enter):
    """A child with every capability of a nested user namespace undoes the view."""
    pid = os.fork()
    if pid == 0:
        try:
            uid, gid = os.getuid(), os.getgid()
            enter(flags)
            try:
                open("/proc/self/setgroups", "w").write("deny")
                open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
                open("/proc/self/gid_map", "w").write(f"0 {gid} 1")
            except OSError:
                pass
            LIBC.mount(b"none", b"/", None, MS_REC | (1 << 18), None)
            attributes = struct.pack("QQQQ", 0, MS_RDONLY, 0, 0)
            LIBC.syscall(442, AT_FDCWD, b"/", 0x8000, attributes, len(attributes))
            LIBC.umount2(t.dir.encode(), 2)
            LIBC.mount(b"none", t.dir.encode(), None, MS_REMOUNT | MS_BIND, None)
            write_to(t.file)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


@attempt("tree")
def unshare_and_remount(t):
    in_new_namespaces(t, CLONE_NEWUSER | CLONE_NEWNS, LIBC.unshare)


@attempt("tree")
def clone_into_namespaces_and_remount(t):
    flags = CLONE_NEWUSER | CLONE_NEWNS
    pid = LIBC.syscall(NUMBERS["clone"][0 if X86 else 1], flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        LIBC.umount2(t.dir.encode(), 2)
        LIBC.mount(b"none", t.dir.encode(), None, MS_REMOUNT | MS_BIND, None)
        fd = LIBC.open(t.file.encode(), os.O_WRONLY)
        LIBC.write(fd, b"changed", 7)
        LIBC._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)


@attempt("tree")
def clone3_into_namespaces_and_remount(t):
    args = struct.pack(
        "11Q", CLONE_NEWUSER | CLONE_NEWNS, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0
    )
    pid = LIBC.syscall(435, args, len(args))
    if pid == 0:
        LIBC.umount2(t.dir.encode(), 2)
        LIBC.mount(b"none", t.dir.encode(), None, MS_REMOUNT | MS_BIND, None)
        fd = LIBC.open(t.file.encode(), os.O_WRONLY)
        LIBC.write(fd, b"changed", 7)
        LIBC._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)


@attempt("tree")
def join_the_namespaces_of_others(t):
    for name in sorted(os.listdir("/proc"), key=lambda n: n.zfill(9)):
        for kind in ("user", "mnt"):
            try:
                call("setns", os.open(f"/proc/{name}/ns/{kind}", os.O_RDONLY), 0)
                write_to(t.file)
            except OSError:
                pass
    write_to(t.file)


@attempt("tree")
def join_by_pidfd(t):
    for pid in {1, os.getppid()}:
        try:
            call("setns", call("pidfd_open", pid, 0), CLONE_NEWNS)
        except OSError:
            pass
    write_to(t.file)


@attempt("tree")
def change_root_to_another_process(t):
    for name in ("1", str(os.getppid())):
        if LIBC.chroot(f"/proc/{name}/root".encode()) == 0:
            break
    write_to(t.file)


@attempt("tree", "root")
def bind_mount_and_write_through_it(t):
    place = t.scratch + "/bound"
    os.mkdir(place)
    call("mount", t.dir.encode() + b"\0", place.encode() + b"\0", None, MS_BIND, None)
    call("mount", b"none\0", place.encode() + b"\0", None, MS_REMOUNT | MS_BIND, None)
    write_to(place + "/file")
    LIBC.umount2(place.encode(), 2)


@attempt("tree", "root")
def clone_the_tree_and_clear_read_only(t):
    tree = call("open_tree", AT_FDCWD, t.dir.encode() + b"\0", 1)
    attributes = struct.pack("QQQQ", 0, MS_RDONLY, 0, 0)
    call("mount_setattr", tree, b"\0", AT_EMPTY_PATH, attributes, len(attributes))
    os.write(os.open("file", os.O_WRONLY, dir_fd=tree), b"changed")


@attempt("tree", "root", "optional")
def mount_the_disk_again(t):
    """A second mount of the same disk would be writable."""
    place = t.scratch + "/disk"
    os.mkdir(place)
    device = next(line.split() for line in open("/proc/self/mounts") if line.split()[1] == "/")
    fs = call("fsopen", device[2].encode() + b"\0", 0)
    call("fsconfig", fs, 1, b"source\0", device[0].encode() + b"\0", 0)
    call("fsconfig", fs, 6, None, None, 0)
    mount = call("fsmount", fs, 0, 0)
    os.write(os.open(t.file.lstrip("/"), os.O_WRONLY, dir_fd=mount), b"changed")


# ---- other processes --------------------------------------------------------------------------

OTHERS = "limits and scheduling of this user's other processes"


@attempt("victim")
def terminate(v):
    os.kill(v.pid, signal.SIGTERM)


@attempt("victim")
def stop(v):
    os.kill(v.pid, signal.SIGSTOP)


@attempt("victim")
def kill_the_group(v):
    os.killpg(v.pid, signal.SIGKILL)


@attempt("victim")
def kill_one_thread(v):
    call("tgkill", v.pid, v.pid, signal.SIGKILL)


@attempt("victim")
def queue_a_signal(v):
    info = struct.pack("iii", signal.SIGTERM, 0, -1) + bytes(116)
    call("rt_sigqueueinfo", v.pid, signal.SIGTERM, info)


@attempt("victim")
def signal_by_pidfd(v):
    call("pidfd_send_signal", call("pidfd_open", v.pid, 0), signal.SIGKILL, None, 0)


@attempt("victim")
def signal_by_proc_descriptor(v):
    call("pidfd_send_signal", os.open(f"/proc/{v.pid}", os.O_RDONLY), signal.SIGKILL, None, 0)


@attempt("victim")
def signal_through_asynchronous_io(v):
    import fcntl

    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, v.pid)
    fcntl.fcntl(read, 10, int(signal.SIGTERM))  # F_SETSIG
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
    os.write(write, b"x")


@attempt("victim", "tracing")
def trace_and_poke(v):
    LIBC.ptrace.argtypes = [ctypes.c_long] * 4
    assert LIBC.ptrace(16, v.pid, 0, 0) == 0
    os.waitpid(v.pid, 0)
    LIBC.ptrace(4, v.pid, v.address, 0x2121212121212121)
    LIBC.ptrace(17, v.pid, 0, 0)


@attempt("victim", "tracing")
def seize(v):
    LIBC.ptrace.argtypes = [ctypes.c_long] * 4
    assert LIBC.ptrace(0x4206, v.pid, 0, 0x100000) == 0  # PTRACE_O_EXITKILL


@attempt("victim", "tracing")
def write_its_memory(v):
    data = ctypes.create_string_buffer(b"!!!!!!!!")
    local = struct.pack("QQ", ctypes.addressof(data), 8)
    remote = struct.pack("QQ", v.address, 8)
    call("process_vm_writev", v.pid, local, 1, remote, 1, 0)


@attempt("victim", "tracing")
def write_its_memory_file(v):
    with open(f"/proc/{v.pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(v.address)
        memory.write(b"!!!!!!!!")


@attempt("victim", "tracing")
def steal_a_descriptor(v):
    os.write(call("pidfd_getfd", call("pidfd_open", v.pid, 0), v.fd, 0), b"stolen")


@attempt("victim", "tracing")
def reopen_its_descriptor(v):
    write_to(f"/proc/{v.pid}/fd/{v.fd}")


@attempt("victim", "tracing")
def write_through_its_folder(v):
    write_to(f"/proc/{v.pid}/cwd/held")


@attempt("victim", weak=OTHERS)
def set_its_limit(v):
    import resource

    resource.prlimit(v.pid, resource.RLIMIT_CORE, (0, 0))


@attempt("victim", weak=OTHERS)
def set_its_priority(v):
    os.setpriority(os.PRIO_PROCESS, v.pid, 15)


@attempt("victim", weak=OTHERS)
def set_the_priority_of_its_group(v):
    os.setpriority(os.PRIO_PGRP, v.pid, 15)


@attempt("victim", weak=OTHERS)
def set_its_processors(v):
    os.sched_setaffinity(v.pid, {max(os.sched_getaffinity(0))})


@attempt("victim", weak=OTHERS)
def set_its_scheduler(v):
    os.sched_setscheduler(v.pid, os.SCHED_BATCH, os.sched_param(0))


@attempt("victim", weak=OTHERS)
def set_its_disk_priority(v):
    call("ioprio_set", 1, v.pid, (2 << 13) | 7)


@attempt("victim")
def make_it_the_first_to_die(v):
    with open(f"/proc/{v.pid}/oom_score_adj", "w") as file:
        file.write("777")


@attempt("secret", weak="other processes of this user stay visible in /proc")
def read_command_lines(s):
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = open(f"/proc/{name}/cmdline").read()
                print(line if "read line #" in line else "")
            except OSError:
                pass


# ---- local talk -------------------------------------------------------------------------------


@attempt("unix")
def connect_stream(u):
    socket.socket(socket.AF_UNIX).connect(u.stream)


@attempt("unix")
def connect_seqpacket(u):
    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(u.seqpacket)


@attempt("unix")
def send_datagram(u):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", u.datagram)


@attempt("unix")
def send_from_a_pair(u):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendmsg([b"x"], [], 0, u.datagram)


@attempt("unix")
def send_many_from_a_pair(u):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    address = ctypes.create_string_buffer(struct.pack("H", 1) + u.datagram.encode() + b"\0")
    data = ctypes.create_string_buffer(b"x")
    vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 1))
    message = struct.pack("QIIQQQQiIII", ctypes.addressof(address), len(address) - 1, 0,
                          ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)  # fmt: skip
    call("sendmmsg", a.fileno(), ctypes.create_string_buffer(message), 1, 0)


@attempt("unix")
def reconnect_half_of_a_pair(u):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.connect(u.datagram)
    a.send(b"x")


@attempt("unix")
def connect_abstract_stream(u):
    socket.socket(socket.AF_UNIX).connect("\0" + u.abstract)


@attempt("unix")
def send_abstract_datagram(u):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "\0" + u.abstract + "-datagram")


@attempt("fifo")
def write_into_a_fifo(f):
    os.write(os.open(f.path, os.O_WRONLY | os.O_NONBLOCK), b"x")


@attempt("fifo")
def open_a_fifo_both_ways(f):
    os.write(os.open(f.path, os.O_RDWR | os.O_NONBLOCK), b"x")


@attempt("fifo")
def reopen_a_fifo(f):
    fd = os.open(f.path, os.O_RDONLY | os.O_NONBLOCK)
    os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), b"x")


SYSV = "System V shared memory and message queues"


@attempt("sysv", weak=SYSV)
def write_shared_memory(s):
    LIBC.shmat.restype = ctypes.c_void_p
    address = LIBC.shmat(s.memory, None, 0)
    assert address not in (None, ctypes.c_void_p(-1).value)
    ctypes.memmove(address, b"!!!!", 4)


@attempt("sysv", weak=SYSV)
def raise_a_semaphore(s):
    call("semop", s.semaphore, struct.pack("Hhh", 0, 5, 0), 1)


@attempt("sysv", weak=SYSV)
def send_to_a_queue(s):
    call("msgsnd", s.queue, struct.pack("l", 1) + b"x", 1, 0o4000)


@attempt("sysv", weak=SYSV)
def remove_shared_memory(s):
    assert LIBC.shmctl(s.memory, 0, None) == 0


@attempt("posix")
def write_named_memory(p):
    write_to("/dev/shm/" + p.memory)


@attempt("posix")
def remove_named_memory(p):
    os.unlink("/dev/shm/" + p.memory)


@attempt("posix", weak="POSIX message queues")
def send_to_a_named_queue(p):
    queue = call("mq_open", p.queue.encode() + b"\0", os.O_WRONLY | os.O_NONBLOCK, 0, None)
    call("mq_timedsend", queue, b"x", 1, 0, None)


@attempt("keyring")
def update_a_key(k):
    call("keyctl", 2, k.key, b"changed\0", 7, 0)


@attempt("keyring")
def add_a_key(k):
    call("add_key", b"user\0", k.name.encode() + b"-planted\0", b"x\0", 1, -4)


# ---- network ----------------------------------------------------------------------------------


@attempt("network")
def connect_tcp(n):
    socket.create_connection(("127.0.0.1", n.tcp), 1)


@attempt("network")
def connect_tcp_any_local_address(n):
    socket.create_connection(("127.9.8.7", n.tcp), 1)


@attempt("network", "file:/proc/net/if_inet6")
def connect_tcp6(n):
    socket.create_connection(("::1", n.tcp6), 1)


@attempt("network", "file:/proc/net/if_inet6")
def connect_tcp_mapped(n):
    socket.create_connection(("::ffff:127.0.0.1", n.tcp), 1)


@attempt("network")
def send_udp(n):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", n.udp))


@attempt("network")
def send_udp_message(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendmsg([b"x"], [], 0, ("127.0.0.1", n.udp))


@attempt("network")
def send_connected_udp(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", n.udp))
    os.write(s.fileno(), b"x")


@attempt("network")
def send_many_udp(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = ctypes.create_string_buffer(
        struct.pack("!HH4s8x", 0x0200, n.udp, socket.inet_aton("127.0.0.1"))
    )
    data = ctypes.create_string_buffer(b"x")
    vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(data), 1))
    message = struct.pack("QIIQQQQiIII", ctypes.addressof(address), 16, 0,
                          ctypes.addressof(vector), 1, 0, 0, 0, 0, 0, 0)  # fmt: skip
    call("sendmmsg", s.fileno(), ctypes.create_string_buffer(message), 1, 0)


@attempt("network")
def connect_by_first_send(n):
    s = socket.socket()
    s.sendto(b"x", 0x20000000, ("127.0.0.1", n.tcp))  # MSG_FASTOPEN
    s.close()


@attempt("network", "root")
def send_raw(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    s.sendto(struct.pack("!HHHH", 1, n.udp, 9, 0) + b"x", ("127.0.0.1", 0))


@attempt("terminal")
def write_to_another_terminal(t):
    os.write(os.open(t.path, os.O_WRONLY | os.O_NOCTTY), b"planted")


@attempt("terminal")
def change_the_size_of_another_terminal(t):
    import fcntl

    fcntl.ioctl(os.open(t.path, os.O_RDONLY | os.O_NOCTTY), 0x5414, struct.pack("HHHH", 5, 5, 0, 0))


# ---- things that are an escape when they can be had at all ------------------------------------


def claim(*needs, weak=""):
    """The attempt's own word that it worked is enough: nothing outside could show it."""

    def register(run):
        def report(c):
            if run(c) is not False:
                print("CLAIM", c.token)

        report.__name__ = run.__name__
        attempt("claim", *needs, weak=weak)(report)
        return run

    return register


@claim("optional")
def make_a_user_namespace(c):
    call("unshare", CLONE_NEWUSER)


@claim("root")
def make_a_mount_namespace(c):
    call("unshare", CLONE_NEWNS)


@claim("root")
def make_a_network_namespace(c):
    call("unshare", CLONE_NEWNET)


@claim("root")
def load_a_program(c):
    call("bpf", 0, struct.pack("IIII", 2, 4, 8, 1) + bytes(64), 80)


@claim("root")
def watch_events(c):
    call("perf_event_open", struct.pack("IIQ", 1, 128, 0) + bytes(112), 0, -1, -1, 0)


@claim("file:/proc/sys/vm/unprivileged_userfaultfd")
def handle_page_faults(c):
    call("userfaultfd", 1)


@claim("file:/proc/keys")
def see_the_user_keyring(c):
    call("keyctl", 0, -4, 1)


@claim("root")
def watch_the_file_system(c):
    call("fanotify_init", 0, os.O_RDONLY)


@claim("file:/proc/sys/kernel/io_uring_disabled")
def make_a_ring(c):
    call("io_uring_setup", 4, ctypes.create_string_buffer(120))


@claim("root")
def read_the_kernel_log(c):
    call("syslog", 10, None, 0)


@claim("root")
def rename_the_host(c):
    name = os.uname().nodename.encode()
    call("sethostname", name + b"\0", len(name))


@claim("root")
def change_the_root(c):
    call("chroot", b"/\0")


@claim("root")
def file_handles(c):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    call("name_to_handle_at", AT_FDCWD, b"/etc/passwd\0", handle, ctypes.create_string_buffer(8), 0)


def family(number, kind=socket.SOCK_DGRAM, protocol=0):
    socket.socket(number, kind, protocol).close()


@claim()
def unix_socket(c):
    family(1)


@claim()
def datagram_pair(c):
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


@claim("root")
def packet_socket(c):
    family(17, socket.SOCK_RAW)


@claim("root")
def raw_socket(c):
    family(2, socket.SOCK_RAW, 1)


@claim("file:/proc/net/netlink")
def kernel_event_socket(c):
    family(16, socket.SOCK_RAW, 15)


@claim("file:/dev/vsock")
def machine_socket(c):
    family(40, socket.SOCK_STREAM)


@claim("file:/proc/crypto", "optional")
def crypto_socket(c):
    family(38, socket.SOCK_SEQPACKET)


@claim("optional")
def bluetooth_socket(c):
    family(31, socket.SOCK_RAW)


@claim("x86", "optional")
def i386_calls(c):
    """getpid by its 32-bit number: the 64-bit list would not know it."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()


@claim("x86", "optional")
def x32_calls(c):
    return LIBC.syscall(0x40000000 + 39) == os.getpid()


def setting(path):
    """Writes back what is there: success is the escape, and nothing is changed by it."""
    with open(path, "rb+", buffering=0) as file:
        file.write(file.read(4096))


@claim("root")
def kernel_setting(c):
    setting("/proc/sys/kernel/core_pattern")


@claim("root")
def vm_setting(c):
    setting("/proc/sys/vm/swappiness")


@claim("root", "file:/proc/sysrq-trigger")
def magic_key(c):
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@claim("root")
def device_setting(c):
    for path in ("/sys/kernel/mm/ksm/run", "/sys/kernel/mm/transparent_hugepage/enabled",
                 "/sys/kernel/profiling", "/sys/kernel/uevent_helper", "/sys/power/state"):  # fmt: skip
        try:
            os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        return True
    return False


@claim("root", "file:/sys/fs/cgroup")
def control_group(c):
    for folder, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name == "cgroup.procs":
                os.close(os.open(f"{folder}/{name}", os.O_WRONLY))
                return True
    return False


@claim("root", "optional")
def disk_device(c):
    device = next(line.split()[0] for line in open("/proc/self/mounts") if line.split()[1] == "/")
    os.close(os.open(device, os.O_RDONLY))


@claim("root", weak=MODES)
def null_device_mode(c):
    os.chmod("/dev/null", 0o666)


@claim("file:/usr/bin/su", "user")
def setuid_program(c):
    """A set-user-id program must run without its privilege."""
    import subprocess

    done = subprocess.run(["/usr/bin/su", "--version"], capture_output=True)
    status = open("/proc/self/status").read()
    return done.returncode == 0 and "NoNewPrivs:\t0" in status


class Target:
    """What was prepared, by attribute."""

    def __init__(self, fields):
        self.__dict__.update(fields)


def run_one(name, fields):
    """In a child of its own, with a deadline: attempts must not disturb each other."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(5)
            if "scratch" in fields:
                os.makedirs(fields["scratch"], exist_ok=True)
            ATTEMPTS[name].run(Target(fields))
            code = 0
        except BaseException as error:  # noqa: BLE001 - printed for whoever debugs
            print(name, "->", type(error).__name__, error)
        finally:
            sys.stdout.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        print(name, "-> signal", os.WTERMSIG(status))


def main():
    with open(sys.argv[1]) as file:
        for name, fields in json.load(file):
            run_one(name, fields)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
