"""Large outputs and pictures, each kept once, by what they contain, under a cap for all together.

A blob is written beside its place and moved there whole. When the cap is passed, those used
longest ago go first: what points at them has to say so politely.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from octavo.policy.paths import printable
from octavo.store.errors import StoreError

CAP_BYTES: Final = 1024 * 1024 * 1024
ALGORITHM: Final = "sha256"
DIGITS: Final = frozenset("0123456789abcdef")
LENGTH: Final = 64


class Blob(Struct, frozen=True, kw_only=True):
    """Where a blob can be found again."""

    digest: str
    bytes: int


class Blobs:
    """The blobs in one folder, which is made when the first one is kept."""

    def __init__(self, folder: str, *, cap_bytes: int = CAP_BYTES) -> None:
        self._folder = Path(folder)
        self._cap = cap_bytes

    def put(self, data: bytes) -> Blob:
        """Keep the data. Raises StoreError when it cannot be written or is larger than the cap."""
        if len(data) > self._cap:
            raise StoreError(f"an output of {len(data)} bytes is larger than the store may grow")
        blob = Blob(digest=hashlib.new(ALGORITHM, data).hexdigest(), bytes=len(data))
        path = self._place(blob.digest)
        try:
            if path.exists():
                os.utime(path)
                return blob
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data))
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as wrong:
            reason = wrong.strerror or str(wrong)
            raise StoreError(f"{printable(str(path))}: cannot be written: {reason}") from wrong
        return blob

    def get(self, digest: str) -> bytes | None:
        """The data; None when it is not there any more, or is not what it was."""
        if len(digest) != LENGTH or not DIGITS.issuperset(digest):
            return None
        path = self._place(digest)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data if hashlib.new(ALGORITHM, data).hexdigest() == digest else None

    def _place(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest[2:]

    def _make_room(self, wanted: int) -> None:
        """Remove what was used longest ago, until `wanted` more bytes fit."""
        kept = []
        for path in self._folder.glob("??/*"):
            try:
                there = path.stat()
            except OSError:
                continue
            kept.append((there.st_mtime_ns, there.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total + wanted <= self._cap:
                return
            path.unlink(missing_ok=True)
            total -= size


BINARY: Final = getattr(os, "O_BINARY", 0)
