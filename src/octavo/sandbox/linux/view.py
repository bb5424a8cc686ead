"""The file system a command sees, as steps: values with `apply()` and `describe()`.

Theory of operation. We stand in a fresh user and mount namespace, with every capability there.
1. Every source is cloned (`hold`) while the tree is untouched: a clone keeps its own attributes.
2. One recursive mount_setattr makes the whole tree read-only, nosuid, nodev and private (`seal`):
   no path lookups, so network mounts are not touched and automounts not triggered; private, so
   that nothing the host mounts later appears inside.
3. Rules are attached by depth, shallow first: the deepest rule decides.
4. Before a writable root goes over its own path, the directories between it and each deeper rule
   become mount points underneath (`pin`). The kernel refuses to rename or remove a mount point,
   while lookups go through the upper mount: a protected folder cannot be moved away with its parent.
Paths were resolved when the policy was planned. A running command may have changed them since, so
each one is opened again without following any symlink; a difference stops the launch.
"""

import os
import sys

assert sys.platform == "linux"

from octavo.sandbox.linux import sysc
from octavo.sandbox.linux.sysc import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

AF_INET, SOCK_DGRAM, SIOCSIFFLAGS = 2, 2, 0x8914
S_IFMT, S_IFDIR, S_IFREG, S_IFLNK = 0o170000, 0o040000, 0o100000, 0o120000
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
# uid 0 keeps owner's rights on these even without capabilities
PROC_CONTROLS = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
RLIMIT_NOFILE = 7
FEW_STEPS = 400
"""So many descriptors fit under any soft limit in use (1024), with what is open already."""
SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV


class ViewState:
    """What the steps of one view hand to each other: open descriptors, nothing else."""

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.pins: dict[str, int] = {}
        self.devices: dict[str, int] = {}
        self.masks: dict[str, int] = {}
        self.root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        self.new_root = False


class Step:
    """One thing done to build the view."""

    __slots__ = ("args",)
    text: "ClassVar[str]" = ""

    def __init__(self, *args: "str | int | bool | tuple[str, ...]") -> None:
        self.args = args

    def apply(self, state: ViewState) -> None:
        raise NotImplementedError

    def describe(self) -> str:
        return self.text.format(*self.args)

    @property
    def path(self) -> str:
        return str(self.args[0])


class Identity(Step):
    """Map one user and one group to themselves; nobody else exists inside."""

    __slots__ = ()
    text = "user namespace: uid {0} and gid {1}, nobody else"

    def apply(self, state: ViewState) -> None:
        uid, gid = self.args
        write_control("/proc/self/setgroups", b"deny")
        write_control("/proc/self/uid_map", f"{uid} {uid} 1".encode())
        write_control("/proc/self/gid_map", f"{gid} {gid} 1".encode())


class Hold(Step):
    """Clone a source while the tree is untouched. Kind: dir, file, link or other."""

    __slots__ = ()
    text = "hold {0} ({1})"

    def apply(self, state: ViewState) -> None:
        path, kind = self.path, self.args[1]
        fd = sysc.open_beneath(state.root, path)
        try:
            check_kind(fd, str(kind), path)
            state.sources[path] = sysc.clone_tree(fd, recursive=kind == "dir", path=path)
        finally:
            os.close(fd)


class HoldPin(Step):
    __slots__ = ()
    text = "hold {0} to pin it"

    def apply(self, state: ViewState) -> None:
        fd = sysc.open_beneath(state.root, self.path)
        try:
            check_kind(fd, "dir", self.path)
            state.pins[self.path] = sysc.clone_tree(fd, recursive=False, path=self.path)
        finally:
            os.close(fd)


class Overlay(Step):
    """The folder with a layer of changes over it: folder, upper, work. Held like any source."""

    __slots__ = ()
    text = "hold {0} with its changes kept in {1}"

    def apply(self, state: ViewState) -> None:
        folders = [sysc.open_beneath(state.root, str(path)) for path in self.args]
        try:
            for fd, path in zip(folders, self.args, strict=True):
                check_kind(fd, "dir", str(path))
            lower, upper, work = (f"/proc/self/fd/{fd}" for fd in folders)
            # by descriptor: names would have to be quoted; the attributes of users, since those
            # of the system are not ours to set
            options: dict[str, str | None] = {
                "lowerdir": lower,
                "upperdir": upper,
                "workdir": work,
                "index": "off",
                "userxattr": None,
            }
            state.sources[self.path] = sysc.new_filesystem("overlay", options, SAFE)
        finally:
            for fd in folders:
                os.close(fd)


class OverlayUnder(Step):
    """Put the layered folder in its place, and hold a second mount of it to go over the pins.

    A mount point is kept from being renamed by its entry in the file system that is used: pins
    in the folder below would hold nothing.
    """

    __slots__ = ()
    text = "{0} underneath, with its changes, for the pins"

    def apply(self, state: ViewState) -> None:
        source = state.sources.pop(self.path)
        attach_at(state, source, self.path)
        state.sources[self.path] = sysc.clone_tree(source, recursive=False, path=self.path)
        sysc.set_mount(source, SAFE | MOUNT_ATTR_RDONLY, recursive=False, path=self.path)
        os.close(source)


class HoldDevices(Step):
    """Harmless devices, and those a rule adds."""

    __slots__ = ()
    text = "hold devices {0}"

    def apply(self, state: ViewState) -> None:
        extra = self.args[0]
        assert isinstance(extra, tuple)
        for name in (*DEVICES, *extra):
            fd = os.open("/dev/" + name, os.O_PATH | os.O_CLOEXEC)
            state.devices[name] = sysc.clone_tree(fd, recursive=is_folder(fd), path="/dev/" + name)
            os.close(fd)


class Seal(Step):
    """The whole tree at once; argument: also read-only."""

    __slots__ = ()

    def apply(self, state: ViewState) -> None:
        attributes = SAFE | (MOUNT_ATTR_RDONLY if self.args[0] else 0)
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        sysc.set_mount(root, attributes, path="/")
        os.close(root)

    def describe(self) -> str:
        return "everything " + ("read-only, " if self.args[0] else "") + "nosuid, nodev, private"


class NewRoot(Step):
    """An empty root: only what rules name will be in it."""

    __slots__ = ()
    text = "an empty root, with only what the rules name"

    def apply(self, state: ViewState) -> None:
        root = sysc.new_filesystem("tmpfs", {"mode": "0755", "size": "1m"}, SAFE)
        target = os.open("/", os.O_PATH | os.O_CLOEXEC)
        stage = sysc.open_beneath(target, "/proc")
        host_proc = sysc.clone_tree(stage, recursive=True, path="/proc")
        sysc.attach(root, stage, path="/")
        os.close(stage)
        os.close(state.root)
        os.close(target)
        state.root = root
        state.new_root = True
        for name in ("dev", "proc"):
            os.mkdir(name, 0o755, dir_fd=root)
        # In a user namespace the kernel mounts a new /proc only where one can be seen already.
        # Each command's own covers this one for good.
        attach_at(state, host_proc, "/proc")
        os.close(host_proc)


class EnterRoot(Step):
    __slots__ = ()
    text = "make it the root, read-only, and let go of the old one"

    def apply(self, state: ViewState) -> None:
        sysc.set_mount(state.root, SAFE | MOUNT_ATTR_RDONLY, recursive=False, path="/")
        os.fchdir(state.root)
        sysc.call(sysc.NR_PIVOT_ROOT, b".\0", b".\0", path="/")
        sysc.call(sysc.NR_UMOUNT2, b".\0", sysc.MNT_DETACH, path="/")
        os.chdir("/")


class Place(Step):
    """A mount point inside the empty root."""

    __slots__ = ()
    text = "place for {0} ({1})"

    def apply(self, state: ViewState) -> None:
        make_place(state.root, self.path, str(self.args[1]))


class Symlink(Step):
    __slots__ = ()
    text = "link {0} -> {1}"

    def apply(self, state: ViewState) -> None:
        parent, _, name = self.path.strip("/").rpartition("/")
        if parent:
            make_place(state.root, parent, "dir")
        fd = os.open(parent or ".", os.O_PATH | os.O_CLOEXEC, dir_fd=state.root)
        try:
            os.symlink(str(self.args[1]), name, dir_fd=fd)
        finally:
            os.close(fd)


class Devices(Step):
    """A private /dev: harmless nodes, own pseudo-terminals, own shared memory."""

    __slots__ = ()
    text = "private /dev with {0} shared memory"

    def apply(self, state: ViewState) -> None:
        options: dict[str, str | None] = {"mode": "0755", "size": str(self.args[0])}
        dev = sysc.new_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
        attach_at(state, dev, "/dev")
        for name, source in state.devices.items():
            make_place(dev, name, "dir" if is_folder(source) else "file")
            # read-only: the node can be used, its mode and owner on the host cannot be changed
            sysc.set_mount(source, MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY, recursive=False)
            fd = sysc.open_beneath(dev, name)
            sysc.attach(source, fd, path="/dev/" + name)
            os.close(fd)
            os.close(source)
        for name, target in DEVICE_LINKS:
            os.symlink(target, name, dir_fd=dev)
        os.mkdir("pts", 0o755, dir_fd=dev)
        os.mkdir("shm", 0o755, dir_fd=dev)
        os.chmod("shm", 0o1777, dir_fd=dev)
        pts = sysc.new_filesystem(
            "devpts",
            {"newinstance": None, "ptmxmode": "0666", "mode": "620"},
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        )
        attach_at(state, pts, "/dev/pts")
        os.close(pts)
        os.close(dev)


class Pin(Step):
    """Make a directory under a writable root a mount point, so that it stays where it is."""

    __slots__ = ()
    text = "pin {0}: it cannot be renamed or removed"

    def apply(self, state: ViewState) -> None:
        source = state.pins.pop(self.path)
        sysc.set_mount(source, SAFE | MOUNT_ATTR_RDONLY, recursive=False, path=self.path)
        attach_at(state, source, self.path)
        os.close(source)


class PinOpen(Step):
    """The same where the whole tree is writable: the pin is what the command uses."""

    __slots__ = ()
    text = "pin {0}: it cannot be renamed or removed"

    def apply(self, state: ViewState) -> None:
        source = state.pins.pop(self.path)
        sysc.set_mount(source, SAFE, recursive=False, path=self.path)
        attach_at(state, source, self.path)
        os.close(source)


class Write(Step):
    __slots__ = ()
    text = "writable {0}"

    def apply(self, state: ViewState) -> None:
        put(state, self.path, SAFE)


class Read(Step):
    __slots__ = ()
    text = "read-only {0}"

    def apply(self, state: ViewState) -> None:
        put(state, self.path, SAFE | MOUNT_ATTR_RDONLY)


class Link(Step):
    """A symlink mounted onto itself still resolves, but cannot be replaced."""

    __slots__ = ()
    text = "fix the symlink {0}"

    def apply(self, state: ViewState) -> None:
        put(state, self.path, SAFE | MOUNT_ATTR_RDONLY, recursive=False)


class Mask(Step):
    """Hide a path behind something unreadable. Arguments: path, kind, places that stay reachable."""

    __slots__ = ()
    text = "hide {0}"

    def apply(self, state: ViewState) -> None:
        path, kind, places = self.args
        assert isinstance(places, tuple)
        if places:
            source = self._with_places(places)
        else:
            source = sysc.clone_tree(shared_mask(state, str(kind)), recursive=False, path=self.path)
        attach_at(state, source, str(path))
        os.close(source)

    def _with_places(self, places: tuple[str, ...]) -> int:
        """Searchable but not readable, with mount points for deeper rules."""
        options: dict[str, str | None] = {"mode": "0111", "size": "64k"}
        mask = sysc.new_filesystem("tmpfs", options, SAFE | MOUNT_ATTR_NOEXEC)
        for place in places:
            relative, _, kind = place.rpartition(":")
            make_place(mask, relative, kind, mode=0o111)
        sysc.set_mount(mask, SAFE | MOUNT_ATTR_RDONLY, recursive=False, path=self.path)
        return mask


class Loopback(Step):
    __slots__ = ()
    text = "own network: nothing but a working loopback"

    def apply(self, state: ViewState) -> None:
        self.up()

    @staticmethod
    def up() -> None:
        """In the network of this process."""
        # by number: the module would be loaded for every command
        link = sysc.call(sysc.NR_SOCKET, AF_INET, SOCK_DGRAM)
        try:
            up_and_running = (1 | 64).to_bytes(2, "little")
            request = b"lo".ljust(16, b"\0") + up_and_running + bytes(22)
            sysc.call(sysc.NR_IOCTL, link, SIOCSIFFLAGS, request, path="lo")
        finally:
            os.close(link)


def mount_proc(*, controls: bool) -> None:
    """One old-style mount: the new calls would need four."""
    sysc.call(
        sysc.NR_MOUNT, b"proc\0", b"/proc\0", b"proc\0", sysc.MS_NOSUID_NODEV_NOEXEC, path="/proc"
    )
    if not controls:
        return
    for name in PROC_CONTROLS:
        path = "/proc/" + name
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:  # this kernel lacks it; any other failure stops the launch
            continue
        source = sysc.clone_tree(fd, recursive=True, path=path)
        sysc.set_mount(source, SAFE | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, path=path)
        sysc.attach(source, fd, path=path)
        os.close(source)
        os.close(fd)


STEPS: "dict[str, type[Step]]" = {
    "identity": Identity,
    "hold": Hold,
    "hold-pin": HoldPin,
    "hold-devices": HoldDevices,
    "overlay": Overlay,
    "overlay-under": OverlayUnder,
    "seal": Seal,
    "new-root": NewRoot,
    "enter-root": EnterRoot,
    "place": Place,
    "symlink": Symlink,
    "devices": Devices,
    "pin": Pin,
    "pin-open": PinOpen,
    "write": Write,
    "read": Read,
    "link": Link,
    "mask": Mask,
    "loopback": Loopback,
}


def step(spec: "tuple[str, ...]") -> Step:
    """The step a plan names: `("read", "/work/.git")`."""
    return STEPS[spec[0]](*spec[1:])


class StepFailed(Exception):  # noqa: N818 - carried to the caller as data
    """The step that stopped the launch, by its place in the plan."""

    def __init__(self, index: int, error: OSError) -> None:
        super().__init__(index, error)
        self.index = index
        self.errno = error.errno or 0


def build(steps: "tuple[tuple[str, ...], ...]") -> None:
    """Carry out the steps in order. StepFailed at the first one that does not work."""
    mask = os.umask(0)
    state = ViewState()
    limits = room_for(len(steps))
    for index, spec in enumerate(steps):
        try:
            step(spec).apply(state)
        except OSError as error:
            raise StepFailed(index, error) from error
    os.umask(mask)
    if limits is not None:
        sysc.limit(RLIMIT_NOFILE, *limits)


def room_for(steps: int) -> "tuple[int, int] | None":
    """Each path is held by a descriptor for a while: many need more than the usual soft limit.

    The limits to put back, or None when there is room enough (so the call is spared).
    """
    if steps < FEW_STEPS:
        return None
    soft, hard = sysc.limits_of(RLIMIT_NOFILE)
    sysc.limit(RLIMIT_NOFILE, max(soft, min(hard, steps + FEW_STEPS)), hard)
    return soft, hard


def is_folder(fd: int) -> bool:
    return os.fstat(fd).st_mode & S_IFMT == S_IFDIR


def put(state: ViewState, path: str, attributes: int, *, recursive: bool = True) -> None:
    source = state.sources.pop(path)
    sysc.set_mount(source, attributes, recursive=recursive, path=path)
    attach_at(state, source, path)
    os.close(source)


def attach_at(state: ViewState, source: int, path: str) -> None:
    target = sysc.open_beneath(state.root, path)
    try:
        sysc.attach(source, target, path=path)
    finally:
        os.close(target)


def check_kind(fd: int, kind: str, path: str) -> None:
    """What was planned must still be what is there: a running command may have swapped it."""
    mode = os.fstat(fd).st_mode & S_IFMT
    found = {S_IFDIR: "dir", S_IFREG: "file", S_IFLNK: "link"}.get(mode, "other")
    if found != kind:
        raise OSError(20, f"changed from {kind} to {found} while the sandbox was built", path)


def shared_mask(state: ViewState, kind: str) -> int:
    """One tiny file system holds an unreadable directory and an unreadable file, for all masks."""
    if not state.masks:
        options: dict[str, str | None] = {"mode": "0755", "size": "4k", "nr_inodes": "8"}
        home = sysc.new_filesystem("tmpfs", options, SAFE | MOUNT_ATTR_NOEXEC)
        make_place(home, "dir", "dir", mode=0)
        make_place(home, "file", "file", mode=0)
        # before Linux 6.15 only an attached mount can be cloned
        attach_at(state, home, "/dev/shm")
        for name in ("dir", "file"):
            fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=home)
            state.masks[name] = mask = sysc.clone_tree(fd, recursive=False)
            sysc.set_mount(mask, SAFE | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, recursive=False)
            os.close(fd)
        os.fchdir(home)
        sysc.call(sysc.NR_UMOUNT2, b".\0", sysc.MNT_DETACH, path="/dev/shm")
        os.chdir("/")
        os.close(home)
    return state.masks["dir" if kind == "dir" else "file"]


def make_place(root: int, path: str, kind: str, *, mode: int = 0o755) -> None:
    """An empty directory or file at `path` below `root`, with its parents."""
    parts = path.strip("/").split("/")
    fd = os.dup(root)
    try:
        for i, name in enumerate(parts):
            last = i == len(parts) - 1
            if last and kind != "dir":
                flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
                os.close(os.open(name, flags, mode & 0o666, dir_fd=fd))
                return
            try:
                os.mkdir(name, mode if last else max(mode, 0o111), dir_fd=fd)
            except FileExistsError:
                pass
            below = os.open(name, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
    finally:
        os.close(fd)


def write_control(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)
