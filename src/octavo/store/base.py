"""The seam between the engine and the disk: what a store of threads can do.

The real one is `octavo.store.disk.DiskStore`. A thread that is not to be kept has an
`EphemeralLog`, which takes everything and remembers nothing.
"""

from typing import Protocol

from msgspec import Struct

from octavo.protocol.ids import ThreadId
from octavo.store.rollout import Record, SessionMeta
from octavo.store.thread import LoadedThread


class ThreadInfo(Struct, frozen=True, kw_only=True):
    """What a list of threads shows of one."""

    id: ThreadId
    path: str
    cwd: str
    created_ms: int
    updated_ms: int
    preview: str = ""
    """The first thing the user asked, shortened to one line."""
    name: str | None = None
    source: str = ""
    model_provider: str | None = None
    branch: str | None = None
    archived: bool = False
    forked_from: ThreadId | None = None
    parent: ThreadId | None = None


class ThreadLog(Protocol):
    """A thread that is open for writing."""

    @property
    def path(self) -> str | None:
        """Its file; None when it is not kept."""

    def append(self, *records: Record) -> None:
        """Keep these, all or none, before anybody hears of them. Raises StoreError."""

    def close(self) -> None:
        """Let others write. Again and again does no harm."""


class Store(Protocol):
    """Threads that outlive the program. Every method raises StoreError in one line."""

    def create(self, meta: SessionMeta) -> ThreadLog:
        """Begin a thread."""

    def open(self, thread: ThreadId) -> tuple[LoadedThread, ThreadLog]:
        """Go on with a thread. Raises ThreadNotFound, ThreadBusy."""

    def read(self, thread: ThreadId) -> LoadedThread:
        """Look at a thread, which another process may be writing. Raises ThreadNotFound."""

    def list(
        self,
        *,
        cwd: str | None = None,
        archived: bool = False,
        search: str | None = None,
        limit: int | None = None,
    ) -> tuple[ThreadInfo, ...]:
        """Threads, the one last written first; of one folder, or with these words in them."""

    def fork(self, thread: ThreadId, meta: SessionMeta, *, end: int | None = None) -> ThreadLog:
        """Begin a thread with another one's history, up to the ordinal `end` if given."""

    def archive(self, thread: ThreadId) -> None:
        """Put a thread aside. Raises ThreadBusy while it is written."""

    def unarchive(self, thread: ThreadId) -> None:
        """Bring a thread back."""

    def delete(self, thread: ThreadId) -> None:
        """Remove a thread for good. Raises ThreadInUse while others are based on it."""


class EphemeralLog:
    """The log of a thread that is not kept."""

    path: str | None = None

    def append(self, *records: Record) -> None:
        """Takes everything."""

    def close(self) -> None:
        """Nothing to let go of."""
