"""What was done, line by line, each line holding the hash of the one before it.

Theory of operation. A line is JSON that ends in `,"hash":"…"}`; its hash is taken over the bytes
before that, which hold the number of the line and the hash of the line before it. So a line that
is edited, removed, put in or moved breaks the chain there. A tail that is cut off breaks nothing;
therefore the last number and hash are kept in a second file (`heads/`) as well. Whoever can write
both files can write another history: a chain shows mistakes and clumsy hands, it needs a copy
elsewhere to show more. See docs/audit.md.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId, TurnId
from octavo.store.errors import StoreError
from octavo.store.gate import Gate
from octavo.store.layout import AUDIT, is_thread_id
from octavo.store.objects import write_all
from octavo.store.rollout import stamp

FIRST: Final = "0" * 64
"""What the first line follows."""
END: Final = len(',"hash":"' + FIRST + '"}\n')
MOST_LINE: Final = 1 << 20
LONGEST: Final = 4096
"""Characters of one text in a line; the rest is cut."""
_FLAGS: Final = (
    os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)

Facts = Mapping[str, object]


class Entry(Struct, frozen=True, kw_only=True):
    """One line."""

    n: int
    at: str
    thread: str
    turn: str | None = None
    kind: str
    facts: dict[str, object] = {}
    prev: str
    hash: str = ""


class Head(Struct, frozen=True):
    """Where a chain ends."""

    n: int
    hash: str


_DECODER: Final = Decoder(Entry)
_HEADS: Final = Decoder(Head)
_ENCODER: Final = Encoder(order="deterministic")


def audit_path(home: str, thread: ThreadId) -> str:
    """The record of a thread."""
    return str(Path(home, AUDIT, f"{thread}.jsonl"))


def head_path(path: str) -> str:
    """Where the end of a record is kept a second time."""
    there = Path(path)
    return str(Path(there.parent, "heads", there.stem))


class AuditLog:
    """The record of one thread, made with its first line. Several processes may write it.

    `redact` takes secrets out of every text. Methods raise StoreError.
    """

    def __init__(
        self,
        home: str,
        thread: ThreadId,
        *,
        now_ms: Callable[[], int],
        fsync: bool = False,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        if not is_thread_id(thread):
            raise StoreError(f"{printable(thread)} is no thread")
        self.path = audit_path(home, thread)
        self._head_path = head_path(self.path)
        self._thread = thread
        self._now_ms = now_ms
        self._fsync = fsync
        self._redact = redact
        self._size = -1
        self._last = Head(0, FIRST)

    def add(
        self, kind: str, facts: Facts, *, turn: TurnId | None = None, at_ms: int | None = None
    ) -> None:
        """One more line."""
        clean = cleaned(facts, self._redact)
        assert isinstance(clean, dict)
        when = stamp(self._now_ms() if at_ms is None else at_ms)
        try:
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with Gate(self._head_path, alone=True, wait=True):
                descriptor = os.open(self.path, _FLAGS, 0o600)
                try:
                    self._catch_up(descriptor)
                    self._append(descriptor, when, turn, kind, clean)
                finally:
                    os.close(descriptor)
        except OSError as wrong:
            reason = wrong.strerror or str(wrong)
            raise StoreError(f"{printable(self.path)}: cannot be written: {reason}") from wrong

    def _catch_up(self, descriptor: int) -> None:
        """Where the chain ends now; a line that was cut off goes, and a lost tail is said."""
        size = os.fstat(descriptor).st_size
        if size == self._size:
            return
        line, begins = last_line(descriptor, size)
        if line and not line.endswith(b"\n"):
            os.ftruncate(descriptor, begins)  # whoever wrote it died before it was whole
            size = begins
            line, _ = last_line(descriptor, size)
        entry = entry_of(line)
        self._size = size
        self._last = Head(0, FIRST) if entry is None else Head(entry.n, entry.hash)
        kept = read_head(self._head_path)
        if kept is not None and kept.n > self._last.n:
            gap: dict[str, object] = {"lines": kept.n - self._last.n, "head": kept.hash}
            self._append(descriptor, stamp(self._now_ms()), None, "gap", gap)

    def _append(
        self,
        descriptor: int,
        when: str,
        turn: TurnId | None,
        kind: str,
        facts: dict[str, object],
    ) -> None:
        entry = {
            "n": self._last.n + 1,
            "at": when,
            "thread": self._thread,
            "turn": turn,
            "kind": kind,
            "facts": facts,
            "prev": self._last.hash,
        }
        body = Encoder().encode(entry)[:-1]
        digest = hashlib.sha256(body).hexdigest()
        data = body + b',"hash":"' + digest.encode() + b'"}\n'
        try:
            write_all(descriptor, data)
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        if self._fsync:
            os.fsync(descriptor)
        self._size += len(data)
        self._last = Head(self._last.n + 1, digest)
        self._keep_head()

    def _keep_head(self) -> None:
        """In place: the line is as long as before, or longer, and holds the lock."""
        descriptor = os.open(self._head_path, _FLAGS & ~os.O_APPEND, 0o600)
        try:
            write_all(descriptor, Encoder().encode(self._last) + b"\n")
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cleaned(value: object, redact: Callable[[str], str] | None) -> object:
    """A value that JSON can hold, without secrets, and not longer than a line should be."""
    match value:
        case str():
            text = value.encode("utf-8", "backslashreplace").decode()
            text = text if redact is None else redact(text)
            return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
        case Mapping():
            return {str(key): cleaned(inner, redact) for key, inner in value.items()}
        case list() | tuple():
            return [cleaned(inner, redact) for inner in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return cleaned(str(value), redact)


def entry_of(line: bytes) -> Entry | None:
    """A line as a value; None when it is none of ours."""
    try:
        return _DECODER.decode(line)
    except (DecodeError, ValidationError, UnicodeDecodeError):
        return None


def hash_of(line: bytes) -> str:
    """The hash a line has to carry."""
    return hashlib.sha256(line[:-END]).hexdigest()


def read_head(path: str) -> Head | None:
    """The end that was noted; None when there is none."""
    try:
        return _HEADS.decode(Path(path).read_bytes())
    except (OSError, DecodeError, ValidationError, UnicodeDecodeError):
        return None


def last_line(descriptor: int, size: int) -> tuple[bytes, int]:
    """The last line before an offset, with its end if it has one, and where it begins."""
    tail, at = b"", size
    while at > 0:
        step = min(1 << 16, at)
        at -= step
        os.lseek(descriptor, at, os.SEEK_SET)
        tail = os.read(descriptor, step) + tail
        cut = tail.rfind(b"\n", 0, len(tail) - 1)
        if cut >= 0:
            return tail[cut + 1 :], at + cut + 1
    return tail, 0


# ---- checking -----------------------------------------------------------------------------


class Checked(Struct, frozen=True, kw_only=True):
    """What a check found."""

    path: str
    lines: int
    """That hold, from the beginning."""
    broken_line: int | None = None
    """The first that does not, counted from 1."""
    problem: str | None = None
    note: str | None = None
    """Something that is no break, but worth a word."""

    @property
    def whole(self) -> bool:
        """Nothing is wrong."""
        return self.problem is None


def verify(path: str) -> Checked:
    """Check a record from its first line on. Raises StoreError when it cannot be read."""
    last = Head(0, FIRST)
    note = None
    number = 0
    for number, line in enumerate(lines_of(path), 1):
        if not line.endswith(b"\n"):
            note = "the last line was cut off while it was written"
            break
        problem = wrong_with(line, last)
        if problem is not None:
            return Checked(path=path, lines=last.n, broken_line=number, problem=problem)
        entry = entry_of(line)
        assert entry is not None
        last = Head(entry.n, entry.hash)
        if entry.kind == "gap":
            lost = entry.facts.get("lines")
            problem = f"before it {lost} lines were lost at the end of the file"
            return Checked(path=path, lines=last.n - 1, broken_line=number, problem=problem)
    return _with_head(path, last, note)


def _with_head(path: str, last: Head, note: str | None) -> Checked:
    head = read_head(head_path(path))
    if head is None:
        note = note or "its end is noted nowhere else, so lines missing there would not be found"
        return Checked(path=path, lines=last.n, note=note)
    if head.n > last.n:
        count = head.n - last.n
        problem = f"{count} {'line is' if count == 1 else 'lines are'} missing at the end"
        return Checked(path=path, lines=last.n, broken_line=last.n + 1, problem=problem)
    if head.n == last.n and head.hash != last.hash:
        problem = "the last line is not the one that was written"
        return Checked(path=path, lines=last.n - 1, broken_line=last.n, problem=problem)
    return Checked(path=path, lines=last.n, note=note)


def wrong_with(line: bytes, last: Head) -> str | None:
    """Why a line cannot follow another one; None: it can."""
    entry = entry_of(line)
    if entry is None:
        return "is not a line of a record"
    if hash_of(line) != entry.hash:
        return "was edited: its hash does not fit"
    if entry.n != last.n + 1:
        return f"has the number {entry.n} where {last.n + 1} is due: lines are missing or moved"
    if entry.prev != last.hash:
        return "does not follow the line before it: that one was exchanged"
    return None


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a file, the last perhaps without its end. Raises StoreError."""
    try:
        with Path(path).open("rb") as file:
            while line := file.readline(MOST_LINE):
                yield line
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise StoreError(f"{printable(path)}: cannot be read: {reason}") from wrong


def entries(path: str) -> Iterator[Entry]:
    """Everything in a record that can be read, broken or not. Raises StoreError."""
    for line in lines_of(path):
        entry = entry_of(line)
        if entry is not None:
            yield entry


def records(home: str) -> tuple[str, ...]:
    """The records of every thread, and of those whose file is gone but whose end is noted."""
    folder = Path(home, AUDIT)
    names = {path.stem for path in folder.glob("*.jsonl")}
    names |= {path.name for path in Path(folder, "heads").glob("*")}
    return tuple(str(folder / f"{name}.jsonl") for name in sorted(names))
