"""Capability SIDs: one random SID per writable root, and the file that remembers them.

Pure: the caller hands in randomness, reads and writes the file. A SID opens what its entries say,
and only while it is in a token. A root gets another SID when what is closed inside it changes:
entries left from other policies then neither open nor close anything.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NoReturn

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows.paths import key

Random = Callable[[int], bytes]
"""So many bytes from a cryptographic generator."""

PREFIX: Final = "S-1-5-21-"
FORM: Final = re.compile(r"S-1-5-21-(\d{1,10})-(\d{1,10})-(\d{1,10})-(\d{1,10})")
ANY_FORM: Final = re.compile(r"S-1-\d{1,15}(-\d{1,10}){1,15}")
USUAL: Final = frozenset(
    {(".git", "read"), (".codex", "read"), (".agents", "read"), (".octavo", "read")}
)
"""What is closed inside a usual workspace; such a root is filed under its plain path."""
FIELDS: Final = ("workspace", "readonly", "workspace_by_cwd", "writable_root_by_path")
LONGEST_FILE: Final = 16 * 1024 * 1024
HINT: Final = (
    "Move the file away to start with new SIDs; `octavo sandbox windows undo` removes old entries."
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The SIDs of one home."""

    workspace: str
    """From older versions; kept, never put in a token."""
    readonly: str
    """The SID of read-only runs; no entry ever allows it anything."""
    workspace_by_cwd: Mapping[str, str]
    writable_root_by_path: Mapping[str, str]

    def all(self) -> frozenset[str]:
        """Every SID of the file: all that our entries can name."""
        return frozenset(
            {self.workspace, self.readonly}
            | set(self.workspace_by_cwd.values())
            | set(self.writable_root_by_path.values())
        )


def is_sid(text: str) -> bool:
    """Is this a SID, of whatever kind?"""
    return ANY_FORM.fullmatch(text) is not None


def is_capability(text: str) -> bool:
    """Has it the form of our SIDs: four numbers of 32 bits?"""
    match = FORM.fullmatch(text)
    return match is not None and all(int(number) < 1 << 32 for number in match.groups())


def new_sid(random: Random) -> str:
    """A SID nobody else has."""
    drawn = random(16)
    if len(drawn) != 16:
        raise ValueError("the generator gave fewer than 16 bytes")
    numbers = (int.from_bytes(drawn[at : at + 4], "little") for at in (0, 4, 8, 12))
    return PREFIX + "-".join(map(str, numbers))


def fresh(random: Random) -> Capabilities:
    """What a new home begins with."""
    return Capabilities(new_sid(random), new_sid(random), _frozen({}), _frozen({}))


def root_key(root: str, closed: Iterable[tuple[str, str]] = USUAL) -> str:
    """Under which key a root's SID is filed. `closed`: (path below the root, "read" | "none").

    `|` cannot be part of a path, so no two roots share a key.
    """
    shape = {(path.replace("\\", "/").upper().lower(), access) for path, access in closed}
    if shape == USUAL:
        return key(root)
    text = json.dumps(sorted(shape), ensure_ascii=True)
    return f"{key(root)}|{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def open_folder_key(folder: str) -> str:
    """The key of the SID that is denied writing in a folder which everybody may write."""
    return f"{key(folder)}|open"


def sid_for(
    known: Capabilities, name: str, random: Random, *, is_cwd: bool = False
) -> tuple[Capabilities, str]:
    """The SID filed under a key, and the capabilities with it; the same object when it was there."""
    table = known.workspace_by_cwd if is_cwd else known.writable_root_by_path
    if name in table:
        return known, table[name]
    made = new_sid(random)
    more = _frozen({**table, name: made})
    if is_cwd:
        return replace(known, workspace_by_cwd=more), made
    return replace(known, writable_root_by_path=more), made


# The file ----------------------------------------------------------------------------------------


def encode(capabilities: Capabilities) -> bytes:
    """The file's content."""
    tables = {
        "workspace": capabilities.workspace,
        "readonly": capabilities.readonly,
        "workspace_by_cwd": dict(capabilities.workspace_by_cwd),
        "writable_root_by_path": dict(capabilities.writable_root_by_path),
    }
    return (json.dumps(tables, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def decode(data: bytes, file: str, random: Random) -> tuple[Capabilities, bool]:
    """What the file says, and whether it has to be written again (an older form was read).

    Raises ConfigError naming the file and what is wrong. A damaged file is never replaced: its
    SIDs may stand on the user's folders.
    """
    text = _text(data, file)
    if is_capability(text.strip()):
        return replace(fresh(random), workspace=text.strip()), True
    found = _object(text, file)
    for name in FIELDS[:2]:
        if not isinstance(found.get(name), str) or not is_capability(found[name]):
            _damaged(file, name, found.get(name), "a SID such as S-1-5-21-1-2-3-4")
    tables = [_table(found, name, file) for name in FIELDS[2:]]
    known = Capabilities(found["workspace"], found["readonly"], *tables)
    _check_unique(known, file)
    return known, False


def _text(data: bytes, file: str) -> str:
    if len(data) > LONGEST_FILE:
        raise ConfigError(f"larger than {LONGEST_FILE:,} bytes", file=file, hint=HINT)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"not UTF-8 at byte {error.start}", file=file, line=1, hint=HINT
        ) from error


def _object(text: str, file: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, file))
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"not JSON: {error.msg}", file=file, line=error.lineno, hint=HINT
        ) from error
    except RecursionError as error:
        raise ConfigError("not JSON: nested too deep", file=file, hint=HINT) from error
    if not isinstance(found, dict):
        raise ConfigError("not a JSON object", file=file, line=1, hint=HINT)
    return found


def _once(pairs: list[tuple[str, Any]], file: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{twice!r} is there twice", file=file, key=twice, hint=HINT)
    return found


def _table(found: dict[str, Any], name: str, file: str) -> Mapping[str, str]:
    table = found.get(name, {})
    if not isinstance(table, dict):
        _damaged(file, name, table, "an object of SIDs by path")
    for path, sid in table.items():
        if not isinstance(sid, str) or not is_capability(sid):
            _damaged(file, f"{name}.{path}", sid, "a SID such as S-1-5-21-1-2-3-4")
    return _frozen(table)


def _check_unique(known: Capabilities, file: str) -> None:
    sids = [
        known.workspace,
        known.readonly,
        *known.workspace_by_cwd.values(),
        *known.writable_root_by_path.values(),
    ]
    if len(set(sids)) != len(sids):
        twice = next(sid for sid in sids if sids.count(sid) > 1)
        raise ConfigError(
            f"{twice} stands for more than one folder, which would let one write in the other",
            file=file,
            hint=HINT,
        )


def _damaged(file: str, name: str, found: object, allowed: str) -> NoReturn:
    shown = "nothing" if found is None else repr(found)[:80]
    raise ConfigError(f"{name} is {shown}; it has to be {allowed}", file=file, key=name, hint=HINT)


def _frozen(table: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(table))
