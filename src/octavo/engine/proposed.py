"""The plan in a message of plan mode: cut out of what people read, also while it is written.

Pure. A block begins with `<proposed_plan>` at the start of a line and ends with `</proposed_plan>`
or with the message. However the text is cut into pieces, the pieces shown are together what
`cut` gives for the whole.
"""

from typing import Final

from msgspec import Struct

OPEN: Final = "<proposed_plan>"
CLOSE: Final = "</proposed_plan>"
INDENT: Final = " \t"


class Cut(Struct, frozen=True, kw_only=True):
    """A message taken apart."""

    text: str
    """What stays of it."""
    plan: str | None = None
    """What stood in the last block that is not empty; None: there is no block."""


def cut(text: str) -> Cut:
    """The message without its plan, and the plan."""
    cutter = PlanCutter()
    shown = cutter.feed(text) + cutter.end()
    return Cut(text=shown, plan=cutter.plan)


class PlanCutter:
    """Takes the plan out of a message that comes in pieces."""

    def __init__(self) -> None:
        self.plan: str | None = None
        """The last whole block, or what there is of one at the end."""
        self._held = ""
        """Read, and not yet known to be text or tag."""
        self._block: str | None = None
        """What has come of the block that is open."""
        self._line_start = True
        self._after = False
        """Right after a closing tag: the rest of its line, when blank, goes with it."""

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        self._held += piece
        shown = []
        while self._held:
            before = len(self._held)
            shown.append(self._inside() if self._block is not None else self._outside())
            if len(self._held) == before:
                break
        return "".join(shown)

    def end(self) -> str:
        """The message is complete: what was held back."""
        held, self._held = self._held, ""
        if self._block is not None:
            self._take(self._block + held)
            return ""
        return "" if self._after and not held.strip() else held

    def _inside(self) -> str:
        assert self._block is not None
        found, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._take(self._block + found)
            self._held, self._after, self._line_start = rest, True, True
            return ""
        keep = overlap(self._held, CLOSE)
        at = len(self._held) - keep
        self._block += self._held[:at]
        self._held = self._held[at:]
        return ""

    def _outside(self) -> str:
        """One line, or as much of it as is known to be text."""
        line, newline, rest = self._held.partition("\n")
        if self._after:
            if not newline and not line.strip():
                return ""  # blank so far
            self._after = False
            if not line.strip():
                self._held, self._line_start = rest, True
                return ""
        if self._line_start:
            words = line.lstrip(INDENT)
            if words.startswith(OPEN):
                self._block = ""
                self._held = self._held[self._held.index(OPEN) + len(OPEN) :]
                return ""
            if not newline and OPEN.startswith(words):
                return ""  # perhaps a tag
        self._held, self._line_start = rest, bool(newline)
        return line + newline

    def _take(self, block: str) -> None:
        self._block = None
        if block.strip():
            self.plan = block.strip("\n").rstrip()
        elif self.plan is None:
            self.plan = ""


def overlap(text: str, tag: str) -> int:
    """How much of the end of a text may be the beginning of a tag."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)
