"""The store on disk: one append-only file per thread, and an index that can be lost.

Files are only created, appended to, moved whole, and removed whole; nothing is rewritten.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.policy.paths import printable
from octavo.protocol import items as shown
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.wire import JSON
from octavo.store.base import ThreadInfo
from octavo.store.blobs import Blobs
from octavo.store.display import completed, item_from_wire, legacy_item
from octavo.store.errors import StoreError, ThreadInUse, ThreadNotFound
from octavo.store.layout import (
    BLOBS,
    INDEX,
    NAMES,
    all_rollouts,
    archived_path,
    find_rollout,
    is_archived,
    is_thread_id,
    rollout_path,
    thread_of,
    unarchived_path,
)
from octavo.store.lock import ThreadLock
from octavo.store.log import NowMs, RolloutWriter, whole_end
from octavo.store.rollout import (
    PAGINATED,
    HistoryBase,
    ResponseItem,
    SessionMeta,
    kind_of,
    stamp,
)
from octavo.store.summary import NameLine, name_lines
from octavo.store.thread import LoadedThread, display_lines, lines, load_thread, read_meta

if TYPE_CHECKING:
    from octavo.store.index import Index

NAME_AT_MOST: Final = 200


class DiskStore:
    """The threads under one home folder, which is made when the first one is written.

    `now_ms` is the wall clock; `sqlite_home` is where the index lies, if not in the home.
    """

    def __init__(self, home: str, *, now_ms: NowMs, sqlite_home: str | None = None) -> None:
        self.home = home
        self.blobs = Blobs(str(Path(home, BLOBS)))
        self._now_ms = now_ms
        self._index_path = str(Path(sqlite_home or home, INDEX))

    @cached_property
    def _index(self) -> "Index":
        from octavo.store.index import Index  # noqa: PLC0415 - sqlite, for lists only

        return Index(self.home, self._index_path)

    def create(self, meta: SessionMeta) -> RolloutWriter:
        """Begin a thread. Raises StoreError when the home cannot be written."""
        started = datetime.fromtimestamp(self._now_ms() / 1000).astimezone()
        path = rollout_path(self.home, meta.id, started)
        kept = replace(meta, history_mode=PAGINATED)
        return RolloutWriter.create(path, kept, home=self.home, now_ms=self._now_ms)

    def open(self, thread: ThreadId) -> tuple[LoadedThread, RolloutWriter]:
        """Go on with a thread; an archived one comes back. Raises ThreadNotFound, ThreadBusy."""
        path = self._path(thread)
        if is_archived(self.home, path):
            self.unarchive(thread)
            path = self._path(thread)
        writer = RolloutWriter.open(path, home=self.home, now_ms=self._now_ms)
        try:
            return load_thread(path, home=self.home), writer
        except BaseException:
            writer.close()
            raise

    def read(self, thread: ThreadId) -> LoadedThread:
        """Look at a thread, which another process may be writing. Raises ThreadNotFound."""
        return load_thread(self._path(thread), home=self.home)

    def items(self, thread: ThreadId) -> Iterator[tuple[str, shown.Item]]:
        """What people saw of a thread, oldest first, each with its turn (empty: not noted)."""
        for number, (turn, raw) in enumerate(display_lines(self._path(thread), home=self.home)):
            item = item_from_wire(raw) if turn is not None else legacy_item(raw, number)
            if item is not None:
                yield turn or "", item

    def fork(self, thread: ThreadId, meta: SessionMeta, *, end: int | None = None) -> RolloutWriter:
        """Begin a thread with the history of another one, all of it or up to the ordinal `end`.

        The history is not copied: the new file points at the old one, which then cannot be
        deleted. A thread of the older form has no ordinals, so its history is copied.
        """
        path = self._path(thread)
        origin = replace(meta, forked_from_id=thread)
        if not read_meta(path).paginated:
            return self._copied(thread, path, origin)
        ordinal, size = whole_end(path)
        place, offset = ordinal or 0, size
        if end is not None and end < place:
            place, offset = end, _offset_of(path, end)
        base = HistoryBase(thread_id=thread, end_ordinal_exclusive=place, end_byte_offset=offset)
        return self.create(replace(origin, forked_from_ordinal_exclusive=place, history_base=base))

    def list(
        self,
        *,
        cwd: str | None = None,
        archived: bool = False,
        search: str | None = None,
        limit: int | None = None,
    ) -> tuple[ThreadInfo, ...]:
        """Threads, the one last written first; of one folder, or with these words in them.

        A search looks at names, too, and at the beginnings of words; all words have to be there.
        """
        names = self.names()
        found = self._index.list(
            cwd=cwd, archived=archived, limit=None if search is not None else limit
        )
        named = (replace(info, name=names.get(info.id)) for info in found)
        if search is None:
            return tuple(named)
        paths = self._index.search(search)
        words = search.lower().split()
        hits = [
            info
            for info in named
            if info.path in paths or _all_in(words, f"{info.name or ''} {info.preview}")
        ]
        return tuple(hits if limit is None else hits[:limit])

    def resolve(self, wanted: str) -> ThreadId:
        """The thread a person means: an id, or a name (the one last written). Raises ThreadNotFound."""
        if is_thread_id(wanted) and find_rollout(self.home, ThreadId(wanted)) is not None:
            return ThreadId(wanted)
        for archived in (False, True):
            for info in self.list(archived=archived):
                if info.name == wanted:
                    return info.id
        raise ThreadNotFound(f"no rollout found for thread {printable(wanted)!r}")

    def rename(self, thread: ThreadId, name: str) -> None:
        """Give a thread a name; an empty one takes it away. Raises StoreError."""
        self._path(thread)
        line = NameLine(
            id=thread, thread_name=name[:NAME_AT_MOST], updated_at=stamp(self._now_ms())
        )
        self._changed(lambda: _append(str(Path(self.home, NAMES)), JSON.encode(line) + b"\n"))

    def names(self) -> dict[str, str]:
        """The names of threads, by id."""
        try:
            data = Path(self.home, NAMES).read_bytes()
        except OSError:  # names are a convenience
            return {}
        return {thread: name for thread, name in name_lines(data).items() if name}

    def archive(self, thread: ThreadId) -> None:
        """Put a thread aside. Raises ThreadNotFound, ThreadBusy while it is written."""
        path = self._path(thread)
        if not is_archived(self.home, path):
            self._move(thread, path, archived_path(self.home, path))

    def unarchive(self, thread: ThreadId) -> None:
        """Bring a thread back to the day it began."""
        path = self._path(thread)
        if is_archived(self.home, path):
            self._move(thread, path, unarchived_path(self.home, path))

    def delete(self, thread: ThreadId) -> None:
        """Remove a thread for good. Raises ThreadBusy, ThreadInUse while others are based on it."""
        path = self._path(thread)
        lock = ThreadLock(self.home, thread)
        try:
            based = tuple(self._based_on(thread))
            if based:
                shown_ids = ", ".join(based[:3]) + (", …" if len(based) > 3 else "")
                raise ThreadInUse(
                    f"thread {thread} cannot be deleted: {shown_ids} continues from it", by=based
                )
            self._changed(Path(path).unlink)
        finally:
            lock.release()

    def _based_on(self, thread: ThreadId) -> Iterator[ThreadId]:
        """The threads whose history begins in this one: asked of the files, not of the index."""
        for path in all_rollouts(self.home):
            try:
                meta = read_meta(path)
            except StoreError:  # not readable, so it cannot continue from anything either
                continue
            if meta.history_base is not None and meta.history_base.thread_id == thread:
                yield meta.id

    def _copied(self, thread: ThreadId, path: str, meta: SessionMeta) -> RolloutWriter:
        loaded = load_thread(path, home=self.home)
        writer = self.create(meta)
        try:
            records = [ResponseItem(item) for item in loaded.items]
            last = loaded.turns[-1].id if loaded.turns else TurnId(thread)
            seen = [
                completed(item, thread_id=meta.id, turn_id=TurnId(turn) if turn else last)
                for turn, item in self.items(thread)
            ]
            context = [] if loaded.turn_context is None else [loaded.turn_context]
            writer.append(*records, *(record for record in seen if record), *context)
        except BaseException:
            writer.close()
            raise
        return writer

    def _move(self, thread: ThreadId, path: str, target: str) -> None:
        lock = ThreadLock(self.home, thread)
        try:
            self._changed(lambda: _rename(path, target))
        finally:
            lock.release()

    def _changed(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as wrong:
            shown_path = printable(str(wrong.filename or self.home))
            raise StoreError(
                f"{shown_path}: cannot be changed: {wrong.strerror or wrong}"
            ) from wrong

    def _path(self, thread: ThreadId) -> str:
        path = find_rollout(self.home, thread)
        if path is None:
            raise ThreadNotFound(f"no rollout found for thread id {printable(thread)}")
        assert thread_of(path) == thread
        return path


def _offset_of(path: str, end: int) -> int:
    """The byte offset behind the last line whose ordinal is below `end`."""
    at = 0
    for line in lines(path):
        kind = kind_of(line)
        if kind is not None and kind.ordinal is not None and kind.ordinal >= end:
            break
        at += len(line)
    return at


def _rename(path: str, target: str) -> None:
    Path(target).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(path).rename(target)


def _append(path: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _all_in(words: list[str], text: str) -> bool:
    low = text.lower()
    return bool(words) and all(word in low for word in words)
