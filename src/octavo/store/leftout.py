"""Which folders are not worth a checkpoint: large, and made again by a tool at any time. Pure.

A folder counts as made by a tool when its name says so, when it holds a mark (`CACHEDIR.TAG`,
`pyvenv.cfg`), or when a `.gitignore` of the workspace names it. Small ones are kept all the same.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

NAMES: Final = frozenset(
    {
        "node_modules", "bower_components", "__pycache__", ".venv", "venv", ".tox", ".nox",
        ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".gradle", ".terraform",
        ".next", ".nuxt", ".parcel-cache", ".turbo", ".svelte-kit", ".dart_tool", ".eggs",
    }
)  # fmt: skip
MARKS: Final = frozenset({"CACHEDIR.TAG", "pyvenv.cfg"})
IGNORES: Final = ".gitignore"
MOST_RULES: Final = 2000
MANY: Final = 1000
"""A folder that a tool made is left out when more than so many things lie in it."""


class Rule(Struct, frozen=True):
    """One line of a `.gitignore`, as far as it is about folders."""

    pattern: re.Pattern[str]
    keep: bool
    """It begins with `!`."""


def rules_of(text: str) -> tuple[Rule, ...]:
    """The lines of a `.gitignore` that can name a folder."""
    found = [_rule(line) for line in text.splitlines()[:MOST_RULES]]
    return tuple(rule for rule in found if rule is not None)


def ignored(folder: str, files: Iterable[tuple[str, tuple[Rule, ...]]]) -> bool:
    """Whether a folder is named. `files`: the folder of each `.gitignore` around it, outermost
    first, and its rules."""
    verdict = False
    for place, rules in files:
        below = folder.removeprefix(place + "/") if place else folder
        for rule in rules:
            if rule.pattern.fullmatch(below):
                verdict = not rule.keep
    return verdict


def _rule(line: str) -> Rule | None:
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    keep = text.startswith("!")
    text = text.removeprefix("!").removeprefix("\\").removesuffix("/")
    if not text:
        return None
    anchored = "/" in text
    prefix = "" if anchored else "(?:.*/)?"
    try:
        return Rule(re.compile(prefix + _translated(text.removeprefix("/"))), keep)
    except re.error:
        return None


STARS: Final = (("**/", "(?:.*/)?"), ("/**", "/.*"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]"))


def _translated(text: str) -> str:
    found: list[str] = []
    at = 0
    while at < len(text):
        star, means = next((one for one in STARS if text.startswith(one[0], at)), ("", ""))
        group = re.match(r"\[!?\]?[^\]/]*\]", text[at:]) if not star else None
        if star:
            found.append(means)
            at += len(star)
        elif group is not None:
            found.append(group[0].replace("[!", "[^", 1).replace("\\", "\\\\"))
            at += len(group[0])
        else:
            found.append(re.escape(text[at]))
            at += 1
    return "".join(found)
