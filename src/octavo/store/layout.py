"""Where threads lie under Octavo's home folder, and what their file names say.

`sessions/YYYY/MM/DD/rollout-TIME-UUID.jsonl`, the time being local; archived ones lie flat in
`archived_sessions/`.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from octavo.protocol.ids import ThreadId

SESSIONS: Final = "sessions"
ARCHIVED: Final = "archived_sessions"
LOCKS: Final = "thread-writer-locks"
NAMES: Final = "session_index.jsonl"
BLOBS: Final = "blobs"
CHECKPOINTS: Final = "checkpoints"
AUDIT: Final = "audit"
OVERLAYS: Final = "overlays"
MEMORIES: Final = "memories"
INDEX: Final = "threads.sqlite"
NAME: Final = re.compile(
    r"rollout-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)-"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.jsonl"
)
STAMP: Final = "%Y-%m-%dT%H-%M-%S"
TIMED: Final = 7
"""The version of UUIDs that begin with the time."""


def has_overlay(home: str, thread: ThreadId) -> bool:
    """Whether changes of a thread wait to be kept or dropped."""
    return Path(home, OVERLAYS, thread).is_dir()


def rollout_path(home: str, thread: ThreadId, started: datetime) -> str:
    """Where a new thread's file goes. `started` is local time."""
    folder = Path(home, SESSIONS, f"{started:%Y}", f"{started:%m}", f"{started:%d}")
    return str(folder / f"rollout-{started:{STAMP}}-{thread}.jsonl")


def archived_path(home: str, path: str) -> str:
    """Where a rollout goes when it is archived."""
    return str(Path(home, ARCHIVED, Path(path).name))


def unarchived_path(home: str, path: str) -> str:
    """Where an archived rollout goes back to: the day its name tells."""
    name = Path(path).name
    found = NAME.fullmatch(name)
    year, month, day = found[1][:10].split("-") if found else ("0000", "00", "00")
    return str(Path(home, SESSIONS, year, month, day, name))


def thread_of(path: str) -> ThreadId | None:
    """The thread whose rollout this is; None for any other file."""
    found = NAME.fullmatch(Path(path).name)
    return ThreadId(found[2]) if found else None


def is_thread_id(text: str) -> bool:
    """Whether the text has the form of a thread's id."""
    return NAME.fullmatch(f"rollout-0000-00-00T00-00-00-{text}.jsonl") is not None


def is_archived(home: str, path: str) -> bool:
    """Whether the rollout lies among the archived ones."""
    return Path(path).parent == Path(home, ARCHIVED)


def find_rollout(home: str, thread: ThreadId) -> str | None:
    """The file of a thread, archived ones included; None when there is none."""
    if not is_thread_id(thread):
        return None
    for folder in _likely(home, thread):
        for path in _in(folder):
            if thread_of(path) == thread:
                return path
    return next((path for path in all_rollouts(home) if thread_of(path) == thread), None)


def all_rollouts(home: str, *, archived: bool = True) -> Iterator[str]:
    """Every rollout, in no particular order."""
    if archived:
        yield from _in(str(Path(home, ARCHIVED)))
    for folder, _, names in os.walk(Path(home, SESSIONS)):
        yield from (str(Path(folder, name)) for name in names if NAME.fullmatch(name))


def _in(folder: str) -> Iterator[str]:
    try:
        paths = list(Path(folder).iterdir())
    except OSError:
        return
    yield from (str(path) for path in paths if NAME.fullmatch(path.name))


def _likely(home: str, thread: ThreadId) -> Iterator[str]:
    """The folders of the days around the time in the id: clocks may stand in any time zone."""
    number = UUID(thread)
    yield str(Path(home, ARCHIVED))
    if number.version != TIMED:
        return
    try:
        day = datetime.fromtimestamp((number.int >> 80) / 1000, UTC)
        days = [day, day - timedelta(days=1), day + timedelta(days=1)]
    except (OverflowError, OSError, ValueError):
        return
    for one in days:
        yield str(Path(home, SESSIONS, f"{one:%Y}", f"{one:%m}", f"{one:%d}"))
