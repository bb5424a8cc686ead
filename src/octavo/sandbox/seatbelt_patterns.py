"""Paths and deny patterns as regular expressions for a Seatbelt profile.

Pure. The text goes into a `#"..."` string, which knows no escapes, and to an engine that may count
bytes or characters. So a character outside a small safe set becomes a class that matches it; where
no exact class can be written, a slightly wider one: a pattern closes more then, never less.
The meaning of patterns is the one of `octavo.policy.globs`; a test compares the two.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

PLAIN: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-,:;@%=~!#&'<>`/"
)
ODD: Final = "[^ -~/]"  # any character outside printable ASCII; the engine may count bytes
ONE: Final = f"([ -.0-~]|{ODD}+)"
WILD: Final = frozenset("*?[")
BELOW: Final = "(/.*)?$"


def letters(text: str, *, fold: bool = False) -> str:
    """Exactly this text (or a little more, see above); in any case with `fold`."""
    return "".join(_letter(char, fold=fold) for char in text)


def _letter(char: str, *, fold: bool) -> str:
    if fold and char.isascii() and char.isalpha():
        return f"[{char.lower()}{char.upper()}]"
    if char in PLAIN:
        return char
    if char == '"':
        return "[!-#]"  # a quote would end the string in the profile
    if not char.isascii() or not char.isprintable():
        return f"{ODD}+"
    return "\\" + char if char in "\\^[]" else f"[{char}]"


def folded(path: str, parent: str) -> str | None:
    """The path and all below it, the names under `parent` in any case; None without letters."""
    names = path[len(parent.rstrip("/")) :]
    if not any(char.isascii() and char.isalpha() for char in names):
        return None
    return f"^{letters(parent.rstrip('/'))}{letters(names, fold=True)}{BELOW}"


def split(pattern: str) -> tuple[str, tuple[str, ...]]:
    """The folder in front of the first wildcard, and the names from there on.

    The pattern is absolute and normal. A `**` at the end says nothing: all below is the folder.
    """
    names = [name for name in pattern.split("/") if name]
    while names and names[-1] == "**":
        names.pop()
    plain = next((at for at, name in enumerate(names) if not WILD.isdisjoint(name)), len(names) - 1)
    plain = max(plain, 0)
    return "/" + "/".join(names[:plain]), tuple(names[plain:])


def expression(folder: str, names: Sequence[str]) -> str:
    """Matches what these names can name below `folder`. Open at the end: add `BELOW` or `$`.

    Raises ValueError with the reason for a character class that cannot be written.
    """
    text = "^" + letters(folder.rstrip("/"))
    for at, name in enumerate(names):
        if name != "**":
            text += "/" + _name(name)
        else:
            text += "/.+" if at == len(names) - 1 else "(/.+)?"
    return text


def after(names: Sequence[str], path: Sequence[str]) -> set[tuple[str, ...]]:
    """What is left of a pattern below a path: every rest with which it could go on there.

    An empty rest means that the pattern names the path itself.
    """
    rests = {tuple(names)}
    for part in path:
        rests = {rest for old in rests for rest in _step(old, part)}
    return {rest for old in rests for rest in _skipped(old)}


def _skipped(rest: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """The rest, and the same without the `**` it begins with: that may stand for nothing."""
    yield rest
    if rest and rest[0] == "**":
        yield from _skipped(rest[1:])


def _step(rest: tuple[str, ...], part: str) -> Iterable[tuple[str, ...]]:
    for here in _skipped(rest):
        if here and here[0] == "**":
            yield here
        elif here and re.fullmatch(_name(here[0]), part, re.DOTALL):
            yield here[1:]


def _name(name: str) -> str:
    text, at = "", 0
    while at < len(name):
        char, at = name[at], at + 1
        if char == "*":
            at += len(name) - at - len(name[at:].lstrip("*"))
            text += "[^/]*"
        elif char == "?":
            text += ONE
        elif char == "[":
            piece, at = _class(name, at)
            text += piece
        else:
            text += _letter(char, fold=False)
    return text


def _class(name: str, at: int) -> tuple[str, int]:
    """`[abc]`, `[a-z]`, `[!abc]` from behind the bracket; never matches a slash."""
    negated = name[at : at + 1] in ("!", "^")
    at += negated
    end = name.find("]", at + 1)
    members = name[at:end] if end > 0 else ""
    if not members or any(char in '"\\[]^' or not " " <= char <= "~" for char in members):
        raise ValueError(
            f"the character class in `{name}` is open, empty or has unusual characters"
        )
    pieces: list[str] = []
    place = 0
    while place < len(members):
        low = high = members[place]
        if members[place + 1 : place + 2] == "-" and place + 2 < len(members):
            high = members[place + 2]
            place += 2
        place += 1
        if low > high:
            raise ValueError(f"`{low}-{high}` in `{name}` runs backwards")
        pieces += _range(low, high)
    text = "".join(sorted(pieces, key=lambda piece: piece == "-"))  # a hyphen stands last
    if not negated and not text:
        raise ValueError(f"the character class in `{name}` matches nothing")
    return (f"[^/{text}]" if negated else f"[{text}]"), end + 1


def _range(low: str, high: str) -> list[str]:
    """Parts of a class for these characters: without the slash, a hyphen only by itself."""
    for apart in "-/":
        if low <= apart <= high:
            around = _range(low, chr(ord(apart) - 1)) + _range(chr(ord(apart) + 1), high)
            return [*around, "-"] if apart == "-" else around
    if low > high:
        return []
    return [low if low == high else f"{low}-{high}"]
