"""What Seatbelt refused, read from the system log.

`parse_line` and `select` are pure. `LogStream` runs `log stream` beside a command: started and
listening before it, stopped shortly after it, its lines read by one thread it owns.
"""

import json
import re
import subprocess
import threading
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import IO, Final, NamedTuple, Self

PREDICATE: Final = (
    '((processID == 0 AND senderImagePath CONTAINS "/Sandbox") '
    'OR subsystem == "com.apple.sandbox.reporting")'
)
LOG_COMMAND: Final = ("/usr/bin/log", "stream", "--style", "ndjson", "--predicate", PREDICATE)

FIRST_LINE_DEADLINE_S: Final = 5.0
GRACE_S: Final = 0.1
"""How long the log may lag behind the command it tells of."""
STOP_DEADLINE_S: Final = 2.0
MOST_LINES: Final = 20_000
"""A command that fails in a loop must not fill the memory."""
LONGEST_LINE: Final = 256 * 1024

REPORTER: Final = "/usr/libexec/sandboxd"

# A process names itself: the name may hold spaces, brackets, and anything that looks like a report.
# The shortest name that fits is taken, and the kernel cuts names after 32 bytes.
REPORT: Final = re.compile(
    r"(?:\d+ duplicate reports? for )?Sandbox: (?P<name>.{0,64}?)\((?P<pid>\d{1,10})\) "
    r"deny\(\d+\) (?P<operation>[a-z][a-z0-9*-]*)(?: (?P<subject>[^\n]*))?(?:\n(?P<message>.*))?",
    re.DOTALL,
)


class Evidence(NamedTuple):
    """One refusal as the system reported it."""

    pid: int
    operation: str
    """As Seatbelt calls it: `file-write-create`, `network-outbound`, `mach-lookup`, …"""
    subject: str
    """The resolved path, `remote:*:443`, a service name, …; empty where there is none."""
    message: str = ""
    """What the deciding rule of the profile says; see `SeatbeltPlan.rule_named`."""


def parse_line(line: str | bytes) -> Evidence | None:
    """The refusal a line of `log stream --style ndjson` tells of; None for every other line.

    Lines of ordinary processes are not evidence: anybody may write to the log.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not _from_the_system(entry):
        return None
    text = entry.get("eventMessage")
    found = REPORT.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    message = (found["message"] or "").split("\n", 1)[0].strip()
    return Evidence(int(found["pid"]), found["operation"], found["subject"] or "", message)


def _from_the_system(entry: dict[object, object]) -> bool:
    return entry.get("processID") == 0 or entry.get("processImagePath") == REPORTER


def select(
    evidence: Iterable[Evidence], *, tag: str = "", pids: Collection[int] = ()
) -> tuple[Evidence, ...]:
    """Each refusal once, in order: those with the tag of a plan, or of these processes.

    With a tag no process tree has to be followed, and a process that ended early is not missed.
    Without a tag and without pids everything is kept.
    """
    chosen: dict[tuple[int, str, str], Evidence] = {}
    for one in evidence:
        ours = (tag and one.message.split(" ", 1)[0] == tag) or one.pid in pids
        if ours or not (tag or pids):
            known = chosen.setdefault(one[:3], one)
            if one.message and not known.message:
                chosen[one[:3]] = one
    return tuple(chosen.values())


class LogStream:
    """The system log, followed while a command runs.

    with LogStream() as log:
        ...run the command...
        evidence = log.stop()
    """

    def __init__(self, command: Sequence[str] = LOG_COMMAND) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._first = threading.Event()
        self._over = threading.Event()
        self._evidence: dict[Evidence, None] = {}
        self._lines = 0
        self.problem: str | None = None
        """Why nothing, or not everything, could be seen; the command itself is not affected."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(grace_s=0)

    def start(self, *, deadline_s: float = FIRST_LINE_DEADLINE_S) -> bool:
        """Begin, and return when the log speaks; False, with `problem` set, when it does not."""
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # the first line, "Filtering …", may come on either
                env={},
            )
        except OSError as error:
            self.problem = f"{self._command[0]} cannot be started: {error.strerror}"
            return False
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="sandbox log", daemon=True
        )
        self._reader.start()
        self._first.wait(deadline_s)
        if self._lines == 0:
            ended = self._over.is_set()
            self.problem = (
                "the system log ended at once"
                if ended
                else f"the system log said nothing for {deadline_s:g} s"
            )
            return False
        return True

    def stop(self, *, grace_s: float = GRACE_S) -> tuple[Evidence, ...]:
        """Wait for what is still on its way, end the stream, and return everything seen."""
        process, reader = self._process, self._reader
        if process is not None and reader is not None:
            self._process = None
            self._over.wait(grace_s)
            process.terminate()
            try:
                process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_DEADLINE_S)
            reader.join(STOP_DEADLINE_S)
            if process.stdout is not None and not reader.is_alive():
                process.stdout.close()
        return tuple(self._evidence)

    def _read(self, source: IO[bytes]) -> None:
        try:
            while line := source.readline(LONGEST_LINE):
                self._lines += 1
                self._take(line)
                self._first.set()
        finally:
            self._over.set()
            self._first.set()

    def _take(self, line: bytes) -> None:
        if len(self._evidence) >= MOST_LINES:
            self.problem = f"more than {MOST_LINES} refusals: the rest is not listed"
            return
        found = parse_line(line)
        if found is not None:
            self._evidence.setdefault(found)
