"""Methods about files on this machine: read, write, list, copy, remove, find. Absolute paths only."""

import asyncio
import base64
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octavo.appserver import params
from octavo.appserver.errors import MethodError, invalid

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

Json = dict[str, Any]
LARGEST: Final = 64 << 20
MOST_FOUND: Final = 50
MOST_SEEN: Final = 200_000
SKIPPED: Final = frozenset(
    {".git", "node_modules", ".venv", "__pycache__", "target", ".hg", ".svn"}
)


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    for name, kind, do in (
        ("fs/readFile", params.FsPath, read_file),
        ("fs/writeFile", params.FsWrite, write_file),
        ("fs/createDirectory", params.FsMake, create_directory),
        ("fs/getMetadata", params.FsPath, get_metadata),
        ("fs/readDirectory", params.FsPath, read_directory),
        ("fs/remove", params.FsRemove, remove),
        ("fs/copy", params.FsCopy, copy),
        ("fuzzyFileSearch", params.FuzzySearch, search),
    ):
        table.method(name, kind, tier="extended")(do)


def absolute(path: str) -> Path:
    """A path that says where it is. Raises MethodError."""
    found = Path(path)
    if not found.is_absolute() or "\0" in path:
        raise invalid(f"Invalid request: the path has to be absolute: {path!r}")
    return found


async def read_file(server: "Server", connection: "Connection", asked: params.FsPath) -> Json:
    """A file's content."""
    path = absolute(asked.path)
    if path.stat().st_size > LARGEST:
        raise MethodError(-32603, f"{path} is larger than {LARGEST >> 20} MiB")
    return {"dataBase64": base64.b64encode(path.read_bytes()).decode()}


async def write_file(server: "Server", connection: "Connection", asked: params.FsWrite) -> Json:
    """Write a file, whole."""
    try:
        data = base64.b64decode(asked.data_base64, validate=True)
    except ValueError:
        raise invalid("Invalid request: `dataBase64` is not base64") from None
    absolute(asked.path).write_bytes(data)
    return {}


async def create_directory(
    server: "Server", connection: "Connection", asked: params.FsMake
) -> Json:
    """Make a folder."""
    absolute(asked.path).mkdir(parents=asked.recursive, exist_ok=asked.recursive)
    return {}


async def get_metadata(server: "Server", connection: "Connection", asked: params.FsPath) -> Json:
    """What a path is."""
    path = absolute(asked.path)
    found = path.stat()
    return {
        "isDirectory": path.is_dir(),
        "isFile": path.is_file(),
        "isSymlink": path.is_symlink(),
        "createdAtMs": int(found.st_ctime * 1000),
        "modifiedAtMs": int(found.st_mtime * 1000),
    }


async def read_directory(server: "Server", connection: "Connection", asked: params.FsPath) -> Json:
    """The entries of a folder."""
    with os.scandir(absolute(asked.path)) as entries:
        found = [
            {"fileName": entry.name, "isDirectory": entry.is_dir(), "isFile": entry.is_file()}
            for entry in entries
        ]
    return {"entries": sorted(found, key=lambda one: str(one["fileName"]))}


async def remove(server: "Server", connection: "Connection", asked: params.FsRemove) -> Json:
    """Remove a file or a folder."""
    path = absolute(asked.path)
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path) if asked.recursive else path.rmdir()
        else:
            path.unlink()
    except FileNotFoundError:
        if not asked.force:
            raise
    return {}


async def copy(server: "Server", connection: "Connection", asked: params.FsCopy) -> Json:
    """Copy a file or, with `recursive`, a folder."""
    source, target = absolute(asked.source_path), absolute(asked.destination_path)
    if source.is_dir():
        if not asked.recursive:
            raise invalid("Invalid request: a folder is copied with `recursive`")
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
    return {}


async def search(server: "Server", connection: "Connection", asked: params.FuzzySearch) -> Json:
    """Files whose path has the letters of the query, in their order; the best first."""
    for root in asked.roots:
        absolute(root)
    return {"files": await asyncio.to_thread(found_in, asked.query, asked.roots)}


def found_in(query: str, roots: Sequence[str]) -> list[Json]:
    """The files that fit best, best first."""
    found = []
    for root in roots:
        for path in walk(absolute(root)):
            hit = match(query, path)
            if hit is not None:
                found.append((hit, root, path))
    found.sort(key=lambda one: (-one[0][0], len(one[2]), one[2]))
    return [
        {
            "root": root,
            "path": path,
            "match_type": "file",
            "file_name": path.rpartition("/")[2],
            "score": score,
            "indices": indices,
        }
        for (score, indices), root, path in found[:MOST_FOUND]
    ]


def walk(root: Path) -> Iterator[str]:
    """Files below a folder, relative; folders nobody searches are left out."""
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        base = os.path.relpath(folder, root)
        for name in sorted(names):
            seen += 1
            if seen > MOST_SEEN:
                return
            yield name if base == "." else f"{base}/{name}"


def match(query: str, path: str) -> tuple[int, list[int]] | None:
    """How well the letters stand in the path, and where; None when they do not."""
    indices = []
    at = -1
    lower = path.lower()
    score = 0
    for letter in query.lower():
        next_ = lower.find(letter, at + 1)
        if next_ < 0:
            return None
        score += 16 if next_ == at + 1 else 4
        if next_ == 0 or lower[next_ - 1] in "/_-. ":
            score += 8
        indices.append(next_)
        at = next_
    if query.lower() in lower.rpartition("/")[2]:
        score += 32
    return score, indices
