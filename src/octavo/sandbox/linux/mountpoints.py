"""Mount points made on the host for names that are missing, and their removal.

A name can only be kept out of a writable folder by mounting something there, and that needs an
entry on the host. Each is written to a journal before it is made, shared by all commands that use
it, and removed by the last of them if it is still empty and still the same. What a killed process
left behind is removed by the next one.

Journal: one file per plan in use, `PID-START-BOOT-NUMBER`, one line per entry: device, inode, kind, path.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import sysc

# a "pointer" is `.git/commondir` that says "right here"
CONTENT = {"file": b"", "pointer": b".\n"}
LOCK = "lock"


class MountPoints:
    """The entries one process needs; `release` removes what nobody else uses."""

    def __init__(self, journal: str, creates: "tuple[tuple[str, str], ...]") -> None:
        self.journal = journal
        self.creates = creates
        self.name = ""

    def make(self) -> None:
        """Create what is missing. OSError when the journal cannot be written: nothing is made."""
        if not self.creates and not pending(self.journal):
            return
        os.makedirs(self.journal, mode=0o700, exist_ok=True)
        with Lock(self.journal):
            sweep(self.journal, spare="")
            if not self.creates:
                return
            self.name = f"{identity(os.getpid())}-{id(self):x}"
            path = f"{self.journal}/{self.name}"
            intent = "".join(f"0 0 {kind} {encode(p)}\n" for p, kind in self.creates)
            write(path, intent)
            made = []
            for target, kind in self.creates:
                create(target, kind)
                there = os.lstat(target)
                made.append(f"{there.st_dev} {there.st_ino} {kind} {encode(target)}\n")
            write(path, "".join(made))

    def release(self) -> None:
        if not self.name:
            return
        with Lock(self.journal):
            sweep(self.journal, spare=self.name)
        self.name = ""


def pending(journal: str) -> bool:
    try:
        return any(name != LOCK for name in os.listdir(journal))
    except OSError:
        return False


def sweep(journal: str, spare: str) -> None:
    """Remove what only dead processes, or `spare` itself, still hold."""
    held: set[str] = set()
    gone: list[str] = []
    for name in os.listdir(journal):
        if name == LOCK:
            continue
        lines = read(f"{journal}/{name}")
        if name != spare and alive(name):
            held.update(line.split(" ", 3)[3] for line in lines)
        else:
            gone.append(name)
    for name in gone:
        for line in read(f"{journal}/{name}"):
            device, inode, kind, path = line.split(" ", 3)
            if path not in held:
                remove(decode(path), kind, int(device), int(inode))
        os.unlink(f"{journal}/{name}")


def parent_of(path: str) -> "tuple[int, str]":
    """A descriptor of the folder, reached without following any symlink, and the name in it.

    A running command may swap a folder for a symlink at any moment. OSError(ELOOP) then.
    """
    folder, _, name = path.rpartition("/")
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return sysc.open_beneath(root, folder or "/"), name
    finally:
        os.close(root)


def create(path: str, kind: str) -> None:
    folder, name = parent_of(path)
    try:
        if kind == "dir":
            os.mkdir(name, 0o555, dir_fd=folder)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(name, flags, 0o444, dir_fd=folder)
            os.write(fd, CONTENT[kind])
            os.close(fd)
    except FileExistsError:  # another command made it a moment ago; the launch checks its kind
        pass
    finally:
        os.close(folder)


def remove(path: str, kind: str, device: int, inode: int) -> None:
    """Only what is still as we made it: empty, and the same inode when we knew it."""
    try:
        folder, name = parent_of(path)
    except OSError:  # the folder is gone, or is somebody else's now
        return
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if inode and (there.st_dev, there.st_ino) != (device, inode):
            return
        if kind == "dir" and there.st_mode & 0o222 == 0:
            os.rmdir(name, dir_fd=folder)
        elif kind in CONTENT and there.st_size == len(CONTENT[kind]) and not there.st_mode & 0o222:
            os.unlink(name, dir_fd=folder)
    except OSError:  # gone, or somebody has put something in it: theirs now
        pass
    finally:
        os.close(folder)


def alive(name: str) -> bool:
    """Is the process that wrote this journal still the same one?"""
    try:
        return name.rpartition("-")[0] == identity(int(name.split("-")[0]))
    except (OSError, ValueError):
        return False


def identity(pid: int) -> str:
    """pid, start time and boot: a pid alone may be somebody else tomorrow."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        started = file.read(4096).rpartition(b")")[2].split()[19].decode()
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
        boot = file.read(8).decode()
    return f"{pid}-{started}-{boot}"


def read(path: str) -> "list[str]":
    try:
        with open(path, "rb", buffering=0) as file:
            text = (file.read() or b"").decode(errors="surrogateescape")
    except FileNotFoundError:
        return []
    return [line for line in text.split("\n") if well_formed(line)]


def well_formed(line: str) -> bool:
    fields = line.split(" ", 3)
    return len(fields) == 4 and fields[0].isdigit() and fields[1].isdigit()


def write(path: str, text: str) -> None:
    fd = os.open(path + "~", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode(errors="surrogateescape"))
    finally:
        os.close(fd)
    os.rename(path + "~", path)


def encode(path: str) -> str:
    return path.replace("\\", "\\\\").replace("\n", "\\n")


def decode(text: str) -> str:
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


class Lock:
    """One process at a time in the journal. The kernel lets go when its holder dies."""

    def __init__(self, journal: str) -> None:
        self.path = f"{journal}/{LOCK}"
        self.fd = -1

    def __enter__(self) -> None:
        import fcntl  # noqa: PLC0415 - only policies with missing names pay for it

        self.fd = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)
