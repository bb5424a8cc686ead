"""What a person approved when they trusted a hook: its definition, and the files it names.

The fingerprint of a definition is the published one, so trust given by one program counts in the
other. Ours is the rest: a script that changed after the review is not run either.
"""

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.config.extras import STATE
from octavo.config.look import read_regular
from octavo.policy.paths import printable
from octavo.protocol.errors import ConfigError
from octavo.protocol.hooks import CONTEXT_TOKENS, LABELS, UNMATCHED, Hook

LARGEST: Final = 16 * 1024 * 1024
"""A file beyond this is no script."""
SYSTEM: Final = ("/usr/", "/bin/", "/sbin/", "/lib/", "/opt/", "/nix/", "/System/", "/Library/")
"""Programs of the system change with its updates, and nobody else can change them."""
PREFIX: Final = "sha256:"
MAIN_FILE: Final = "config.toml"


class Entry(Struct, frozen=True, kw_only=True):
    """`hooks.state.KEY` in the user's settings."""

    enabled: bool = True
    trusted_hash: str | None = None
    files: Mapping[str, str] | None = None
    """Octavo's own key: paths with their hashes; absent where another program wrote the entry."""


def fingerprint(hook: Hook, matcher: str | None) -> str:
    """The hash of a definition, defaults filled in."""
    handler: dict[str, Any] = {
        "type": "command",
        "command": hook.command,
        "timeout": hook.timeout_s,
        "async": hook.background,
    }
    if hook.status_message is not None:
        handler["statusMessage"] = hook.status_message
    if hook.context_tokens != CONTEXT_TOKENS:
        handler["additionalContextLimit"] = hook.context_tokens
    if hook.on_failure != "allow":
        handler["on_failure"] = hook.on_failure
    identity: dict[str, Any] = {"event_name": LABELS[hook.event], "hooks": [handler]}
    if matcher is not None and hook.event not in UNMATCHED:
        identity["matcher"] = matcher
    return PREFIX + hashlib.sha256(msgspec.json.encode(identity, order="sorted")).hexdigest()


def named_files(command: str, cwd: str) -> dict[str, str]:
    """The files a command names, seen from `cwd`, with their hashes: scripts, mostly."""
    try:
        words = shlex.split(command, comments=False)
    except ValueError:  # an open quote: the shell will say so
        words = command.split()
    found: dict[str, str] = {}
    for word in words:
        for part in (word, word.rpartition("=")[2]):
            path = _regular(part, cwd)
            if path is not None and path not in found:
                found[path] = hashed(path)
    return found


def _regular(word: str, cwd: str) -> str | None:
    if not word or "\0" in word:
        return None
    for variable in ("$HOME/", "${HOME}/"):
        word = word.replace(variable, "~/", 1) if word.startswith(variable) else word
    path = os.path.realpath(Path(cwd, os.path.expanduser(word)))  # noqa: PTH111 - no error for `~nobody`
    if path.startswith(SYSTEM):
        return None
    return path if Path(path).is_file() else None


def hashed(path: str) -> str:
    """The hash of a file's content; of what cannot be read, a word that equals no hash."""
    try:
        data = read_regular(path, LARGEST + 1)
    except OSError as wrong:
        return f"unreadable: {wrong.strerror or wrong}"
    if len(data) > LARGEST:
        return "too large"
    return PREFIX + hashlib.sha256(data).hexdigest()


def changed(hook: Hook, cwd: str) -> str | None:
    """Why a trusted hook is not what was trusted, looked at right now; None when it is.

    Files that somebody else's entry says nothing about are not looked at.
    """
    if hook.files is None:
        return None
    for path, now in named_files(hook.command, cwd).items():
        before = hook.files.get(path)
        if before is None:
            return f"{printable(path)} was not there when it was reviewed"
        if before != now:
            return f"{printable(path)} has changed since it was reviewed"
    return None


def set_trust(home: str, entries: Mapping[str, Entry | None]) -> None:
    """Write entries into the home's settings; None removes one. Comments and order stay.

    Raises ConfigError when the file cannot be read or written; then it is as it was.
    """
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415 -- only for changes

    from octavo.config.replacing import locked, replace_file  # noqa: PLC0415 - the same

    path = Path(os.path.realpath(Path(home) / MAIN_FILE))
    shown = printable(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            replace_file(path, edited(before, entries).encode())
    except (TOMLKitError, ValueError) as wrong:
        raise ConfigError(f"not valid TOML: {wrong}", file=shown) from wrong
    except OSError as wrong:
        raise ConfigError(f"cannot be written: {wrong.strerror or wrong}", file=shown) from wrong


def edited(text: str, entries: Mapping[str, Entry | None]) -> str:
    """Settings with other entries, and nothing else changed. Raises ValueError for bad TOML."""
    import tomllib  # noqa: PLC0415 -- only for changes

    import tomlkit  # noqa: PLC0415 -- only for the commands that change settings

    wanted = tomllib.loads(text)
    state = wanted.setdefault("hooks", {}).setdefault(STATE, {})
    document = tomlkit.parse(text)
    written = _inner(_inner(document, "hooks"), STATE)
    for key, entry in entries.items():
        state.pop(key, None)
        written.pop(key, None)
        if entry is not None:
            value = msgspec.to_builtins(entry)
            state[key] = {name: one for name, one in value.items() if one is not None}
            table = _table_for(written)
            table.update(state[key])
            written[key] = table
    result = tomlkit.dumps(document)
    if _without_empty(tomllib.loads(result)) != _without_empty(wanted):
        raise ValueError("this file is too intricate to be changed by a program")
    return result


def _inner(outer: Any, name: str) -> Any:  # noqa: ANN401 - tomlkit's own tables
    """The table of that name, made where it is missing."""
    if name not in outer:
        outer[name] = _table_for(outer, is_super=True)
    return outer[name]


def _table_for(outer: Any, *, is_super: bool = False) -> Any:  # noqa: ANN401 - the same
    """A new table of the kind that may stand in this one."""
    import tomlkit  # noqa: PLC0415 -- loaded already
    from tomlkit.items import InlineTable  # noqa: PLC0415 -- loaded already

    if isinstance(outer, InlineTable):
        return tomlkit.inline_table()
    return tomlkit.table(is_super_table=is_super)


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    """The same settings without tables that say nothing."""
    hooks = {key: value for key, value in table.get("hooks", {}).items() if value != {}}
    return {**{key: value for key, value in table.items() if key != "hooks"}, "hooks": hooks}


def approved(hooks: Iterable[tuple[Hook, str]], cwd: str) -> dict[str, Entry]:
    """Entries that say: these definitions, and the files they name as they are now."""
    return {
        hook.key: Entry(trusted_hash=print_, files=named_files(hook.command, cwd))
        for hook, print_ in hooks
    }
