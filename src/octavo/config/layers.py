"""Settings from several places, the stronger laid over the weaker, each value with its origin.

Tables merge key by key; everything else replaces.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from octavo.config.look import read_regular
from octavo.config.toml_lines import Keys, locate
from octavo.policy.paths import printable
from octavo.policy.reader import Origin
from octavo.policy.words import quoted
from octavo.protocol.errors import ConfigError, UsageError

AT_MOST: Final = 4 * 1024 * 1024
PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


class Layer(NamedTuple):
    """Settings from one place."""

    name: str
    """The file, or the flag as it was given."""
    table: Mapping[str, object]
    lines: Mapping[Keys, int]
    """Where in the file each key path is; empty for a flag."""
    flag: bool = False

    def origin(self, keys: Keys) -> Origin:
        """Where this layer says what it says about a key path."""
        if self.flag:
            return Origin(self.name, None, "flag")
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return Origin(self.name, self.lines.get(keys), "config")


class Merged:
    """All layers as one table. The strongest layer is the last."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.table: dict[str, object] = {}
        self._layers = tuple(layers)
        self._owners: dict[Keys, int] = {}
        for number, layer in enumerate(layers):
            self._lay(self.table, layer.table, (), number)

    def origins(self) -> dict[Keys, Origin]:
        """Where each value in force was written, items of lists included."""
        found = {keys: self._layers[number].origin(keys) for keys, number in self._owners.items()}
        for number, layer in enumerate(self._layers):
            for keys in layer.lines:
                if keys not in found and self.rank(keys) == number:
                    found[keys] = layer.origin(keys)
        return found

    def rank(self, keys: Keys) -> int:
        """How strong the layer is that a value comes from; -1 when nobody set it."""
        while keys:
            if keys in self._owners:
                return self._owners[keys]
            keys = keys[:-1]
        return -1

    def _lay(
        self, below: dict[str, object], above: Mapping[str, object], keys: Keys, number: int
    ) -> None:
        for key, value in above.items():
            here = (*keys, key)
            self._owners[here] = number
            if isinstance(value, Mapping):
                known = below.get(key)
                table: dict[str, object] = known if isinstance(known, dict) else {}
                below[key] = table
                self._lay(table, value, here, number)
            else:
                if isinstance(below.get(key), dict):
                    self._forget(here)
                below[key] = value

    def _forget(self, keys: Keys) -> None:
        """A table is replaced as a whole: nothing below it has an owner any more."""
        stale = [k for k in self._owners if len(k) > len(keys) and k[: len(keys)] == keys]
        for below in stale:
            del self._owners[below]


def file_layer(path: str) -> Layer | None:
    """The settings in a TOML file; None when there is none. Raises ConfigError."""
    try:
        data = read_regular(path, AT_MOST + 1)
    except FileNotFoundError:
        return None
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be read: {reason}", file=printable(path)) from wrong
    shown = printable(path)
    if len(data) > AT_MOST:
        raise ConfigError(f"is larger than {AT_MOST // 1024 // 1024} MiB", file=shown)
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise ConfigError("is not UTF-8 text", file=shown, line=line) from wrong
    table = parsed(text, shown)
    return Layer(path, table, locate(text))


def flag_layer(override: str) -> Layer:
    """The setting in one `-c key=value`: the value is TOML, or else plain text.

    Raises UsageError when there is no key or no `=`.
    """
    written, equals, value = override.partition("=")
    keys = _key(written.strip())
    if not equals or not all(keys):
        raise UsageError(f"-c {quoted(override)}: expected key=value, for example a.b=1")
    table: object = _value(value.strip())
    for key in reversed(keys):
        table = {key: table}
    assert isinstance(table, dict)
    return Layer(f"-c {override}", table, {}, flag=True)


def parsed(text: str, shown: str) -> dict[str, object]:
    """A TOML text as a table. Raises ConfigError with the line."""
    import tomllib  # noqa: PLC0415 -- most commands have no settings file to parse

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        place = PLACE.search(str(wrong))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        reason = PLACE.sub("", str(wrong))
        message = f"not valid TOML: {printable(reason)}"
        raise ConfigError(message, file=shown, line=line) from wrong
    except RecursionError as wrong:
        raise ConfigError("not valid TOML: nested too deeply", file=shown) from wrong


def _key(written: str) -> Keys:
    """The key path of a flag; parts may be quoted as in TOML."""
    if "\n" not in written and ('"' in written or "'" in written):
        try:
            parsed(f"{written} = 0", "-c")
        except ConfigError as wrong:
            raise UsageError(f"-c {quoted(written)}: not a valid key") from wrong
        return max(locate(f"{written} = 0"), key=len)
    return tuple(written.split("."))


def _value(text: str) -> object:
    try:
        table = parsed(f"value = {text}", "-c")
    except ConfigError:
        return text
    return table["value"] if set(table) == {"value"} else text
