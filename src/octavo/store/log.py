"""Append to a thread's file so that no crash can harm what was appended before.

Each append is handed to the system at once, in whole lines, so it survives the death of this
process at any moment. It is forced to the disk (fsync) where a turn ends, after a compaction
and on close: losing power can cost the turn that is running, never an earlier one.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from octavo.policy.paths import printable
from octavo.store.display import legacy_event
from octavo.store.errors import StoreError, ThreadBusy
from octavo.store.lock import ThreadLock
from octavo.store.rollout import (
    Compacted,
    ItemCompleted,
    Record,
    SessionMeta,
    TaskComplete,
    TurnAborted,
    encode_line,
    envelope_of,
    kind_of,
)
from octavo.store.thread import lines, read_meta

DURABLE: Final = (TaskComplete, TurnAborted, Compacted)
"""After these, what was written is forced to the disk."""
CHUNK: Final = 1 << 16
FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip
NowMs = Callable[[], int]


class RolloutWriter:
    """Writes one thread. Made by `create` or `open`; `close` it. Not for several at a time."""

    def __init__(
        self, *, path: str, meta: SessionMeta, lock: ThreadLock, descriptor: int, now_ms: NowMs
    ) -> None:
        self.path = path
        self.meta = meta
        self._lock = lock
        self._descriptor: int | None = descriptor
        self._now_ms = now_ms
        self._size = 0
        self._ordinal: int | None = None
        self._torn = False  # an append failed half-way, and could not be taken back

    @classmethod
    def create(cls, path: str, meta: SessionMeta, *, home: str, now_ms: NowMs) -> "RolloutWriter":
        """Begin a thread's file with its metadata.

        Raises StoreError when it cannot be written or is there already, ThreadBusy.
        """
        lock = ThreadLock(home, meta.id)
        try:
            try:
                Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as wrong:
                raise _unwritable(path, wrong) from wrong
            writer = cls(path=path, meta=meta, lock=lock, descriptor=descriptor, now_ms=now_ms)
        except BaseException:
            lock.release()
            raise
        if meta.paginated:
            base = meta.history_base
            writer._ordinal = 0 if base is None else base.end_ordinal_exclusive
        try:
            writer.append(meta)
        except BaseException:
            writer.close()
            Path(path).unlink(missing_ok=True)  # it holds nothing
            raise
        return writer

    @classmethod
    def open(cls, path: str, *, home: str, now_ms: NowMs) -> "RolloutWriter":
        """Go on with a thread's file. A last line that was cut off is removed.

        Raises StoreError, ThreadBusy.
        """
        meta = read_meta(path)
        lock = ThreadLock(home, meta.id)
        try:
            descriptor = os.open(path, FLAGS)
        except OSError as wrong:
            lock.release()
            raise _unwritable(path, wrong) from wrong
        writer = cls(path=path, meta=meta, lock=lock, descriptor=descriptor, now_ms=now_ms)
        try:
            writer._mend()
        except OSError as wrong:
            writer.close()
            raise _unwritable(path, wrong) from wrong
        return writer

    @property
    def position(self) -> tuple[int | None, int]:
        """The next line's ordinal (None in a file of the older form) and byte offset."""
        return self._ordinal, self._size

    def append(self, *records: Record) -> None:
        """Write these lines, all or none. Raises StoreError; what was there before is kept."""
        descriptor = self._descriptor
        if descriptor is None:
            raise StoreError(f"{printable(self.path)}: is closed")
        ordinal = self._ordinal
        parts: list[bytes] = []
        now = self._now_ms()
        for record in records:
            kept = self._in_form(record)
            if kept is not None:
                parts.append(encode_line(kept, at_ms=now, ordinal=ordinal))
                ordinal = None if ordinal is None else ordinal + 1
        data = b"".join(parts)
        try:
            self._write(descriptor, data)
            self._ordinal = ordinal
            if any(isinstance(record, DURABLE) for record in records):
                os.fsync(descriptor)
        except OSError as wrong:
            raise _unwritable(self.path, wrong) from wrong

    def close(self) -> None:
        """Force everything to the disk and let other processes write; again does no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.fsync(descriptor)
        except OSError:  # a disk that is full or gone has said so at the append
            pass
        finally:
            os.close(descriptor)
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_form(self, record: Record) -> Record | None:
        """The record as this file's form has it; None for what the older form does not keep."""
        if self._ordinal is None and isinstance(record, ItemCompleted):
            return legacy_event(record)
        return record

    def _write(self, descriptor: int, data: bytes) -> None:
        """Whole, or not at all."""
        if self._torn:
            os.ftruncate(descriptor, self._size)
            self._torn = False
        elif os.fstat(descriptor).st_size != self._size:
            raise ThreadBusy(f"{printable(self.path)}: was changed by another program")
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            self._torn = True
            os.ftruncate(descriptor, self._size)
            self._torn = False
            raise
        self._size += len(data)

    def _mend(self) -> None:
        """Cut a torn last line, and find where the numbering goes on."""
        descriptor = self._descriptor
        assert descriptor is not None
        size = os.fstat(descriptor).st_size
        tail = _last_line(descriptor, size)
        if tail and not tail.endswith(b"\n"):
            if envelope_of(tail) is not None:  # whole, only its end of line is missing
                os.write(descriptor, b"\n")
                size += 1
            else:
                size -= len(tail)
                os.ftruncate(descriptor, size)
        self._size = size
        if self.meta.paginated:
            self._ordinal = self._next_ordinal(descriptor, size)

    def _next_ordinal(self, descriptor: int, size: int) -> int:
        while size > 0:
            line = _last_line(descriptor, size)
            kind = kind_of(line)
            if kind is not None and kind.ordinal is not None:
                return kind.ordinal + 1
            size -= len(line)
        base = self.meta.history_base
        return 0 if base is None else base.end_ordinal_exclusive


def whole_end(path: str) -> tuple[int | None, int]:
    """Where a file's whole lines end: the ordinal after the last, and the byte offset.

    Safe while another process writes. The ordinal is None in a file of the older form.
    """
    ordinal: int | None = None
    size = 0
    for line in lines(path):
        if not line.endswith(b"\n"):
            break
        size += len(line)
        kind = kind_of(line)
        if kind is not None and kind.ordinal is not None:
            ordinal = kind.ordinal + 1
    return ordinal, size


def _last_line(descriptor: int, size: int) -> bytes:
    """The last line before an offset, its end of line included if it has one."""
    tail = b""
    at = size
    while at > 0:
        step = min(CHUNK, at)
        at -= step
        os.lseek(descriptor, at, os.SEEK_SET)
        tail = os.read(descriptor, step) + tail
        cut = tail.rfind(b"\n", 0, len(tail) - 1)
        if cut >= 0:
            return tail[cut + 1 :]
    return tail


def _unwritable(path: str, wrong: OSError) -> StoreError:
    reason = wrong.strerror or str(wrong)
    return StoreError(f"{printable(path)}: cannot be written: {reason}")
