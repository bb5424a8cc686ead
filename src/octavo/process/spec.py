"""What to start and how it ended: values only, the same on every system.

A `ProcessSpec` says everything a child gets; nothing is taken from the host by accident.
"""

from collections.abc import Mapping

from msgspec import Struct

from octavo.protocol.errors import UsageError

MIB = 1 << 20
LARGEST_SIDE = 65_535  # rows and columns are unsigned shorts in struct winsize
LOST_STATUS_CODE = 255


class Pipes(Struct, frozen=True, kw_only=True, tag="pipes"):
    """The command talks through pipes and has no terminal at all."""

    stdin: bool = False
    """Open a pipe to write to; otherwise the command reads end-of-file at once."""
    merge_stderr: bool = False
    """Both outputs in one pipe, in exactly the order in which they were written."""


class Terminal(Struct, frozen=True, kw_only=True, tag="terminal"):
    """The command gets a terminal of its own as input, output and controlling terminal."""

    rows: int = 24
    cols: int = 80

    def __post_init__(self) -> None:
        if not (0 < self.rows <= LARGEST_SIDE and 0 < self.cols <= LARGEST_SIDE):
            raise UsageError(
                f"a terminal cannot have {self.rows} rows and {self.cols} columns",
                hint=f"Both are numbers from 1 to {LARGEST_SIDE}.",
            )


class OutputCaps(Struct, frozen=True, kw_only=True):
    """How much output is kept, and how much may be written at all; bytes."""

    head_bytes: int = MIB // 2
    """The beginning of each output that is kept."""
    tail_bytes: int = MIB // 2
    """The end of each output that is kept; what lies between is counted, not stored."""
    limit_bytes: int | None = None
    """All outputs together; a command that writes more is ended."""

    def __post_init__(self) -> None:
        if self.head_bytes < 0 or self.tail_bytes < 0 or (self.limit_bytes or 0) < 0:
            raise UsageError("output caps are numbers of bytes, zero or more")


class ProcessSpec(Struct, frozen=True, kw_only=True):
    """One command: start it with `octavo.process.pipes.start` or in a sandbox.

    Raises UsageError when no system could start it: no program, a NUL byte, a broken name.
    """

    argv: tuple[str, ...]
    """The program and its arguments; bytes that are not UTF-8 as surrogate escapes."""
    env: Mapping[str, str]
    """The whole environment; nothing is inherited."""
    cwd: str | None = None
    """Absolute folder to start in; None is the folder of this program."""
    stdio: Pipes | Terminal = Pipes()
    caps: OutputCaps = OutputCaps()

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise UsageError("no command was given", hint="Name a program to run.")
        if any("\0" in word for word in (*self.argv, self.cwd or "")):
            raise UsageError("a command and its folder cannot contain a NUL byte")
        if self.cwd is not None and not self.cwd:
            raise UsageError("the folder to start in has no name")
        for name, value in self.env.items():
            if not name or "=" in name or "\0" in name or "\0" in value:
                raise UsageError(f"{name!r} cannot be an environment variable")


class ExitStatus(Struct, frozen=True, kw_only=True):
    """How a command ended: its own exit code, or the signal that ended it.

    Both are None when another part of the host program took the status away.
    """

    code: int | None = None
    signal: int | None = None

    @property
    def ok(self) -> bool:
        """The command ended by itself and reported success."""
        return self.code == 0

    @property
    def shell_code(self) -> int:
        """One number as a shell reports it: the exit code, or 128 plus the signal."""
        if self.signal is not None:
            return 128 + self.signal
        return LOST_STATUS_CODE if self.code is None else self.code

    @classmethod
    def from_wait_status(cls, status: int) -> "ExitStatus":
        """From the 16-bit status of `waitpid`: low seven bits signal, high byte code."""
        signal = status & 0x7F
        return cls(signal=signal) if signal else cls(code=(status >> 8) & 0xFF)
