"""`--limit NAME=VALUE`: what a command may use, as people write it."""

import re
from typing import Final, NamedTuple

from octavo.api.commands import Limits
from octavo.protocol.errors import UsageError

SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
TIMES: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)")


class Parsed(NamedTuple):
    """Limits for the command, and the wall-clock one, which is ours to keep."""

    limits: Limits
    wall_s: float | None


def parse(words: tuple[str, ...]) -> Parsed:
    """`memory=512M processes=100 cpu=30s wall=2m output=1M file-size=1G files=256`.

    Raises UsageError naming what is allowed.
    """
    fields: dict[str, int] = {}
    wall: float | None = None
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or name not in KINDS:
            raise UsageError(
                f"--limit {word!r}: expected NAME=VALUE with one of {', '.join(KINDS)}"
            )
        field, units = KINDS[name]
        amount = number(word, value.lower(), units)
        if name == "wall":
            wall = amount
        else:
            fields[field] = max(1, round(amount))
    return Parsed(Limits(**fields), wall)


KINDS: Final[dict[str, tuple[str, dict[str, float]]]] = {
    "memory": ("memory_bytes", dict(SIZES)),
    "processes": ("processes", {"": 1}),
    "cpu": ("cpu_s", TIMES),
    "wall": ("", TIMES),
    "output": ("output_bytes", dict(SIZES)),
    "file-size": ("file_bytes", dict(SIZES)),
    "files": ("open_files", {"": 1}),
}


def number(word: str, value: str, units: dict[str, float]) -> float:
    found = NUMBER.fullmatch(value.removesuffix("b") if "k" in units else value)
    if found is None or found[2] not in units or float(found[1]) <= 0:
        known = ", ".join(unit or "no unit" for unit in units)
        raise UsageError(f"--limit {word!r}: expected a number above zero with {known}")
    return float(found[1]) * units[found[2]]
