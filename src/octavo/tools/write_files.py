"""Write, create and delete files: all of them, or none. Standard library only.

Also a program: started by an isolated interpreter inside the sandbox, it takes its work from
standard input, so that the kernel decides which of it is allowed. See `octavo.tools.apply_patch`.

Theory of operation. Files that exist are opened for writing and compared with what the plan was
made from, before anything changes. Files that go are put aside under another name. New files are
created, then room is reserved on the disk, and only then is anything written. Whatever fails on
the way, the steps taken so far are undone in reverse. Files are written in place: links, owners
and permission bits stay as they are.
"""

import _signal  # type: ignore[import-not-found]  # the C part of signal has no stub
import errno
import os
import stat
import sys

LENGTH_BYTES = 8
NOTHING = (1 << 64) - 1
"""A length that stands for no file at all."""
CHUNK_BYTES = 1 << 20
ASIDE = ".octavo-aside-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
REFUSED_CODE = 3
"""Exit code: a path may not be written. Its name and a NUL stand before the message."""
FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

Work = tuple[str, "str | None", "bytes | None", "bytes | None"]
"""Path, path whose permission bits it gets, bytes before, bytes afterwards; None is no file."""


class Failed(Exception):  # noqa: N818 - this program cannot load the error tree
    """What could not be done, in one line."""

    refused = ""
    """The path that may not be written, where that was the reason."""


class Writer:
    """Does the work step by step and remembers how to undo it."""

    def __init__(self) -> None:
        self.opened: dict[str, int] = {}
        self.modes: dict[str, int] = {}
        self.folders: list[str] = []
        self.created: list[str] = []
        self.aside: list[tuple[str, str]] = []
        self.written: list[tuple[str, int, bytes]] = []

    def run(self, work: "list[Work]") -> None:
        """All of it. Raises Failed with the disk as it was."""
        try:
            for path, _, before, after in work:
                if before is not None:
                    self.check(path, before, writable=after is not None)
                elif os.path.lexists(path):
                    raise Failed(f"{path}: appeared in the meantime")
            for path, _, before, after in work:
                if after is None and before is not None:
                    self.put_aside(path)
            for path, mode_of, before, after in work:
                if after is not None and before is None:
                    self.create(path, self.modes.get(mode_of or ""))
            for path, _, _, after in work:
                if after is not None:
                    self.reserve(path, len(after))
            for path, _, before, after in work:
                if after is not None:
                    self.write(path, before or b"", after)
        except OSError as error:
            name = error.filename or "?"
            failure = self.undone(f"{name}: {os.strerror(error.errno or 0)}")
            if error.errno in FORBIDDEN:
                failure.refused = os.fsdecode(name)
            raise failure from error
        except Failed as failure:
            raise self.undone(str(failure)) from failure
        except BaseException:
            self.undo()
            raise
        finally:
            for fd in self.opened.values():
                os.close(fd)
            self.opened.clear()
        for _, name in self.aside:
            quietly(os.unlink, name)

    def check(self, path: str, before: bytes, *, writable: bool) -> None:
        """The file is still the one the plan was made from."""
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | FLAGS)
        self.opened[path] = fd
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise Failed(f"{path}: not a file any more")
        self.modes[path] = state.st_mode & 0o777
        if state.st_size != len(before) or read_all(fd) != before:
            raise Failed(f"{path}: changed since it was read")

    def put_aside(self, path: str) -> None:
        folder, name = os.path.split(path)
        other = os.path.join(folder, f"{ASIDE}{os.getpid()}-{len(self.aside)}-{name[:100]}")
        with naming(path):
            os.rename(path, other)
        self.aside.append((path, other))

    def create(self, path: str, mode: "int | None") -> None:
        self.make_folders(os.path.dirname(path))
        self.opened[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
        self.created.append(path)
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(self.opened[path], mode)

    def make_folders(self, folder: str) -> None:
        missing = []
        while folder and not os.path.isdir(folder):
            missing.append(folder)
            parent = os.path.dirname(folder)
            if parent == folder:
                break
            folder = parent
        for one in reversed(missing):
            os.mkdir(one)
            self.folders.append(one)

    def reserve(self, path: str, size: int) -> None:
        """A full disk is found out here, while every file is still whole."""
        if not size or not hasattr(os, "posix_fallocate"):
            return
        fd = self.opened[path]
        old = os.fstat(fd).st_size
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            if error.errno in FULL:
                quietly(os.ftruncate, fd, old)
                raise Failed(f"{path}: {os.strerror(error.errno)}") from error
            return  # this file system cannot reserve; the write will tell
        self.written.append((path, old, b""))

    def write(self, path: str, before: bytes, after: bytes) -> None:
        fd = self.opened[path]
        self.written.append((path, len(before), before))
        with naming(path):
            write_all(fd, after)
            os.ftruncate(fd, len(after))

    def undone(self, reason: str) -> Failed:
        left = self.undo()
        if left:
            return Failed(f"{reason} (and could not be put back as it was: {', '.join(left)})")
        return Failed(reason)

    def undo(self) -> "list[str]":
        """Back to the beginning; the names of what resisted."""
        left = []
        for path, size, before in reversed(self.written):
            fd = self.opened[path]
            if path not in self.created and not (
                quietly(write_all, fd, before) and quietly(os.ftruncate, fd, size)
            ):
                left.append(path)
        left += [path for path in reversed(self.created) if not quietly(os.unlink, path)]
        left += [
            path for path, other in reversed(self.aside) if not quietly(os.rename, other, path)
        ]
        for folder in reversed(self.folders):
            quietly(os.rmdir, folder)
        return left


class naming:  # noqa: N801 - reads as a word where it is used
    """Gives errors of calls on descriptors the name of the file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            error.filename = self.path


def quietly(call: object, *args: object) -> bool:
    """Whether it worked."""
    try:
        call(*args)  # type: ignore[operator]  # any of os's functions; this program has no typing module
    except OSError:
        return False
    return True


def read_all(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    parts = []
    while part := os.read(fd, CHUNK_BYTES):
        parts.append(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view[:CHUNK_BYTES]) :]


def write_files(work: "list[Work]") -> None:
    """Do all of it, or raise Failed with nothing changed."""
    Writer().run(work)


def packed(work: "list[Work]") -> bytes:
    """The work as the program reads it."""
    parts = []
    for path, mode_of, before, after in work:
        names = (os.fsencode(path), None if mode_of is None else os.fsencode(mode_of))
        for field in (*names, before, after):
            size = NOTHING if field is None else len(field)
            parts.append(size.to_bytes(LENGTH_BYTES, "big") + (field or b""))
    return b"".join(parts)


def unpacked(data: bytes) -> "list[Work]":
    """The opposite. Raises Failed when the input was cut off."""
    fields: list[bytes | None] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        at += LENGTH_BYTES
        if size == NOTHING:
            fields.append(None)
            continue
        fields.append(data[at : at + size])
        at += size
    if at != len(data) or len(fields) % 4:
        raise Failed("the list of files was cut off")
    return [
        (os.fsdecode(path or b""), None if mode is None else os.fsdecode(mode), before, after)
        for path, mode, before, after in zip(*[iter(fields)] * 4, strict=True)
    ]


def main() -> int:
    """Exit code 0; 1 with one line on standard output; 3 with the refused path before it."""
    # Whoever is asked to stop half-way finishes first: that takes milliseconds. The signal module
    # would load enum, which takes longer than that.
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_IGN)
    try:
        write_files(unpacked(read_pipe()))
    except Failed as failure:
        if failure.refused:
            os.write(1, os.fsencode(failure.refused) + b"\0")
        os.write(1, os.fsencode(str(failure)))
        return REFUSED_CODE if failure.refused else 1
    return 0


def read_pipe() -> bytes:
    parts = []
    while part := os.read(0, CHUNK_BYTES):
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    sys.exit(main())
