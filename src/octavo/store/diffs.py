"""File states as a diff that people and `git apply` read. Pure."""

from collections.abc import Callable, Iterator
from typing import Final

from octavo.patch.report import hunks
from octavo.policy.paths import printable
from octavo.store.tree import Change, Entry

Read = Callable[[bytes], bytes | None]
"""The content of a file; None when it is not kept any more."""
SNIFFED: Final = 8000
"""Bytes that are looked at to tell whether a file is text."""
MOST_SHOWN: Final = 4 << 20
LINK_MODE: Final = 0o120000
FILE_MODE: Final = 0o100000
EXECUTABLE: Final = 0o111


def shown(prefix: str, change: Change, read: Read) -> Iterator[str]:
    """One path, lines with their ends; nothing for a folder. `prefix` goes before the path."""
    path, before, after = change
    if before is not None and after is not None and before.kind != after.kind:
        yield from shown(prefix, (path, before, None), read)
        yield from shown(prefix, (path, None, after), read)
        return
    some = after or before
    if some is None or some.kind == "folder":
        return
    name = printable(prefix + path)
    yield f"diff --git a/{name} b/{name}\n"
    yield from _modes(before, after)
    old, new = _data(before, read), _data(after, read)
    if isinstance(old, str) or isinstance(new, str):
        why = old if isinstance(old, str) else new
        yield f"# {name}: {why!s}\n"
        return
    if old == new and before is not None and after is not None:
        return
    source = "/dev/null" if before is None else f"a/{name}"
    target = "/dev/null" if after is None else f"b/{name}"
    if _binary(old) or _binary(new):
        yield f"Binary files {source} and {target} differ\n"
        return
    body = list(hunks(old, new))
    if body:
        yield f"--- {source}\n"
        yield f"+++ {target}\n"
        yield from body


def counted(change: Change, read: Read) -> tuple[int, int] | None:
    """Lines that came and lines that went; None where there are no lines to count."""
    _, before, after = change
    old, new = _data(before, read), _data(after, read)
    if isinstance(old, str) or isinstance(new, str) or _binary(old) or _binary(new):
        return None
    rows = list(hunks(old, new, context=0))
    return (
        sum(row.startswith("+") for row in rows),
        sum(row.startswith("-") for row in rows),
    )


def _modes(before: Entry | None, after: Entry | None) -> Iterator[str]:
    old, new = git_mode(before), git_mode(after)
    if before is None:
        yield f"new file mode {new}\n"
    elif after is None:
        yield f"deleted file mode {old}\n"
    elif old != new:
        yield f"old mode {old}\n"
        yield f"new mode {new}\n"


def git_mode(entry: Entry | None) -> str:
    """The mode as git writes it: a link, a program, or a file."""
    if entry is None:
        return "000000"
    if entry.kind == "link":
        return f"{LINK_MODE:o}"
    return f"{FILE_MODE | (0o755 if entry.mode & EXECUTABLE else 0o644):o}"


def _data(entry: Entry | None, read: Read) -> bytes | str:
    """The content, or why it cannot be shown."""
    if entry is None:
        return b""
    if entry.kind == "link":
        return entry.content
    if entry.size > MOST_SHOWN:
        return f"larger than {MOST_SHOWN >> 20} MiB, not shown"
    data = read(entry.content)
    return "its content is not kept any more" if data is None else data


def _binary(data: bytes | str) -> bool:
    return isinstance(data, bytes) and b"\0" in data[:SNIFFED]
