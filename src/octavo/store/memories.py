"""What earlier threads taught, on disk: one record per thread, leases, and the files people read.

`HOME/memories/` holds what commands may read and write, so nothing there is followed or believed:
no symlink, no file that is too large. `HOME/state/memories/`, closed to commands, holds the records
(one JSON file per thread) and the leases that keep two processes from doing the same work.
Everything is replaced whole. A damaged file is one warning and counts as missing.
"""
# ruff: noqa: PTH105
# (a new file takes the place of the old one in one step)

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId
from octavo.store.errors import StoreError, ThreadBusy
from octavo.store.layout import MEMORIES, is_thread_id
from octavo.store.lock import ThreadLock
from octavo.store.objects import write_all
from octavo.store.under import Under

LEASE_MS: Final = 3_600_000
"""So long one process has a job, and so long a failed one waits before it is tried again."""
MOST_BYTES: Final = 1 << 20
"""A larger file of the folder is not read."""
MOST_FILES: Final = 2_000
DEEPEST: Final = 6
RAW: Final = "raw_memories.md"
MEMORY: Final = "MEMORY.md"
SUMMARY: Final = "memory_summary.md"
SUMMARIES: Final = "rollout_summaries"
SKILLS: Final = "skills"
DIFF: Final = "changes.diff"
MERGING: Final = "merge"
"""The lease of the merging itself."""

T = TypeVar("T", bound=Struct)


class Memory(Struct, frozen=True, kw_only=True):
    """What one thread taught. Empty texts: there was nothing worth keeping."""

    thread: str
    slug: str = ""
    """The name of its file in `rollout_summaries/`, without `.md`."""
    raw_memory: str = ""
    rollout_summary: str = ""
    cwd: str = ""
    source_ms: int = 0
    """When the thread had been written last."""
    made_ms: int = 0
    uses: int = 0
    used_ms: int | None = None
    polluted: bool = False
    """The thread saw text from outside (web search, MCP)."""

    @property
    def empty(self) -> bool:
        return not self.raw_memory.strip()


class Lease(Struct, frozen=True, kw_only=True):
    """Nobody else begins this before then."""

    until_ms: int


class Merged(Struct, frozen=True, kw_only=True):
    """What the last merging was made of."""

    digest: str = ""


class MemoryStore:
    """The memories of one home. `now_ms` is the wall clock. Methods raise StoreError."""

    def __init__(self, home: str, *, now_ms: Callable[[], int]) -> None:
        self.home = home
        self.folder = str(Path(home, MEMORIES))
        """What commands may write."""
        self.state = str(Path(home, "state", MEMORIES))
        """What only Octavo writes."""
        self.warnings: dict[str, None] = {}
        """What was damaged, one sentence each."""
        self._now_ms = now_ms

    def prepare(self) -> None:
        """Make the folders."""
        with told(self.folder):
            Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("threads", "leases"):
                Path(self.state, name).mkdir(mode=0o700, parents=True, exist_ok=True)

    # ---- records --------------------------------------------------------------------------

    def all(self) -> tuple[Memory, ...]:
        """Every record that can be read."""
        found = []
        for path in sorted(Path(self.state, "threads").glob("*.json")):
            memory = self._read(path, Memory)
            if memory is not None and memory.thread == path.stem:
                found.append(memory)
        return tuple(found)

    def get(self, thread: str) -> Memory | None:
        """The record of one thread."""
        return self._read(self._record(thread), Memory)

    def keep(self, memory: Memory) -> None:
        """Write a record; uses and the mark of pollution of an older one stay."""
        with self._locked(memory.thread):
            before = self.get(memory.thread)
            if before is not None:
                memory = replace(
                    memory,
                    uses=max(before.uses, memory.uses),
                    used_ms=memory.used_ms if before.used_ms is None else before.used_ms,
                    polluted=before.polluted or memory.polluted,
                )
            self._write(self._record(memory.thread), memory)

    def used(self, slugs: Iterable[str]) -> None:
        """These were read: they count for more when memories are merged."""
        wanted = set(slugs)
        for memory in self.all():
            if memory.slug in wanted:
                with self._locked(memory.thread):
                    now = self.get(memory.thread) or memory
                    again = replace(now, uses=now.uses + 1, used_ms=self._now_ms())
                    self._write(self._record(memory.thread), again)

    def pollute(self, thread: str) -> None:
        """This thread saw text from outside."""
        with self._locked(thread):
            before = self.get(thread) or Memory(thread=thread)
            if not before.polluted:
                self._write(self._record(thread), replace(before, polluted=True))

    # ---- leases ---------------------------------------------------------------------------

    def lease(self, job: str) -> bool:
        """Take a job for an hour; False: somebody has it, or it failed less than an hour ago."""
        try:
            with self._locked(job):
                there = self._read(self._lease(job), Lease)
                now = self._now_ms()
                if there is not None and now < there.until_ms <= now + LEASE_MS:
                    return False
                self._write(self._lease(job), Lease(until_ms=now + LEASE_MS))
                return True
        except ThreadBusy:
            return False

    def failed(self, job: str) -> None:
        """It is tried again in an hour."""
        self._write(self._lease(job), Lease(until_ms=self._now_ms() + LEASE_MS))

    def release(self, job: str) -> None:
        """It is done, or was stopped before it did anything."""
        with suppress(OSError):
            self._lease(job).unlink(missing_ok=True)

    # ---- merging --------------------------------------------------------------------------

    def merged(self) -> str:
        """The digest of what was merged last."""
        found = self._read(Path(self.state, "merged.json"), Merged)
        return "" if found is None else found.digest

    def set_merged(self, digest: str) -> None:
        """This has been merged."""
        self._write(Path(self.state, "merged.json"), Merged(digest=digest))

    def strange(self) -> tuple[str, ...]:
        """Names in the folder that programs would obey (`.git`, `.codex`, …): nobody may put
        them there."""
        with told(self.folder), Under(self.folder) as under:
            return tuple(
                name
                for name, _ in under.names("")
                if name.startswith(".") and not name.startswith(".new-")
            )

    def write_inputs(self, raw: str, summaries: Mapping[str, str]) -> None:
        """Put in place what is to be merged: `raw_memories.md` and one summary per thread."""
        with told(self.folder), Under(self.folder) as under:
            replaced(under, RAW, raw.encode())
            folder_in(under, SUMMARIES)
            folder_in(under, SKILLS)
            wanted = {f"{slug}.md": text for slug, text in summaries.items()}
            for name, state in list(under.names(SUMMARIES)):
                if name not in wanted and not stat.S_ISDIR(state.st_mode):
                    under.remove(f"{SUMMARIES}/{name}")
            for name, text in wanted.items():
                replaced(under, f"{SUMMARIES}/{name}", text.encode())

    def write_diff(self, text: bytes | None) -> None:
        """What has changed since the last merging; None takes the file away."""
        with told(self.folder), Under(self.folder) as under:
            if text is None:
                with suppress(FileNotFoundError):
                    under.remove(DIFF)
            else:
                replaced(under, DIFF, text)

    def read(self, name: str) -> str | None:
        """A file of the folder as text; None when it is missing, too large, or no plain file."""
        try:
            with Under(self.folder) as under:
                return limited(under, name).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as wrong:
            self._warn(str(Path(self.folder, name)), wrong.strerror or str(wrong))
            return None

    def files(self) -> dict[str, bytes]:
        """The plain files of the folder, by path, for its history; the diff is left out."""
        found: dict[str, bytes] = {}
        with told(self.folder), Under(self.folder) as under:
            for path in plain_files(under, "", DEEPEST):
                if path != DIFF and len(found) < MOST_FILES:
                    with suppress(OSError):
                        found[path] = limited(under, path)
        return found

    # ---- one file -------------------------------------------------------------------------

    def _record(self, thread: str) -> Path:
        return Path(self.state, "threads", f"{checked(thread)}.json")

    def _lease(self, job: str) -> Path:
        return Path(self.state, "leases", f"{checked(job)}.json")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        lock = ThreadLock(self.home, ThreadId(f"memory-{checked(name)}"))
        try:
            yield
        finally:
            lock.release()

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except OSError as wrong:
            self._warn(str(path), wrong.strerror or str(wrong))
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as wrong:
            self._warn(str(path), str(wrong))
        return None

    def _write(self, path: Path, value: Struct) -> None:
        temporary = path.with_name(f".new-{os.getpid()}-{path.name}")
        with told(str(path)):
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                temporary.write_bytes(msgspec.json.encode(value) + b"\n")
                os.replace(temporary, path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def _warn(self, path: str, why: str) -> None:
        self.warnings.setdefault(f"a memory is left out: {printable(path)}: {printable(why)}")


def checked(name: str) -> str:
    """A thread's id or a job, as part of a file's name. Raises StoreError for anything else."""
    if name == MERGING or is_thread_id(name):
        return name
    raise StoreError(f"{printable(name)!r} is not the id of a thread")


@contextmanager
def told(path: str) -> Iterator[None]:
    """An OSError as one line."""
    try:
        yield
    except OSError as wrong:
        where = wrong.filename if isinstance(wrong.filename, str) else path
        reason = wrong.strerror or str(wrong)
        raise StoreError(f"{printable(path)}: {printable(where)}: {reason}") from wrong


def replaced(under: Under, path: str, data: bytes) -> None:
    """A file with this content, whatever was there; a folder in its place is an OSError."""
    folder, slash, name = path.rpartition("/")
    temporary = f"{folder}{slash}.new-{os.getpid()}-{name}"
    with suppress(FileNotFoundError):
        under.remove(temporary)
    descriptor = under.create(temporary)
    try:
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        under.move(temporary, path)
    except OSError:
        with suppress(OSError):
            under.remove(temporary)
        raise


def folder_in(under: Under, name: str) -> None:
    """A real folder of that name; a file or a link in its place is taken away."""
    try:
        if stat.S_ISDIR(under.state(name).st_mode):
            return
        under.remove(name)
    except FileNotFoundError:
        pass
    under.make_folder(name)


def limited(under: Under, path: str) -> bytes:
    """A plain file that is not too large."""
    with under.opened(path) as descriptor:
        if os.fstat(descriptor).st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"larger than {MOST_BYTES >> 20} MiB", path)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(MOST_BYTES)


def plain_files(under: Under, folder: str, deep: int) -> Iterator[str]:
    """Paths of plain files with ordinary names, sorted; hidden ones and links are left out."""
    for name, state in sorted(under.names(folder), key=lambda found: found[0]):
        if name.startswith(".") or not name.isprintable() or '"' in name or "\\" in name:
            continue
        path = f"{folder}/{name}" if folder else name
        if stat.S_ISDIR(state.st_mode) and deep:
            yield from plain_files(under, path, deep - 1)
        elif stat.S_ISREG(state.st_mode):
            yield path
