"""Patterns for paths to deny: `**`, `*`, `?` and `[..]`.

A pattern is absolute, and is compiled once to an expression whose cost stays proportional to
the length of the path: whatever a leftmost match of one part settles is never tried again.

`**` as a whole name stands for any number of folders, also none. `*` and `?` stay inside one
name and match a leading dot too. `[!a-z]` or `[^a-z]` negates. There is no escape character:
`[*]` is a star. There are no braces: a pattern that looks as if it had some is refused, because
to take them literally would deny nothing.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

SPECIAL: Final = frozenset("*?[")
BRACES: Final = re.compile(r"\{[^{}/]*,[^{}/]*\}")
ANY: Final = "[^/]"
END_OF_NAME: Final = r"(?=/|\Z)"


class Glob(NamedTuple):
    """A compiled pattern."""

    pattern: str
    base: str
    """The folder above everything the pattern can name; where a search for matches starts."""
    names: int | None
    """How many names a match has; None with `**`."""
    exact: re.Pattern[str]
    within: re.Pattern[str]

    def matches(self, path: str) -> bool:
        """Whether the pattern names exactly this path."""
        return self.exact.fullmatch(path) is not None

    def touches(self, path: str) -> bool:
        """Whether the pattern names this path or a folder above it."""
        return self.within.fullmatch(path) is not None


def is_glob(text: str) -> bool:
    """Whether the text has a character with a meaning of its own in patterns."""
    return not SPECIAL.isdisjoint(text)


def has_braces(text: str) -> bool:
    """Whether the text has `{a,b}`, which other tools read as two patterns."""
    return BRACES.search(text.replace("[{]", "")) is not None


def escape(path: str) -> str:
    """A pattern that names only this path."""
    return "".join(f"[{char}]" if char in SPECIAL else char for char in path)


def literal(text: str) -> str | None:
    """The only path a pattern can name (`[*]` is a star), or None when it may name several."""
    plain: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "[" and text[at + 2 : at + 3] == "]" and text[at + 1] not in "]!^/":
            char = text[at + 1]
            at += 2
        elif char in SPECIAL:
            return None
        plain.append(char)
        at += 1
    return "".join(plain)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> Glob:
    """The pattern, ready to match. It is absolute, without empty names, `.` and `..`.

    Raises ValueError with the reason for `[` without `]` and for a range that runs backwards.
    """
    names = [name for name in pattern.split("/") if name]
    while names and names[-1] == "**":  # all below a folder is the folder
        names.pop()
    source = "".join(_parts(names)) or "/"
    return Glob(
        pattern=pattern,
        base=_base(names),
        names=None if "**" in names else len(names),
        exact=re.compile(source, re.DOTALL),
        within=re.compile(f"{source}(?:/.*)?" if names else "/.*", re.DOTALL),
    )


def _base(names: list[str]) -> str:
    fixed: list[str] = []
    for name in names[:-1]:
        plain = literal(name)
        if plain is None:
            break
        fixed.append(plain)
    return "/" + "/".join(fixed)


def _parts(names: list[str]) -> list[str]:
    """Expression parts between the `**`s. All but the last are settled where first found."""
    runs: list[list[str]] = [[]]
    for name in names:
        if name != "**":
            runs[-1].append(f"/{_name(name)}")
        elif runs[-1] or len(runs) == 1:  # two `**` in a row say no more than one
            runs.append([])
    first, *others = ("".join(run) for run in runs)
    if not others:
        return [first]
    *middle, last = (f"(?:/{ANY}++)*?{run}" for run in others)
    return [first, *(f"(?>{run}{END_OF_NAME})" for run in middle), last]


def _name(name: str) -> str:
    """The expression for one name: fixed pieces with stars between them."""
    first, *others = _pieces(name)
    if not others:
        return first
    if not any((first, *others)):
        return f"{ANY}+"
    *middle, last = others
    inner = "".join(f"(?>{ANY}*?{piece})" for piece in middle if piece)
    return f"{first}{inner}{ANY}*{last}"


def _pieces(name: str) -> list[str]:
    pieces = [""]
    at = 0
    while at < len(name):
        char = name[at]
        at += 1
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += ANY
        elif char == "[":
            close = name.find("]", at + (2 if name[at : at + 1] in {"!", "^"} else 1))
            if close < 0:
                raise ValueError(f"`[` without `]` in `{name}`")
            pieces[-1] += _class(name[at:close])
            at = close + 1
        else:
            pieces[-1] += re.escape(char)
    return pieces


def _class(inside: str) -> str:
    negated = inside[0] in "!^"
    members = inside[1:] if negated else inside
    parts: list[str] = []
    at = 0
    while at < len(members):
        low = high = members[at]
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            high = members[at + 2]
            at += 2
        at += 1
        if low > high:
            raise ValueError(f"`{low}-{high}` runs backwards in `[{inside}]`")
        parts.append(re.escape(low) + ("" if low == high else "-" + re.escape(high)))
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]"
