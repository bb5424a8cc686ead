"""The chunks of one section applied to one file, in memory.

All places are found in the original; lines that stay keep their own text and ends.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.patch.explain import missing_block, missing_header
from octavo.patch.lines import Lines
from octavo.patch.match import Finder, Match
from octavo.patch.parse import Chunk, Line, UpdateFile

MOST_NAMED: Final = 8
"""So many other places a note names at most."""


class Stretch(Struct, frozen=True, kw_only=True):
    """Lines `at` to `at + count` of the original make place for these."""

    at: int
    count: int
    texts: tuple[str, ...]
    ends: tuple[str, ...]


class Edited(Struct, frozen=True, kw_only=True):
    """A file after its section, and what the author of the patch should know."""

    data: bytes
    notes: tuple[str, ...] = ()


def edited(data: bytes, section: UpdateFile, path: str) -> Edited:
    """Apply a section to a file's bytes. Raises PatchRefused; `path` is the name it uses."""
    lone_cr = not any("\r" in text for chunk in section.chunks for text in chunk.old)
    editor = Editor(Lines.of(data, lone_cr=lone_cr), path, section.path)
    for chunk in section.chunks:
        editor.apply(chunk)
    return Edited(data=editor.result().encode(), notes=tuple(editor.notes))


class Editor:
    """Finds the place of each chunk, from the top of the file to its end."""

    def __init__(self, lines: Lines, path: str, shown: str) -> None:
        self.lines = lines
        self.path = path
        self.shown = shown
        self.finder = Finder(lines.texts)
        self.cursor = 0
        self.stretches: list[Stretch] = []
        self.notes: list[str] = []

    def apply(self, chunk: Chunk) -> None:
        """Find the place of the next chunk. Raises PatchRefused."""
        if chunk.header is not None:
            found = self.finder.find([chunk.header], self.cursor)
            if found is None:
                raise missing_header(self.finder, chunk, self.cursor, self.path)
            self._tell(found, f"the line {chunk.header.strip()!r}", loose=False)
            self.cursor = found.at + 1
        if not chunk.old:
            self._insert(chunk)
            return
        chunk, match = self._locate(chunk)
        if match is None:
            self._insert(chunk)
            return
        self._tell(match, "the block", loose=True)
        self._replace(chunk.lines, match.at)
        self.cursor = match.at + len(chunk.old)

    def _locate(self, chunk: Chunk) -> tuple[Chunk, Match | None]:
        """The chunk, perhaps without empty lines at its end, and its place.

        No place when nothing was left to look for: then it only adds.
        """
        find = self.finder.find_last if chunk.at_end else self.finder.find
        shorter = chunk
        while shorter.old:
            match = find(shorter.old, self.cursor)
            if match is not None:
                return shorter, match
            if shorter.old[-1]:
                break
            shorter = without_last_blank(shorter)
        if not shorter.old and shorter.lines:
            return shorter, None
        raise missing_block(self.finder, chunk, self.cursor, self.path)

    def _insert(self, chunk: Chunk) -> None:
        """Only new lines: below their header, else at the end of the file."""
        below = chunk.header is not None and not chunk.at_end
        self._replace(chunk.lines, self.cursor if below else len(self.lines.texts))

    def _replace(self, lines: tuple[Line, ...], at: int) -> None:
        texts: list[str] = []
        ends: list[str] = []
        here = at
        index = 0
        while index < len(lines):
            removed, added, index = run(lines, index)
            kept = same(self.lines.texts[here : here + removed], added)
            here_end = here + removed
            for offset, text in enumerate(added):
                origin = kept.get(offset)
                texts.append(text)
                ends.append(self.lines.end if origin is None else self.lines.ends[here + origin])
            here = here_end
            while index < len(lines) and lines[index].kind == " ":
                texts.append(self.lines.texts[here])
                ends.append(self.lines.ends[here])
                here += 1
                index += 1
        self.stretches.append(Stretch(at=at, count=here - at, texts=tuple(texts), ends=tuple(ends)))

    def _tell(self, match: Match, what: str, *, loose: bool) -> None:
        if match.others:
            named = ", ".join(str(at + 1) for at in match.others[:MOST_NAMED])
            more = len(match.others) - MOST_NAMED
            named += f" and {more} more" if more > 0 else ""
            word = "line" if len(match.others) == 1 else "lines"
            self.notes.append(
                f"{self.shown}: {what} at line {match.at + 1} also stands at {word} {named}; "
                "the first place was taken"
            )
        if loose and match.loose:
            self.notes.append(f"{self.shown}: line {match.at + 1} was matched with {match.loose}")

    def result(self) -> Lines:
        """The file after all chunks; it ends in a line end."""
        texts: list[str] = []
        ends: list[str] = []
        done = 0
        for stretch in sorted(self.stretches, key=lambda one: one.at):
            texts += self.lines.texts[done : stretch.at]
            ends += self.lines.ends[done : stretch.at]
            texts += stretch.texts
            ends += stretch.ends
            done = stretch.at + stretch.count
        texts += self.lines.texts[done:]
        ends += self.lines.ends[done:]
        ends = [end or self.lines.end for end in ends]
        return replace(self.lines, texts=tuple(texts), ends=tuple(ends))


def run(lines: tuple[Line, ...], index: int) -> tuple[int, list[str], int]:
    """From `index` on: how many lines go, which come, and where the next kept line is."""
    removed = 0
    added: list[str] = []
    while index < len(lines) and lines[index].kind != " ":
        if lines[index].kind == "-":
            removed += 1
        else:
            added.append(lines[index].text)
        index += 1
    return removed, added, index


def same(old: tuple[str, ...], new: list[str]) -> dict[int, int]:
    """New lines at either edge of a run that are old ones: they keep their line ends."""
    kept: dict[int, int] = {}
    top = 0
    while top < min(len(old), len(new)) and old[top] == new[top]:
        kept[top] = top
        top += 1
    low = 1
    while low <= min(len(old), len(new)) - top and old[-low] == new[-low]:
        kept[len(new) - low] = len(old) - low
        low += 1
    return kept


def without_last_blank(chunk: Chunk) -> Chunk:
    """The chunk without the empty line its old side ends in, on both sides."""
    lines = list(chunk.lines)
    last = max(index for index, line in enumerate(lines) if line.kind != "+")
    dropped = lines.pop(last)
    if dropped.kind == " " and last < len(lines):
        if lines[-1] == Line("+", ""):
            lines.pop()
        lines.insert(last, Line("+", ""))
    elif dropped.kind == "-" and lines and lines[-1] == Line("+", ""):
        lines.pop()
    return replace(chunk, lines=tuple(lines))
