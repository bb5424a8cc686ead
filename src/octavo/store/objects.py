"""Contents of files, each kept once, by what they contain: the material undo works with.

Like `octavo.store.blobs`, for files of any number: nothing is thrown away here by itself; whoever
knows what is still needed says so to `keep_only`. A content is written beside its place and moved
there whole, and what is read is compared with its name.
"""
# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH118, PTH120
# (one call per file: there are ten thousands of them)

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

CHUNK: Final = 1 << 20
_NEW: Final = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_READ: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

Content = bytes
"""The digest of a content, 32 bytes."""


class Objects:
    """The contents in one folder, made when the first one is kept. Methods raise OSError."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._made: set[str] = set()
        self._number = 0
        self.written_bytes = 0
        """Since this value was made."""

    def known(self) -> set[Content]:
        """Everything that is there."""
        return {content for content, _ in self._all()}

    def has(self, content: Content) -> bool:
        """Whether it is there."""
        return os.path.exists(self._place(content))

    def put(self, data: bytes, known: set[Content] | None = None) -> Content:
        """Keep this. `known` saves the look whether it is there already, and is kept up."""
        content = hashlib.sha256(data).digest()
        if (content in known) if known is not None else self.has(content):
            return content
        temporary = self._temporary()
        descriptor = os.open(temporary, _NEW, 0o600)
        try:
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            self._settle(temporary, content)
        except BaseException:
            _quietly_unlink(temporary)
            raise
        self.written_bytes += len(data)
        if known is not None:
            known.add(content)
        return content

    def put_file(self, source: int, known: set[Content], most: int) -> tuple[Content, int] | None:
        """Keep what an open file holds; None when it turns out to be larger than `most`."""
        data = os.read(source, CHUNK)
        if len(data) > most:
            return None
        more = os.read(source, CHUNK) if len(data) == CHUNK else b""
        if not more:
            return self.put(data, known), len(data)
        return self._stream(source, (data, more), known, most)

    def _stream(
        self, source: int, first: tuple[bytes, ...], known: set[Content], most: int
    ) -> tuple[Content, int] | None:
        digest = hashlib.sha256()
        size = 0
        temporary = self._temporary()
        descriptor = os.open(temporary, _NEW, 0o600)
        try:
            try:
                for data in (*first, *iter(lambda: os.read(source, CHUNK), b"")):
                    size += len(data)
                    if size > most:
                        break
                    digest.update(data)
                    write_all(descriptor, data)
            finally:
                os.close(descriptor)
            content = digest.digest()
            if size > most or content in known:
                os.unlink(temporary)
                return None if size > most else (content, size)
            self._settle(temporary, content)
        except BaseException:
            _quietly_unlink(temporary)
            raise
        self.written_bytes += size
        known.add(content)
        return content, size

    def read(self, content: Content) -> bytes | None:
        """All of it; None when it is not there any more, or is not what it was."""
        parts: list[bytes] = []
        return b"".join(parts) if self.copy(content, parts.append) else None

    def copy(self, content: Content, take: Callable[[bytes], object]) -> bool:
        """Hand it over in pieces; False when it is not there, or turns out not to be what it was."""
        try:
            descriptor = os.open(self._place(content), _READ)
        except FileNotFoundError:
            return False
        digest = hashlib.sha256()
        try:
            while data := os.read(descriptor, CHUNK):
                digest.update(data)
                take(data)
        finally:
            os.close(descriptor)
        return digest.digest() == content

    def total(self) -> int:
        """Bytes of everything that is there."""
        return sum(entry.stat().st_size for _, entry in self._all())

    def sizes(self) -> dict[Content, int]:
        """Bytes of each."""
        return {content: entry.stat().st_size for content, entry in self._all()}

    def keep_only(self, needed: Collection[Content]) -> None:
        """Remove the rest, and what a process that died left half-written."""
        for content in self.known():
            if content not in needed:
                _quietly_unlink(self._place(content))
        for path in Path(self.folder, "tmp").glob("*"):
            _quietly_unlink(str(path))

    def _all(self) -> Iterator[tuple[Content, "os.DirEntry[str]"]]:
        for number in range(256):
            try:
                entries = os.scandir(os.path.join(self.folder, f"{number:02x}"))
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    try:
                        yield bytes.fromhex(f"{number:02x}{entry.name}"), entry
                    except ValueError:  # not ours
                        continue

    def _place(self, content: Content) -> str:
        name = content.hex()
        return os.path.join(self.folder, name[:2], name[2:])

    def _temporary(self) -> str:
        folder = os.path.join(self.folder, "tmp")
        if folder not in self._made:
            os.makedirs(folder, 0o700, exist_ok=True)
            self._made.add(folder)
        self._number += 1
        return os.path.join(folder, f"{os.getpid()}-{id(self):x}-{self._number}")

    def _settle(self, temporary: str, content: Content) -> None:
        place = self._place(content)
        folder = os.path.dirname(place)
        if folder not in self._made:
            os.makedirs(folder, 0o700, exist_ok=True)
            self._made.add(folder)
        os.replace(temporary, place)


def write_all(descriptor: int, data: bytes) -> None:
    """However often the system has to be asked."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _quietly_unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
