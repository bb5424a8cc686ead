"""Where a block of lines stands in a file: exactly, or as nearly as the format allows.

Four passes over everything from the cursor on, each only when the former found nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
SINGLE: Final = "\u2018\u2019\u201a\u201b"
DOUBLE: Final = "\u201c\u201d\u201e\u201f"
SPACES: Final = "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys(DASHES, "-"),
        **dict.fromkeys(SINGLE, "'"),
        **dict.fromkeys(DOUBLE, '"'),
        **dict.fromkeys(SPACES, " "),
    }
)


def folded(text: str) -> str:
    """With typographic dashes, quotes and spaces as the keyboard has them."""
    return text.strip().translate(PLAIN)


class Pass(Struct, frozen=True):
    """One way to compare; `loose` says in words what it ignores."""

    form: Callable[[str], str]
    loose: str


PASSES: Final = (
    Pass(str, ""),
    Pass(str.rstrip, ""),  # nobody misses spaces at the end of a line
    Pass(str.strip, "spaces at the beginning of lines ignored"),
    Pass(folded, "typographic dashes, quotes and spaces taken as plain ones"),
)


class Match(Struct, frozen=True, kw_only=True):
    """Where a block was found. `others` are later places it would fit as well; all from 0."""

    at: int
    others: tuple[int, ...] = ()
    loose: str = ""


class Finder:
    """Looks for blocks in the lines of one file."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self._forms: dict[int, list[str]] = {}

    def find(self, block: Sequence[str], start: int = 0) -> Match | None:
        """The first place at or after `start`, in the strictest pass that knows one."""
        for index, one in enumerate(PASSES):
            found = places(self._form(index), [one.form(line) for line in block], start)
            if found:
                return Match(at=found[0], others=tuple(found[1:]), loose=one.loose)
        return None

    def find_last(self, block: Sequence[str], start: int = 0) -> Match | None:
        """The block as the last lines of the file, and nowhere else."""
        at = len(self.lines) - len(block)
        if at < start:
            return None
        for index, one in enumerate(PASSES):
            if self._form(index)[at:] == [one.form(line) for line in block]:
                return Match(at=at, loose=one.loose)
        return None

    def _form(self, index: int) -> list[str]:
        if index not in self._forms:
            self._forms[index] = [PASSES[index].form(line) for line in self.lines]
        return self._forms[index]


def places(lines: list[str], block: list[str], start: int) -> list[int]:
    """Where the block stands, from `start` on, without overlaps."""
    found: list[int] = []
    last = len(lines) - len(block)
    at = start
    while at <= last:
        try:
            at = lines.index(block[0], at, last + 1)
        except ValueError:
            break
        if lines[at : at + len(block)] == block:
            found.append(at)
            at += len(block)
        else:
            at += 1
    return found
