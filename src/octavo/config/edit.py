"""Changes of a settings file that leave everything else as it was: comments, order, spelling.

Several changes count together or not at all. The result is read again and checked against the
schema before it takes the file's place.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from octavo.config.check import typed
from octavo.config.layers import AT_MOST, Layer, Merged, file_layer, parsed
from octavo.config.load import sandbox_settings
from octavo.config.mcp import servers_in
from octavo.config.providers import check_providers
from octavo.config.replacing import locked, replace_file
from octavo.config.schema import Settings
from octavo.config.toml_lines import Keys, locate
from octavo.policy.paths import printable
from octavo.policy.reader import Reader
from octavo.policy.words import dotted, found, quoted
from octavo.protocol.errors import ConfigError, UsageError

Merge = Literal["replace", "upsert"]
Table = dict[str, Any]
INTEGERS: Final = range(-(2**63), 2**63)
"""What a whole number in TOML can be."""


class Edit(Struct, frozen=True, kw_only=True):
    """One change."""

    keys: Keys
    """The key path, one name per part; names are taken as they are, dots and all."""
    value: object = None
    """What it says from now on. None: the key is removed."""
    merge: Merge = "replace"
    """`upsert` lays a table over the one that is there; anything else is replaced anyway."""


class Written(Struct, frozen=True, kw_only=True):
    """A settings file after its change."""

    path: str
    """The file itself, where the name given was a link."""
    version: str
    changed: bool
    """False: it said so already, and was left alone."""


class VersionConflict(ConfigError):  # noqa: N818 - says what is
    """The file is not the one the change was made for; nothing was written."""


def set_value(path: str | os.PathLike[str], keys: Keys, value: object) -> Written:
    """Make one key say this. See `apply_edits` for the errors."""
    return apply_edits(path, (Edit(keys=keys, value=value),))


def upsert_value(path: str | os.PathLike[str], keys: Keys, value: object) -> Written:
    """Lay a table over the one that is there, or make one key say this."""
    return apply_edits(path, (Edit(keys=keys, value=value, merge="upsert"),))


def remove_value(path: str | os.PathLike[str], keys: Keys) -> Written:
    """Take a key or a table away; no change when it is not there."""
    return apply_edits(path, (Edit(keys=keys),))


def apply_edits(
    path: str | os.PathLike[str], edits: Sequence[Edit], *, expected: str | None = None
) -> Written:
    """Change a settings file, one edit after the other; the file may be missing.

    `expected` is the version (see `version`) that the file must have. Raises VersionConflict, and
    ConfigError when the result would not be valid settings, or the file cannot be read or
    written; it is as it was then.
    """
    target = Path(os.path.realpath(path))
    shown = printable(str(target))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(target):
            return _apply(target, shown, edits, expected)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be written: {reason}", file=shown) from wrong


def _apply(target: Path, shown: str, edits: Sequence[Edit], expected: str | None) -> Written:
    layer = file_layer(str(target)) or Layer(str(target), {}, {})
    now = version(layer.table)
    if expected is not None and expected != now:
        raise VersionConflict(
            "was changed since it was read", file=shown, hint="read it again, then change it"
        )
    before = target.read_bytes().decode() if target.exists() else ""
    after = edited(before, edits, shown)
    if after == before:
        return Written(path=str(target), version=now, changed=False)
    table = parsed(after, shown)
    check(Layer(str(target), table, layer.lines))
    data = after.encode()
    if len(data) > AT_MOST:
        raise ConfigError(f"would be larger than {AT_MOST // 1024 // 1024} MiB", file=shown)
    replace_file(target, data)
    return Written(path=str(target), version=version(table), changed=True)


def version(table: Mapping[str, object]) -> str:
    """What a layer says, as a hash: over its JSON with sorted keys and no spaces."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(table, order="sorted")).hexdigest()


def check(layer: Layer) -> None:
    """Would this layer alone be valid settings? Raises ConfigError for the first thing wrong."""
    merged = Merged((layer,))
    folder = str(Path(layer.name).parent)
    sandbox_settings(merged, folder)
    settings = typed(merged.table, Settings, Reader(layer.origin))
    check_providers(settings, layer.origin)
    servers_in(settings.mcp_servers, Reader(layer.origin, prefix=("mcp_servers",)), base=folder)


def key_path(written: str) -> Keys:
    """A dotted key as its parts; parts may be quoted as in TOML. Raises UsageError."""
    if not re.search("[\"'\n]", written):
        keys = tuple(part.strip() for part in written.split("."))
        if all(keys):
            return keys
    elif "\n" not in written:
        with suppress(ConfigError):
            line = f"{written} = 0"
            table = parsed(line, "a key path")
            keys = max(locate(line), key=len)
            if _at(table, keys) == 0:  # else there was more in it than a key
                return keys
    raise UsageError(f'{quoted(written)} is no key path; expected a.b.c or a."b.c"')


# ---- the text ---------------------------------------------------------------------------------


def edited(text: str, edits: Sequence[Edit], shown: str = "config.toml") -> str:
    """A settings text with changes, and nothing else different. Raises ConfigError."""
    import tomlkit  # noqa: PLC0415 - only for changes
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    wanted = parsed(text, shown)
    same = True
    try:
        document = tomlkit.parse(text)
        for edit in edits:
            value = None if edit.value is None else _plain(edit.value, edit.keys, shown)
            if not edit.keys:
                raise ConfigError("a change names no key", file=shown)
            if _change(wanted, edit.keys, value, edit.merge, shown):
                same = False
                _write(document, edit.keys, _at(wanted, edit.keys))
        result = text if same else tomlkit.dumps(document)
        if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
            result = re.sub("(?<!\r)\n", "\r\n", result)
        if _full(_again(result)) != _full(wanted):
            raise ValueError("something else would change")
    except (TOMLKitError, ValueError, TypeError, KeyError, RecursionError) as wrong:
        raise ConfigError(
            "this file is written in a way that a program cannot change safely",
            file=shown,
            hint="change it by hand",
        ) from wrong
    return result


def _again(text: str) -> Table:
    """What was written, read back. Raises ValueError for what is no settings file any more."""
    try:
        return parsed(text, "")
    except ConfigError as wrong:
        raise ValueError(str(wrong)) from wrong


def _change(table: Table, keys: Keys, value: object, merge: Merge, shown: str) -> bool:
    """Do it to the plain values; whether anything is different then. Raises ConfigError."""
    *parents, last = keys
    for depth, name in enumerate(parents, 1):
        inner = table.get(name)
        if inner is None and value is None:
            return False
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            key = dotted(keys[:depth])
            raise ConfigError(f"{key}: expected a table, found {found(inner)}", file=shown, key=key)
        table = inner
    if value is None:
        return table.pop(last, None) is not None
    before = table.get(last)
    after = value
    if merge == "upsert" and isinstance(before, dict) and isinstance(value, dict):
        after = _over(before, value)
    table[last] = after
    return before is None or not _same(before, after)


def _over(below: Table, above: Table) -> Table:
    result = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            result[key] = _over(under, value)
        else:
            result[key] = value
    return result


def _write(document: Any, keys: Keys, value: object) -> None:  # noqa: ANN401 - tomlkit's own
    """The same in the text's tables; None: the key goes."""
    outer = document
    for name in keys[:-1]:
        if name not in outer:
            outer[name] = _table_for(outer, is_super=True)
        outer = outer[name]
    _put(outer, keys[-1], value)


def _put(outer: Any, name: str, value: object) -> None:  # noqa: ANN401 - the same
    """One key of a table. What says the same already keeps its place, spelling and comments."""
    known: Any = outer.get(name)
    if value is None:
        if name in outer:
            del outer[name]
    elif known is not None and _same(getattr(known, "unwrap", lambda: known)(), value):
        return
    elif isinstance(value, dict) and value and isinstance(known, dict):
        for key, one in value.items():
            _put(outer[name], key, one)
        for key in [key for key in outer[name] if key not in value]:
            del outer[name][key]
    elif known is not None and not isinstance(value, dict) and not _is_table(known):
        outer[name] = _item(value, inline=False)  # keeps the comment behind it
    else:
        if name in outer:
            del outer[name]
        _add(outer, name, value)


def _add(outer: Any, name: str, value: object) -> None:  # noqa: ANN401 - the same
    if not isinstance(value, dict):
        _insert(outer, name, _item(value, inline=_is_inline(outer)))
        return
    outer[name] = table = _table_for(outer)
    table = outer[name]
    for key, one in sorted(value.items(), key=lambda pair: isinstance(pair[1], dict)):
        _add(table, key, one)


def _insert(outer: Any, name: str, item: Any) -> None:  # noqa: ANN401 - the same
    """A new key behind the last plain one of its table: a comment further down belongs to what
    follows it."""
    from tomlkit.items import Comment, Table  # noqa: PLC0415 - loaded already

    table: type = Table
    body = outer.value if issubclass(type(outer), table) else outer
    if not getattr(body, "body", None):  # on one line, or in several places, or empty
        outer[name] = item
        return
    parts = [part for _, part in body.body]
    plain = [
        at + 1
        for at, (key, part) in enumerate(body.body)
        if key is not None and not _is_table(part)
    ]
    tables = (at for at, part in enumerate(parts) if _is_table(part))
    at = plain[-1] if plain else next(tables, len(parts))
    while not plain and at and isinstance(parts[at - 1], Comment):
        at -= 1
    if at == len(parts):
        outer[name] = item
    else:
        body._insert_at(at, name, item)


def _table_for(outer: Any, *, is_super: bool = False) -> Any:  # noqa: ANN401 - the same
    """A new table of the kind that may stand in this one."""
    import tomlkit  # noqa: PLC0415 - loaded already

    if _is_inline(outer):
        return tomlkit.inline_table()
    return tomlkit.table(is_super_table=is_super)


def _item(value: object, *, inline: bool) -> Any:  # noqa: ANN401 - the same
    """A value as the text has it. Tables in lists stand on one line."""
    import tomlkit  # noqa: PLC0415 - loaded already

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, one in value.items():
            table[key] = _item(one, inline=True)
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        for one in value:
            array.append(_item(one, inline=True))
        return array
    return tomlkit.item(value)


def _is_inline(outer: Any) -> bool:  # noqa: ANN401 - the same
    from tomlkit.items import InlineTable  # noqa: PLC0415 - loaded already

    return isinstance(outer, InlineTable)


def _is_table(item: Any) -> bool:  # noqa: ANN401 - the same
    """Something with a header of its own, or a table on one line."""
    from tomlkit.items import AoT  # noqa: PLC0415 - loaded already

    kinds: tuple[type, ...] = (Mapping, AoT)
    return isinstance(item, kinds)


# ---- plain values -----------------------------------------------------------------------------


def _plain(value: object, keys: Keys, shown: str) -> object:
    """A value as TOML can say it; members of tables that say nothing (None) are left out.

    Raises ConfigError.
    """
    match value:
        case bool() | float():
            return value
        case int() if value in INTEGERS:
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _unwritable(keys, "text that is not Unicode", shown) from None
            return value
        case list() | tuple():
            return [_plain(one, (*keys, str(i)), shown) for i, one in enumerate(value)]
        case Mapping():
            return {
                str(key): _plain(one, (*keys, str(key)), shown)
                for key, one in value.items()
                if one is not None
            }
        case None:
            raise _unwritable(keys, "nothing (null) in a list", shown)
        case _:
            raise _unwritable(keys, found(value), shown)


def _unwritable(keys: Keys, what: str, shown: str) -> ConfigError:
    return ConfigError(
        f"{dotted(keys)}: expected a value that TOML has, found {what}",
        file=shown,
        key=dotted(keys),
    )


def _at(table: object, keys: Keys) -> object:
    for key in keys:
        if not isinstance(table, Mapping) or key not in table:
            return None
        table = table[key]
    return table


def _same(one: object, other: object) -> bool:
    """Equal, and of the same kind: 1, 1.0 and true are three values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def _full(value: object) -> str:
    """Everything that is said, whatever the order, without tables that say nothing."""

    def kept(one: object) -> object:
        if not isinstance(one, dict):
            return repr(one)
        inner = {key: kept(below) for key, below in sorted(one.items())}
        return {key: below for key, below in inner.items() if below != {}}

    return repr(kept(value))
