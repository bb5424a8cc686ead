"""What pid 1 of a sandbox tells the outside: records of fixed size.

The command may have taken over whoever sends them, so they are numbers and nothing else.
"""

import os

EXITED, STEP_FAILED, CONFINE_FAILED, SPAWN_FAILED, STOPPED, READY = 1, 2, 3, 4, 5, 6
SIZE = 16
STARTED = 4  # index of the READY record that says: the command runs
INSIDE = 3  # index of the READY record that our Python inside bubblewrap sends first
PHASES = (
    "namespaces",
    "proc",
    "privileges",
    "landlock",
    "filter",
    "limits",
    "terminal",
    "stdio",
    "cwd",
    "gateway",
)


class Record:
    """One report: what happened, which step or phase, errno, wait status or signal."""

    __slots__ = ("errno", "index", "kind", "value")

    def __init__(self, kind: int, *, index: int = 0, errno: int = 0, value: int = 0) -> None:
        self.kind = kind
        self.index = index
        self.errno = errno
        self.value = value

    def encode(self) -> bytes:
        fields = (self.kind, self.index, self.errno, self.value)
        return b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in fields)


def decode(data: bytes) -> "Record | None":
    """The record, or None when the sender went away without a word."""
    if len(data) != SIZE:
        return None
    kind, index, errno, value = (
        int.from_bytes(data[i : i + 4], "little") for i in range(0, SIZE, 4)
    )
    return Record(kind, index=index, errno=errno, value=value)


def send(fd: int, record: Record) -> None:
    try:
        os.write(fd, record.encode())
    except OSError:  # nobody listens any more; there is nobody else to tell
        pass


def shell_code(wait_status: int) -> int:
    """128 + n for a signal, as a shell reports it."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
