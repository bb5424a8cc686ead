"""Typed values out of a table that a person wrote, or an error that names file, line and key."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from octavo.policy.paths import printable
from octavo.policy.words import choices, dotted, found, quoted, suggestion
from octavo.protocol.errors import ConfigError, OctavoError, UsageError
from octavo.protocol.permissions import RuleRef

Keys = tuple[str, ...]


class Origin(NamedTuple):
    """Where a value was written."""

    file: str | None = None
    """The file, or the flag (`-c a.b=1`) that stands in for one; then there is no line."""
    line: int | None = None
    source: Literal["config", "flag", "program"] = "config"


OriginOf = Callable[[Keys], Origin]


def nowhere(_keys: Keys) -> Origin:
    """The origin of values that come from no file."""
    return Origin(source="program")


def config_error(message: str, origin: Origin, key: str, hint: str | None) -> OctavoError:
    """A settings file is wrong, or a `-c` beside it."""
    file = None if origin.file is None else printable(origin.file)
    return ConfigError(f"{key}: {message}", file=file, line=origin.line, key=key, hint=hint)


def usage_error(message: str, _origin: Origin, key: str, hint: str | None) -> OctavoError:
    """A program passed something impossible."""
    return UsageError(f"{key}: {message}", hint=hint)


class Reader:
    """Reads one tree of tables. Keys are counted from `prefix`; warnings are collected."""

    def __init__(
        self,
        origin_of: OriginOf = nowhere,
        *,
        prefix: Keys = (),
        error: Callable[[str, Origin, str, str | None], OctavoError] = config_error,
    ) -> None:
        self._origin_of = origin_of
        self._prefix = prefix
        self._error = error
        self.warnings: list[str] = []

    def problem(self, keys: Keys, message: str, *, hint: str | None = None) -> OctavoError:
        """The error to raise for what was written at `keys`."""
        full = (*self._prefix, *keys)
        return self._error(message, self._origin_of(full), dotted(full), hint)

    def warn(self, keys: Keys, message: str) -> None:
        """Keep one sentence for the door to show."""
        full = (*self._prefix, *keys)
        origin = self._origin_of(full)
        where = (printable(origin.file or ""), str(origin.line or ""))
        self.warnings.append(
            ": ".join(filter(None, (":".join(filter(None, where)), dotted(full), message)))
        )

    def ref(self, keys: Keys, text: str) -> RuleRef:
        """A reference to the rule written at `keys`."""
        origin = self._origin_of((*self._prefix, *keys))
        file = None if origin.file is None or origin.line is None else printable(origin.file)
        return RuleRef(text=text, source=origin.source, file=file, line=origin.line)

    def known_keys(self, keys: Keys, table: Mapping[str, object], known: Iterable[str]) -> None:
        """Refuse a key that means nothing here."""
        names = tuple(known)
        for key in table:
            if key not in names:
                hint = f"known keys: {', '.join(names)}"
                raise self.problem((*keys, key), f"unknown key{suggestion(key, names)}", hint=hint)

    def table(self, keys: Keys, value: object) -> Mapping[str, object]:
        """A table."""
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return value
        raise self.expected(keys, "a table", value)

    def text(self, keys: Keys, value: object) -> str:
        """A string."""
        if isinstance(value, str):
            return value
        raise self.expected(keys, "a string", value)

    def flag(self, keys: Keys, value: object) -> bool:
        """A bool."""
        if isinstance(value, bool):
            return value
        raise self.expected(keys, "true or false", value)

    def count(self, keys: Keys, value: object) -> int:
        """A whole number that is not negative."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise self.expected(keys, "a whole number from 0", value)

    def texts(self, keys: Keys, value: object) -> tuple[str, ...]:
        """A list of strings."""
        if not isinstance(value, list | tuple):
            raise self.expected(keys, "a list of strings", value)
        return tuple(self.text((*keys, str(i)), item) for i, item in enumerate(value))

    def choice(self, keys: Keys, value: object, known: Iterable[str]) -> str:
        """One of some words."""
        names = tuple(known)
        if isinstance(value, str) and value in names:
            return value
        near = suggestion(value, names) if isinstance(value, str) else ""
        raise self.problem(keys, f"expected {choices(names)}, found {found(value)}{near}")

    def expected(self, keys: Keys, what: str, value: object) -> OctavoError:
        """The error for a value of the wrong kind."""
        return self.problem(keys, f"expected {what}, found {found(value)}")


def entry_text(key: str, value: str) -> str:
    """An entry as its owner would write it: `"docs" = "read"`."""
    return f"{quoted(key)} = {quoted(value)}"
