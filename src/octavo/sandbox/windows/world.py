"""The disk, and what we keep under our home, as far as carrying plans out needs them.

Protocols and errors only. `octavo.sandbox.win32` has the real ones, the tests a disk made of the
access model; so the order of writes and every way to fail is tried on any system.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, Protocol

from octavo.protocol.errors import OctavoError
from octavo.sandbox.windows.acl import Change, Present
from octavo.sandbox.windows.denyread import Found
from octavo.sandbox.windows.journal import Journal, Record
from octavo.sandbox.windows.plan import Create
from octavo.sandbox.windows.sids import Capabilities


class DiskError(OctavoError):
    """A call about one path failed: `call`, `code` (the number Windows gave) and `path` say what.

    `owner` is the SID of the object's owner where it is known.
    """

    exit_code = 5

    def __init__(
        self,
        call: str,
        code: int,
        *,
        path: str,
        reason: str,
        owner: str = "",
        hint: str | None = None,
    ) -> None:
        owned = f", owned by {owner}" if owner else ""
        super().__init__(f'{call} for "{path}"{owned}: {reason} (Windows error {code})', hint=hint)
        self.call = call
        self.code = code
        self.path = path
        self.reason = reason
        self.owner = owner


class ChangedMeanwhile(OctavoError):  # noqa: N818 - says what happened; plan again
    """What is on disk is no longer what the plan was made for. Nothing was written to it."""

    exit_code = 5

    def __init__(self, path: str) -> None:
        super().__init__(f'"{path}" changed while its access entries were planned')
        self.path = path


class Disk(Protocol):
    """Files and folders by canonical path; no method follows a link at or above a path.

    Everything raises DiskError for a call that fails.
    """

    def look(self, path: str) -> Present | None:
        """What a path has; None when it is missing."""

    def canonical(self, path: str) -> str:
        """The path with links and short names resolved, as far as it exists."""

    def strays(self, folder: str, since_ms: int = 0) -> Iterable[Present | DiskError]:
        """What lies below and has entries of its own or inherits nothing; an error stands for
        what could not be looked at. With `since_ms`, only what was made since then, by its own
        account."""

    def keeps_lists(self, path: str) -> bool:
        """Does the volume of this path, or of what exists above it, keep access lists?"""

    def listing(self, folder: str) -> Iterable[Found]:
        """The entries of a folder; none when it is missing."""

    def probe(self, change: Change) -> None:
        """Could this change be written? Writes nothing. Raises as `write` does."""

    def write(self, change: Change) -> None:
        """Write the list. Raises ChangedMeanwhile when `change.before` is not what is there."""

    def create(self, made: Create) -> None:
        """Make what is missing, with its entries. Raises ChangedMeanwhile when it is there."""

    def remove(self, path: str, text: str | None) -> bool:
        """Remove an empty folder, or a file that has this text; False when it is something else,
        or not empty. True when it is gone."""


@dataclass(frozen=True, slots=True)
class Last:
    """What the last plan of a home was, and what was found for it."""

    wish: str
    """A digest of what was asked for."""
    fingerprint: str
    """The plan's."""
    at_ms: int
    strays: tuple[str, ...]
    """What `Disk.strays` named then."""
    open: tuple[str, ...]
    """Folders everybody may write."""
    audit_ms: int
    """When those were looked for."""


def encode_last(last: Last) -> bytes:
    """The file's content."""
    table = {each.name: getattr(last, each.name) for each in fields(Last)}
    return (json.dumps({"v": 1, **table}, ensure_ascii=True) + "\n").encode("ascii")


def decode_last(data: bytes) -> Last | None:
    """What the file says; None when it is damaged: then everything is looked at again."""
    try:
        table: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(table, dict) or table.get("v") != 1:
        return None
    found: dict[str, Any] = {}
    for name in ("wish", "fingerprint"):
        found[name] = table.get(name) if isinstance(table.get(name), str) else None
    for name in ("at_ms", "audit_ms"):
        found[name] = table.get(name) if type(table.get(name)) is int else None
    for name in ("strays", "open"):
        paths = table.get(name)
        good = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        found[name] = tuple(paths) if good and paths is not None else None
    return None if None in found.values() else Last(**found)


class Store(Protocol):
    """The files of one home. Raises ConfigError for a damaged one, DiskError for a call."""

    def lock(self) -> AbstractContextManager[None]:
        """One at a time per home, with a deadline. Raises SandboxUnavailable when it passes."""

    def capabilities(self) -> tuple[Capabilities, bool]:
        """The capability SIDs, and whether the file has to be written."""

    def save_capabilities(self, capabilities: Capabilities) -> None:
        """Replace the capability file."""

    def hidden(self, group: str) -> tuple[str, ...]:
        """What earlier plans hid from the group."""

    def save_hidden(self, group: str, paths: Sequence[str]) -> None:
        """Replace that list."""

    def journal(self) -> Journal:
        """Every record."""

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""

    def replace_journal(self, records: Sequence[Record]) -> None:
        """Keep only these."""

    def last(self) -> Last | None:
        """The last plan; None when there was none, or when its file is damaged."""

    def save_last(self, last: Last | None) -> None:
        """Remember a plan, or forget it."""

    def held(self) -> tuple[str, ...]:
        """What commands that run now need hidden or closed."""
