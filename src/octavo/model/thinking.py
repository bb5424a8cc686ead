"""Thoughts that a local model writes into its message, between `<think>` tags.

Pure and incremental: text in, pieces out, each marked as thought or speech.
"""

from typing import Final, Literal

Piece = tuple[Literal["thought", "speech"], str]

PAIRS: Final = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
)
"""Only at the very beginning of a message: later on somebody may be writing about such tags."""


class ThoughtSplitter:
    """Feed it a message as it streams."""

    def __init__(self) -> None:
        self._state: Literal["start", "thought", "speech"] = "start"
        self._end = ""
        self._kept = ""
        """What cannot be told apart yet."""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain now; joined in order they are the text without the tags."""
        self._kept += text
        found: list[Piece] = []
        if self._state == "start":
            self._begin()
        if self._state == "thought":
            found += self._think()
        if self._state == "speech" and self._kept:
            found.append(("speech", self._kept))
            self._kept = ""
        return found

    def end(self) -> list[Piece]:
        """The message is over: what was still kept."""
        kept, self._kept = self._kept, ""
        if not kept:
            return []
        return [("thought" if self._state == "thought" else "speech", kept)]

    def _begin(self) -> None:
        start = self._kept.lstrip()
        for opening, closing in PAIRS:
            if start.startswith(opening):
                self._state, self._end = "thought", closing
                self._kept = start.removeprefix(opening)
                return
        if start and not any(opening.startswith(start) for opening, _ in PAIRS):
            self._state = "speech"

    def _think(self) -> list[Piece]:
        thought, closing, rest = self._kept.partition(self._end)
        if closing:
            self._state, self._kept = "speech", rest.lstrip("\n")
        else:
            keep = _overlap(thought, self._end)
            self._kept = thought[len(thought) - keep :]
            thought = thought[: len(thought) - keep]
        return [("thought", thought)] if thought else []


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0
