"""What the attempts are aimed at, and the verdict: was it touched?

Everything here lives outside the sandbox. A target is prepared, its fields are handed to one
attempt, and afterwards it is looked at from here. What the attempt printed counts only where it
prints something it could not know.
"""

import contextlib
import ctypes
import json
import os
import secrets
import select
import shutil
import socket
import stat
import struct
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
KEYCTL, ADD_KEY = (250, 248) if os.uname().machine == "x86_64" else (219, 217)
USER_KEYRING = -4


class Target:
    """One thing that must not be touched."""

    def fields(self):
        return {}

    def touched(self, output):
        """What happened to it; "" when nothing did."""
        raise NotImplementedError

    def close(self):
        pass


def snapshot(top):
    """Everything about a tree that a change would show in: contents, names, metadata, identity."""
    found = {}
    for folder, folders, files in os.walk(top):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            there = os.lstat(path)
            content = b""
            if stat.S_ISREG(there.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(there.st_mode):
                content = os.readlink(path)
            marks = [
                (name, os.getxattr(path, name, follow_symlinks=False))
                for name in os.listxattr(path, follow_symlinks=False)
            ]
            found[os.path.relpath(path, top)] = (
                there.st_ino, there.st_mode, there.st_uid, there.st_gid, there.st_nlink,
                there.st_size, there.st_mtime_ns, there.st_ctime_ns, content, marks,
            )  # fmt: skip
    return found


class Tree(Target):
    """A folder with files, below two parents that can be renamed as well."""

    def __init__(self, top, scratch, *, confined):
        self.top = top
        self.scratch = scratch
        self.confined = confined
        self.parent = top + "/a"
        self.dir = top + "/a/b"
        os.makedirs(self.dir + "/empty")
        with open(self.dir + "/file", "w") as file:
            file.write("as it was\n")
        os.chmod(self.dir + "/file", 0o644)
        os.setxattr(self.dir + "/file", "user.mark", b"1")
        os.symlink(self.dir + "/file", self.dir + "/link")
        self.before = snapshot(top)

    def fields(self):
        return {
            "dir": self.dir,
            "parent": self.parent,
            "file": self.dir + "/file",
            "link": self.dir + "/link",
            "empty": self.dir + "/empty",
            "scratch": self.scratch,
            "confined": self.confined,
        }

    def touched(self, output):
        after = snapshot(self.top)
        changed = [
            path
            for path in sorted(self.before.keys() | after.keys())
            if self.before.get(path) != after.get(path)
        ]
        return f"changed: {', '.join(changed)}" if changed else ""


FARM = r"""
import ctypes, os, sys, signal
for line in sys.stdin:
    folder = line.strip()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.chdir(folder)
        fd = os.open("held", os.O_RDWR | os.O_CREAT, 0o600)
        memory = ctypes.create_string_buffer(b"unharmed")
        os.write(write, f"{os.getpid()} {ctypes.addressof(memory)} {fd}\n".encode())
        while True:
            signal.pause()
    print(os.read(read, 100).decode(), end="", flush=True)
    os.close(read)
    os.close(write)
"""


class Farm:
    """Raises victims cheaply; ends them all."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", FARM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pids = []

    def victim(self, folder):
        self.process.stdin.write(folder + "\n")
        self.process.stdin.flush()
        pid, address, fd = (int(word) for word in self.process.stdout.readline().split())
        self.pids.append(pid)
        return pid, address, fd

    def close(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


class Victim(Target):
    """Another process of the same user."""

    def __init__(self, farm, folder):
        os.makedirs(folder)
        self.folder = folder
        self.pid, self.address, self.fd = farm.victim(folder)
        self.before = self.state()

    def fields(self):
        return {"pid": self.pid, "address": self.address, "fd": self.fd}

    def state(self):
        proc = f"/proc/{self.pid}"
        with open(proc + "/stat") as file:
            words = file.read().rpartition(")")[2].split()
        state = {
            "state": "running" if words[0] in "RS" else words[0],
            "priority": os.getpriority(os.PRIO_PROCESS, self.pid),
            "processors": sorted(os.sched_getaffinity(self.pid)),
            "scheduler": os.sched_getscheduler(self.pid),
        }
        number = 252 if os.uname().machine == "x86_64" else 31
        state["disk priority"] = LIBC.syscall(number, 1, self.pid)
        for name in ("limits", "oom_score_adj"):
            with open(f"{proc}/{name}") as file:
                state[name] = file.read()
        with open(proc + "/status") as file:
            state["tracer"] = next(line for line in file if line.startswith("TracerPid"))
        with open(proc + "/mem", "rb", buffering=0) as memory:
            memory.seek(self.address)
            state["memory"] = memory.read(8)
        state["held"] = snapshot(self.folder)
        return state

    def touched(self, output):
        try:
            after = self.state()
        except (OSError, StopIteration):
            return "it is gone"
        return ", ".join(name for name in after if after[name] != self.before[name])


class Secret(Target):
    """A process whose command line holds what nobody inside may see."""

    def __init__(self):
        self.token = secrets.token_hex(8)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"read line # {self.token}"], stdin=subprocess.PIPE
        )

    def touched(self, output):
        return "its command line was read" if self.token in output else ""

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Unix(Target):
    """Sockets of a host service, on disk and abstract."""

    def __init__(self, folder):
        os.makedirs(folder)
        self.names = {
            "stream": folder + "/stream",
            "seqpacket": folder + "/seqpacket",
            "datagram": folder + "/datagram",
            "abstract": "octavo-test-" + secrets.token_hex(8),
        }
        addresses = (
            (socket.SOCK_STREAM, self.names["stream"]),
            (socket.SOCK_SEQPACKET, self.names["seqpacket"]),
            (socket.SOCK_DGRAM, self.names["datagram"]),
            (socket.SOCK_STREAM, "\0" + self.names["abstract"]),
            (socket.SOCK_DGRAM, "\0" + self.names["abstract"] + "-datagram"),
        )
        self.sockets = [listener(socket.AF_UNIX, kind, address) for kind, address in addresses]

    def fields(self):
        return self.names

    def touched(self, output):
        return "somebody spoke to it" if heard(self.sockets) else ""

    def close(self):
        for s in self.sockets:
            s.close()


def listener(family, kind, address):
    s = socket.socket(family, kind)
    s.bind(address)
    if kind != socket.SOCK_DGRAM:
        s.listen()
    return s


def heard(readable, timeout_s=0.0):
    return bool(select.select(readable, [], [], timeout_s)[0])


class Fifo(Target):
    """A named pipe with a reader outside."""

    def __init__(self, folder):
        os.makedirs(folder)
        self.path = folder + "/fifo"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)

    def fields(self):
        return {"path": self.path}

    def touched(self, output):
        return "something came through it" if heard([self.fd]) else ""

    def close(self):
        os.close(self.fd)


class SystemV(Target):
    """Shared memory, semaphore, message queue of the user."""

    def __init__(self):
        LIBC.shmat.restype = ctypes.c_void_p
        self.memory = LIBC.shmget(0, 4096, 0o1600)
        self.semaphore = LIBC.semget(0, 1, 0o1600)
        self.queue = LIBC.msgget(0, 0o1600)
        self.address = LIBC.shmat(self.memory, None, 0)
        ctypes.memmove(self.address, b"fine", 4)

    def fields(self):
        return {"memory": self.memory, "semaphore": self.semaphore, "queue": self.queue}

    def touched(self, output):
        found = []
        if ctypes.string_at(self.address, 4) != b"fine":
            found.append("memory written")
        if LIBC.shmctl(self.memory, 2, ctypes.create_string_buffer(256)) != 0 or self.removed():
            found.append("memory removed")
        if LIBC.semctl(self.semaphore, 0, 12) != 0:
            found.append("semaphore raised")
        if LIBC.msgrcv(self.queue, ctypes.create_string_buffer(64), 32, 0, 0o4000) >= 0:
            found.append("message received")
        return ", ".join(found)

    def removed(self):
        status = ctypes.create_string_buffer(256)
        LIBC.shmctl(self.memory, 2, status)
        mode = struct.unpack_from("I", status, 20)[0]
        return bool(mode & 0o1000)

    def close(self):
        LIBC.shmdt(ctypes.c_void_p(self.address))
        LIBC.shmctl(self.memory, 0, None)
        LIBC.semctl(self.semaphore, 0, 0)
        LIBC.msgctl(self.queue, 0, None)


class Posix(Target):
    """Named shared memory and a named message queue of the host."""

    def __init__(self):
        name = "octavo-test-" + secrets.token_hex(8)
        self.names = {"memory": name, "queue": name}
        with open("/dev/shm/" + name, "w") as file:
            file.write("fine")
        self.before = os.stat("/dev/shm/" + name)
        self.fd = LIBC.mq_open(
            ("/" + name).encode(), os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o600, None
        )

    def fields(self):
        return self.names

    def touched(self, output):
        found = []
        try:
            with open("/dev/shm/" + self.names["memory"]) as file:
                if file.read() != "fine":
                    found.append("memory written")
        except FileNotFoundError:
            found.append("memory removed")
        if LIBC.mq_receive(self.fd, ctypes.create_string_buffer(8192), 8192, None) >= 0:
            found.append("message received")
        return ", ".join(found)

    def close(self):
        LIBC.mq_close(self.fd)
        LIBC.mq_unlink(("/" + self.names["queue"]).encode())
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/dev/shm/" + self.names["memory"])


class Keyring(Target):
    """A key in the keyring every process of the user shares."""

    def __init__(self):
        self.name = "octavo-test-" + secrets.token_hex(8)
        self.key = LIBC.syscall(ADD_KEY, b"user", self.name.encode(), b"fine", 4, USER_KEYRING)

    def fields(self):
        return {"key": self.key, "name": self.name}

    def touched(self, output):
        found = []
        payload = ctypes.create_string_buffer(64)
        size = LIBC.syscall(KEYCTL, 11, self.key, payload, 64, 0)
        if payload.raw[: max(size, 0)] != b"fine":
            found.append("key changed")
        planted = (self.name + "-planted").encode()
        if LIBC.syscall(KEYCTL, 10, USER_KEYRING, b"user", planted, 0) >= 0:
            found.append("key planted")
        return ", ".join(found)

    def close(self):
        for name in (self.name, self.name + "-planted"):
            key = LIBC.syscall(KEYCTL, 10, USER_KEYRING, b"user", name.encode(), 0)
            if key >= 0:
                LIBC.syscall(KEYCTL, 9, key, USER_KEYRING)


class Network(Target):
    """Listeners on the host's loopback."""

    def __init__(self):
        self.tcp = listener(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0))
        self.udp = listener(socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0))
        self.sockets = [self.tcp, self.udp]
        self.tcp6 = None
        if os.path.exists("/proc/net/if_inet6"):
            self.tcp6 = listener(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
            self.sockets.append(self.tcp6)

    def fields(self):
        return {
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "tcp6": self.tcp6.getsockname()[1] if self.tcp6 else 0,
        }

    def touched(self, output):
        return "somebody reached it" if heard(self.sockets, 0.002) else ""

    def close(self):
        for s in self.sockets:
            s.close()


class Terminal(Target):
    """Another terminal of the user."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        self.path = os.ttyname(self.slave)
        self.before = os.get_terminal_size(self.slave)

    def fields(self):
        return {"path": self.path}

    def touched(self, output):
        found = ["written to"] if heard([self.master]) else []
        if os.get_terminal_size(self.slave) != self.before:
            found.append("resized")
        return ", ".join(found)

    def close(self):
        os.close(self.master)
        os.close(self.slave)


class Claim(Target):
    """Nothing to look at: the attempt says itself that it worked."""

    def __init__(self):
        self.token = secrets.token_hex(8)

    def fields(self):
        return {"token": self.token}

    def touched(self, output):
        return "the attempt says that it worked" if f"CLAIM {self.token}" in output else ""


class Range:
    """Sets up targets for a list of attempts and judges them all."""

    def __init__(self, folder, farm):
        self.folder = folder
        self.farm = farm
        self.targets = {}

    def aim(self, attempts, *, trees, scratch, confined):
        """One target per attempt. `trees`: where the folders lie; `scratch`: where it may write."""
        for attempt in attempts:
            self.targets[attempt.name] = self._target(attempt, trees, scratch, confined)

    def _target(self, attempt, trees, scratch, confined):
        place = f"{self.folder}/{attempt.name}"
        match attempt.target:
            case "tree":
                return Tree(
                    f"{trees}/{attempt.name}", f"{scratch}/{attempt.name}", confined=confined
                )
            case "victim":
                return Victim(self.farm, place)
            case "unix":
                return Unix(place)
            case "fifo":
                return Fifo(place)
            case other:
                return SIMPLE[other]()

    def orders(self):
        """The file that tells `inside.py` what to do."""
        path = self.folder + "/orders.json"
        with open(path, "w") as file:
            json.dump([(name, target.fields()) for name, target in self.targets.items()], file)
        return path

    def judge(self, output):
        """What each attempt did, by name."""
        verdicts = {name: target.touched(output) for name, target in self.targets.items()}
        for target in self.targets.values():
            target.close()
        self.targets.clear()
        return verdicts


SIMPLE = {
    "secret": Secret,
    "sysv": SystemV,
    "posix": Posix,
    "keyring": Keyring,
    "network": Network,
    "terminal": Terminal,
    "claim": Claim,
}


def remove(folder):
    """Away with a folder, whatever modes the attempts left."""
    for below, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(below, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
