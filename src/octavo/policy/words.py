"""Words in messages: the nearest valid name, a key as it is written, a value as it was found."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from octavo.policy.paths import printable

BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
LONGEST: Final = 60


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word a person most likely meant, or None when nothing is close."""
    close = max(1, len(word) // 3)
    scored = sorted((_distance(word.lower(), name.lower()), name) for name in known)
    return scored[0][1] if scored and scored[0][0] <= close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean "X"?)`, or nothing."""
    found = nearest(word, known)
    return "" if found is None else f" (did you mean {quoted(found)}?)"


def choices(known: Sequence[str]) -> str:
    """`a, b or c`."""
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"


def quoted(text: str) -> str:
    """The text in quotation marks, on one line, not too long."""
    shown = printable(text).replace('"', '\\"')
    return f'"{shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"}"'


def dotted(keys: Sequence[str]) -> str:
    """A key path as one writes it: `permissions.dev."my key"`."""
    return ".".join(key if BARE_KEY.fullmatch(key) else quoted(key) for key in keys)


def found(value: object) -> str:
    """A value as a message shows it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int() | float():
            return str(value)
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
        case _:
            return printable(str(value))


def _distance(one: str, other: str) -> int:
    """How many letters to add, drop, change or swap with their neighbour."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            cost = min(row[-1] + 1, last[j] + 1, last[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
