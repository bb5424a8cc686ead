"""Every access entry we ever wrote: one line each, before it is written, so that all can be undone.

Pure: lines in, lines out, and the plan for undoing. A line that cannot be read is an error that
names it; only a last line cut short by a crash is left out, and said so. The same records print as
commands for people who want to write the entries themselves.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NoReturn

from octavo.protocol.errors import ConfigError, UsageError
from octavo.sandbox.windows import acl
from octavo.sandbox.windows.acl import Ace, Change, Present
from octavo.sandbox.windows.paths import depth, fold
from octavo.sandbox.windows.plan import Create
from octavo.sandbox.windows.sids import is_sid

Did = Literal["entries", "created", "removed"]
"""Written entries; made a missing path with entries; took such a path away again."""
DID: Final = ("entries", "created", "removed")
HINT: Final = (
    "Keep a copy and remove the line: its entries then stay on the path until removed by hand."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing done to one path."""

    did: Did
    path: str
    folder: bool
    added: tuple[Ace, ...] = ()
    removed: tuple[Ace, ...] = ()
    null_before: bool = False
    why: str
    at_ms: int
    kept: bool = False
    """Created for a rule of the user's own: it stays when the last command has ended."""
    text: str | None = None
    """Of a created file; None for a folder."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What a file says."""

    records: tuple[Record, ...]
    torn: bool = False
    """The last line was cut short: whoever wrote it had done nothing yet."""


def of_change(change: Change, *, at_ms: int) -> Record:
    """The record of a write, to be on disk before the write."""
    return Record(
        did="entries",
        path=change.path,
        folder=change.folder,
        added=change.added,
        removed=change.removed,
        null_before=change.null_before,
        why=change.why,
        at_ms=at_ms,
    )


def of_create(made: Create, *, at_ms: int) -> Record:
    """The record of making a missing path, to be on disk before it is made."""
    return Record(
        did="created",
        path=made.path,
        folder=made.text is None,
        added=made.dacl,
        why=made.why,
        at_ms=at_ms,
        kept=made.kept,
        text=made.text,
    )


def taken_back(record: Record, *, at_ms: int) -> Record:
    """The record that says an earlier one does not hold: it failed, or it was undone."""
    return replace(
        record,
        did="removed" if record.did == "created" else "entries",
        added=record.removed,
        removed=record.added,
        at_ms=at_ms,
    )


def encode(record: Record) -> bytes:
    """One line."""
    table: dict[str, Any] = {
        "v": 1,
        "did": record.did,
        "path": record.path,
        "folder": record.folder,
        "added": [_out(ace) for ace in record.added],
        "removed": [_out(ace) for ace in record.removed],
        "null_before": record.null_before,
        "why": record.why,
        "at_ms": record.at_ms,
        "kept": record.kept,
        "text": record.text,
    }
    return (json.dumps(table, ensure_ascii=True, separators=(",", ":")) + "\n").encode("ascii")


def _out(ace: Ace) -> list[Any]:
    return ["allow" if ace.allow else "deny", ace.sid, ace.mask, ace.flags]


def decode(data: bytes, file: str) -> Journal:
    """All records. Raises ConfigError with file and line for what cannot be read."""
    *lines, last = data.split(b"\n")
    records = [_record(line, file, at) for at, line in enumerate(lines, 1)]
    return Journal(tuple(records), torn=bool(last))


def _record(line: bytes, file: str, at: int) -> Record:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError("not a line of JSON", file=file, line=at, hint=HINT) from error
    if not isinstance(table, dict):
        _damaged(file, at, "line", "an object")
    if table.get("v") != 1 or isinstance(table.get("v"), bool):
        _damaged(file, at, "v", "1")
    if table.get("did") not in DID:
        _damaged(file, at, "did", ", ".join(DID))
    if not isinstance(table.get("text"), str | None):
        _damaged(file, at, "text", "a text or null")
    did: Did = table["did"]
    return Record(
        did=did,
        path=_of(table, "path", str, file, at),
        folder=_of(table, "folder", bool, file, at),
        added=_aces(table, "added", file, at),
        removed=_aces(table, "removed", file, at),
        null_before=_of(table, "null_before", bool, file, at),
        why=_of(table, "why", str, file, at),
        at_ms=_of(table, "at_ms", int, file, at),
        kept=_of(table, "kept", bool, file, at),
        text=table.get("text"),
    )


def _of(table: Mapping[str, Any], name: str, form: type, file: str, at: int) -> Any:  # noqa: ANN401 - JSON
    value = table.get(name)
    if type(value) is not form:
        _damaged(file, at, name, f"a {form.__name__}")
    return value


def _aces(table: Mapping[str, Any], name: str, file: str, at: int) -> tuple[Ace, ...]:
    found: list[Ace] = []
    for each in _of(table, name, list, file, at):
        good = isinstance(each, list) and [type(part) for part in each] == [str, str, int, int]
        if not good or each[0] not in ("allow", "deny") or not is_sid(each[1]):
            _damaged(file, at, name, 'entries such as ["deny", SID, mask, flags]')
        if not (0 <= each[2] < 1 << 32 and 0 <= each[3] < 256):
            _damaged(file, at, name, "masks of 32 bits and flags of 8")
        found.append(Ace(each[0] == "allow", each[1], each[2], each[3]))
    return tuple(found)


def _damaged(file: str, line: int, name: str, allowed: str) -> NoReturn:
    raise ConfigError(f"{name} has to be {allowed}", file=file, line=line, key=name, hint=HINT)


# Undoing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Undo:
    """What one path had and gets back."""

    path: str
    folder: bool
    remove: tuple[Ace, ...]
    restore: tuple[Ace, ...]
    null: bool = False
    """The path had no list at all: it gets one that allows everybody everything."""


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """Entries first, deepest paths first; then what we created, if it is still empty."""

    entries: tuple[Undo, ...]
    created: tuple[str, ...]
    made: tuple[Record, ...] = ()
    """How the created ones were made, in the same order."""


def undo_plan(records: Iterable[Record]) -> UndoPlan:
    """What is left of all records together: what was taken back already is not there."""
    added: dict[str, list[Ace]] = {}
    removed: dict[str, list[Ace]] = {}
    seen: dict[str, Record] = {}
    created: dict[str, Record] = {}
    null: dict[str, bool] = {}
    for record in records:
        at = fold(record.path)
        if record.did == "created":
            created[at] = record
        elif record.did == "removed":
            created.pop(at, None)
        seen.setdefault(at, record)
        null[at] = null.get(at, record.null_before)
        ours, theirs = added.setdefault(at, []), removed.setdefault(at, [])
        for ace in dict.fromkeys(record.removed):
            _move(ace, ours, theirs)
        for ace in dict.fromkeys(record.added):
            _move(ace, theirs, ours)
    found = [
        Undo(seen[at].path, seen[at].folder, tuple(added[at]), tuple(removed[at]), null[at])
        for at in added
        if added[at] or removed[at]
    ]
    found.sort(key=lambda undo: (-depth(undo.path), undo.path))
    made = sorted(created.values(), key=lambda record: (-depth(record.path), record.path))
    return UndoPlan(tuple(found), tuple(record.path for record in made), tuple(made))


def still(records: Sequence[Record]) -> tuple[Record, ...]:
    """Those of paths on which something of ours is left; all the others undo nothing."""
    plan = undo_plan(records)
    left = {fold(path) for path in (*(undo.path for undo in plan.entries), *plan.created)}
    return tuple(record for record in records if fold(record.path) in left)


def _move(ace: Ace, source: list[Ace], target: list[Ace]) -> None:
    """Once: whoever was killed between record and write comes back and records it again."""
    if ace in source:
        source.remove(ace)
    elif ace not in target:
        target.append(ace)


def undo_change(undo: Undo, present: Present) -> Change | None:
    """The write that undoes it; entries that others added since stay. None: nothing is left."""
    if present.dacl is None:
        return None
    before = tuple(ace for ace in present.dacl if not ace.inherited)
    left = list(before)
    for ace in undo.remove:
        if ace in left:
            left.remove(ace)
    left += [ace for ace in undo.restore if ace not in left]
    if undo.null and not left:
        # an empty list would lock everybody out; this one says what having none said
        flags = acl.DOWN if present.folder else 0
        left = [Ace(allow=True, sid=acl.EVERYONE, mask=acl.ALL, flags=flags)]
    after = tuple(sorted(left, key=lambda ace: ace.allow))
    if after == before:
        return None
    return Change(
        path=present.path,
        folder=present.folder,
        before=before,
        after=after,
        why="undo",
        protected=present.protected,
    )


# By hand -----------------------------------------------------------------------------------------

LETTERS: Final = (
    (acl.READ_DATA, "RD"),
    (acl.WRITE_DATA, "WD"),
    (acl.APPEND_DATA, "AD"),
    (acl.READ_EA, "REA"),
    (acl.WRITE_EA, "WEA"),
    (acl.EXECUTE, "X"),
    (acl.DELETE_CHILD, "DC"),
    (acl.READ_ATTRIBUTES, "RA"),
    (acl.WRITE_ATTRIBUTES, "WA"),
    (acl.DELETE, "DE"),
    (acl.READ_CONTROL, "RC"),
    (acl.WRITE_DAC, "WDAC"),
    (acl.WRITE_OWNER, "WO"),
    (acl.SYNCHRONIZE, "S"),
)
INHERITANCE: Final = (
    (acl.OBJECT_INHERIT, "(OI)"),
    (acl.CONTAINER_INHERIT, "(CI)"),
    (acl.NO_PROPAGATE, "(NP)"),
    (acl.INHERIT_ONLY, "(IO)"),
)
QUOTES: Final = "'‘’‚‛"
"""All of these close a single-quoted text in PowerShell; doubled, they do not."""


def rights(ace: Ace) -> str:
    """The rights as icacls takes them."""
    down = "".join(text for flag, text in INHERITANCE if ace.flags & flag)
    names = ",".join(text for right, text in LETTERS if ace.bits & right)
    return f"*{ace.sid}:{down}({names})"


def manual(change: Change) -> tuple[tuple[str, ...], ...]:
    """The commands that do what the change does, each as arguments. Denials come first.

    icacls merges and sorts by itself; removing an entry removes all of that SID and kind, so
    those that stay are granted again.
    """
    found: list[tuple[str, ...]] = []
    gone = {(ace.allow, ace.sid) for ace in change.removed}
    for allow, sid in sorted(gone):
        found.append(_icacls(change.path, "/remove:g" if allow else "/remove:d", f"*{sid}"))
    again = [ace for ace in change.after if (ace.allow, ace.sid) in gone]
    todo = [*again, *(ace for ace in change.added if ace not in again)]
    todo.sort(key=lambda each: each.allow)
    found += [_icacls(change.path, "/grant" if ace.allow else "/deny", rights(ace)) for ace in todo]
    return tuple(found)


def _icacls(path: str, *arguments: str) -> tuple[str, ...]:
    return ("icacls.exe", path, *arguments)


def powershell(commands: Sequence[Sequence[str]]) -> str:
    """The commands as lines for PowerShell, where a quoted text means itself."""
    return "".join(f"& {' '.join(map(quoted, command))}\n" for command in commands)


def quoted(word: str) -> str:
    """A text for PowerShell that means itself. Raises UsageError for what cannot be in a line."""
    if any(char in word for char in "\r\n\0"):
        raise UsageError(f"{word!r} cannot be part of a command line")
    return "'" + "".join(char * 2 if char in QUOTES else char for char in word) + "'"
