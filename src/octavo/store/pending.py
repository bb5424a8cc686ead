"""Notes of undos that have begun to change files: what a process that died leaves to the next one."""

import os
from pathlib import Path
from typing import Final, Literal

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, encode

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId, TurnId
from octavo.store.errors import StoreError

Kind = Literal["undo", "redo"]


class PendingRoot(Struct, frozen=True, kw_only=True):
    """One folder of a pending undo."""

    path: bytes
    start: bytes
    end: bytes


class Pending(Struct, frozen=True, kw_only=True):
    """An undo that has begun to change files."""

    id: str
    thread: ThreadId
    kind: Kind
    turns: tuple[TurnId, ...]
    roots: tuple[PendingRoot, ...]


class PendingUndo(StoreError):  # noqa: N818 - says what is
    """An undo was cut off in this folder and has to be brought to an end first."""

    def __init__(self, pending: Pending) -> None:
        super().__init__(
            f"an {pending.kind} of thread {pending.thread} was cut off in the middle",
            hint="`octavo undo --finish` completes it, `octavo undo --roll-back` takes it back",
        )


_DECODER: Final = Decoder(Pending)


def read_pending(folder: str) -> tuple[Pending, ...]:
    """Undos under a folder of checkpoints that began and did not end."""
    found = []
    for path in sorted(Path(folder, "pending").glob("*.json")):
        try:
            found.append(_DECODER.decode(path.read_bytes()))
        except (DecodeError, ValidationError, UnicodeDecodeError, OSError):
            continue  # it was being written: nothing had been changed
    return tuple(found)


def write_pending(folder: str, pending: Pending) -> None:
    """Before the first change, and forced to the disk. Raises StoreError."""
    path = _place(folder, pending)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(encode(pending))
            file.flush()
            os.fsync(file.fileno())
    except OSError as wrong:
        path.unlink(missing_ok=True)
        reason = wrong.strerror or str(wrong)
        raise StoreError(f"{printable(str(path))}: cannot be written: {reason}") from wrong


def drop_pending(folder: str, pending: Pending) -> None:
    """It came to its end."""
    _place(folder, pending).unlink(missing_ok=True)


def _place(folder: str, pending: Pending) -> Path:
    return Path(folder, "pending", f"{pending.id}.json")
