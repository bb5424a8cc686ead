"""Threads by time, folder and words: a copy of what the rollouts say, in sqlite.

Before each answer it is brought up to date with the files on disk; only what was appended since
is read. It is a cache: lost, broken, of another version or locked by somebody, an index in
memory stands in for it, and nobody waits longer than `PATIENCE_S`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from octavo.protocol.ids import ThreadId
from octavo.store.base import ThreadInfo
from octavo.store.layout import all_rollouts, is_archived
from octavo.store.rollout import textual
from octavo.store.summary import Summary, millis, summarise

VERSION: Final = 1
PATIENCE_S: Final = 0.25
SCHEMA: Final = f"""
CREATE TABLE threads (
  path TEXT PRIMARY KEY, id TEXT NOT NULL, cwd TEXT NOT NULL, created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL, preview TEXT NOT NULL, source TEXT NOT NULL, provider TEXT,
  branch TEXT, archived INTEGER NOT NULL, forked_from TEXT, parent TEXT,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
  read_to INTEGER NOT NULL
);
CREATE INDEX by_time ON threads (archived, updated_ms DESC);
CREATE VIRTUAL TABLE said USING fts5 (path UNINDEXED, text);
PRAGMA user_version = {VERSION};
"""
COLUMNS: Final = (
    "id, path, cwd, created_ms, updated_ms, preview, source, provider, branch, archived, "
    "forked_from, parent"
)
MEMORY: Final = ":memory:"


class Index:
    """The index of one home. Opens its file for each answer; nothing stays open."""

    def __init__(self, home: str, path: str) -> None:
        self._home = home
        self._path = path

    def list(
        self, *, cwd: str | None = None, archived: bool = False, limit: int | None = None
    ) -> tuple[ThreadInfo, ...]:
        """Threads, the one last written first."""
        where, values = ["archived = ?"], [archived]
        query = f"SELECT {COLUMNS} FROM threads WHERE "  # noqa: S608 - our own words only
        arguments: list[object] = [*values]
        if cwd is not None:
            where.append("cwd = ?")
            arguments.append(textual(cwd))
        query += " AND ".join(where) + " ORDER BY updated_ms DESC, id DESC LIMIT ?"
        arguments.append(-1 if limit is None else limit)
        with self._current() as database:
            return tuple(_info(row, self._home) for row in database.execute(query, arguments))

    def search(self, words: str) -> frozenset[str]:
        """The paths of the threads in which all these words, or their beginnings, were said."""
        terms = [f'"{word}"*' for word in words.replace('"', " ").split()]
        if not terms:
            return frozenset()
        found: list[set[str]] = []
        with self._current() as database:
            for term in terms:
                rows = database.execute("SELECT path FROM said WHERE said MATCH ?", (term,))
                found.append({str(Path(self._home, row[0])) for row in rows})
        return frozenset(set.intersection(*found))

    @contextmanager
    def _current(self) -> Iterator[sqlite3.Connection]:
        """The index, up to date; one in memory where the file cannot be used."""
        for path in (self._path, MEMORY):
            database = _opened(path)
            if database is None:
                continue
            with closing(database):
                try:
                    self._refresh(database)
                except sqlite3.Error:
                    if path == MEMORY:
                        raise
                    continue
                yield database
                return

    def _refresh(self, database: sqlite3.Connection) -> None:
        known = {
            str(Path(self._home, row[0])): row[1:]
            for row in database.execute("SELECT path, size, mtime_ns, inode, read_to FROM threads")
        }
        changed: list[tuple[str, int, int, int]] = []
        for path in all_rollouts(self._home):
            try:
                there = Path(path).stat()
            except OSError:
                continue
            state = (there.st_size, there.st_mtime_ns, there.st_ino)
            old = known.pop(path, None)
            if old is None or old[:3] != state:
                grown = old is not None and old[2] == state[2] and old[0] < state[0]
                changed.append((path, *state[:2], old[3] if old and grown else 0))
        if not changed and not known:
            return
        with database:
            for path in known:
                _forget(database, self._key(path))
            for path, size, mtime_ns, start in changed:
                self._renew(database, path, (size, mtime_ns), start)

    def _key(self, path: str) -> str:
        """Paths are kept as seen from the home: then it may have any name, and be moved."""
        return str(Path(path).relative_to(self._home))

    def _renew(
        self, database: sqlite3.Connection, path: str, state: tuple[int, int], start: int
    ) -> None:
        summary = summarise(path, start=start)
        key = self._key(path)
        if not start:
            _forget(database, key)
        if summary is None:
            return
        _keep_words(database, key, summary)
        if start:
            database.execute(
                "UPDATE threads SET updated_ms = ?, size = ?, mtime_ns = ?, read_to = ?,"
                " preview = CASE preview WHEN '' THEN ? ELSE preview END WHERE path = ?",
                (state[1] // 1_000_000, *state, summary.read_to, summary.preview, key),
            )
            return
        meta = summary.meta
        row = (
            key, meta.id, meta.cwd, millis(meta.timestamp), state[1] // 1_000_000,
            summary.preview, meta.source if isinstance(meta.source, str) else "subagent",
            meta.model_provider, meta.git.branch if meta.git else None,
            is_archived(self._home, path), meta.forked_from_id, meta.parent_thread_id,
            *state, Path(path).stat().st_ino, summary.read_to,
        )  # fmt: skip
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT OR REPLACE INTO threads VALUES ({marks})", row)  # noqa: S608


def _opened(path: str) -> sqlite3.Connection | None:
    """The database, with tables; None when it cannot be had now. A broken one is made anew."""
    for attempt in range(2):
        try:
            return _with_tables(path)
        except sqlite3.OperationalError:  # locked, read-only folder, disk full
            return None
        except sqlite3.DatabaseError:  # not a database any more
            if attempt or not _removed(path):
                return None
    return None


def _with_tables(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=PATIENCE_S)
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            if path != MEMORY:
                database.execute("PRAGMA journal_mode = WAL")
            _drop(database)
            database.executescript(SCHEMA)
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("SELECT count(*) FROM threads, said LIMIT 0")
    except BaseException:
        database.close()
        raise
    return database


def _drop(database: sqlite3.Connection) -> None:
    database.executescript("DROP TABLE IF EXISTS threads; DROP TABLE IF EXISTS said;")


def _removed(path: str) -> bool:
    try:
        for name in (path, f"{path}-wal", f"{path}-shm"):
            Path(name).unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _forget(database: sqlite3.Connection, path: str) -> None:
    database.execute("DELETE FROM threads WHERE path = ?", (path,))
    database.execute("DELETE FROM said WHERE path = ?", (path,))


def _keep_words(database: sqlite3.Connection, path: str, summary: Summary) -> None:
    rows = [(path, text) for text in summary.said if text]
    database.executemany("INSERT INTO said (path, text) VALUES (?, ?)", rows)


def _info(row: Sequence[object], home: str) -> ThreadInfo:
    (
        id_,
        path,
        cwd,
        created,
        updated,
        preview,
        source,
        provider,
        branch,
        archived,
        forked,
        parent,
    ) = row
    assert isinstance(created, int)
    assert isinstance(updated, int)
    return ThreadInfo(
        id=ThreadId(str(id_)),
        path=str(Path(home, str(path))),
        cwd=str(cwd),
        created_ms=created,
        updated_ms=updated,
        preview=str(preview),
        source=str(source),
        model_provider=None if provider is None else str(provider),
        branch=None if branch is None else str(branch),
        archived=bool(archived),
        forked_from=None if forked is None else ThreadId(str(forked)),
        parent=None if parent is None else ThreadId(str(parent)),
    )
