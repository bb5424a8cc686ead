"""A patch that is still being written, as far as it can be read: a diff that grows.

For display only; what is wrong is told when the patch is complete and parsed.
"""

from typing import Final, Literal

from msgspec import Struct

from octavo.patch.parse import ADD, BEGIN, DELETE, END, OpenSection, SectionReader
from octavo.patch.refusal import PatchRefused

KINDS: Final[dict[str, Literal["add", "delete", "update"]]] = {ADD: "add", DELETE: "delete"}


class FilePreview(Struct, frozen=True, kw_only=True):
    """One file as far as its section has arrived."""

    kind: Literal["add", "delete", "update"]
    path: str
    """As written."""
    move_path: str | None = None
    lines: tuple[str, ...] = ()
    """Chunk headers, and lines with their sign; for a new file too."""
    complete: bool = False

    @property
    def diff(self) -> str:
        """The lines as text."""
        return "".join(line + "\n" for line in self.lines)


class OpenPreview:
    """A file whose lines are still coming."""

    def __init__(self, section: OpenSection) -> None:
        self.section = section
        self.lines: list[str] = []

    def value(self, *, complete: bool) -> FilePreview:
        return FilePreview(
            kind=KINDS.get(self.section.kind, "update"),
            path=self.section.path,
            move_path=self.section.move_to,
            lines=tuple(self.lines),
            complete=complete,
        )


class PatchPreview:
    """Feed it the text as it arrives."""

    def __init__(self) -> None:
        self._reader = SectionReader()
        self._rest = ""
        self._number = 0
        self._begun = False
        self._over = False
        self._open: OpenPreview | None = None
        self._done: list[FilePreview] = []

    @property
    def files(self) -> tuple[FilePreview, ...]:
        """All files so far, the last one perhaps unfinished."""
        open_one = () if self._open is None else (self._open.value(complete=False),)
        return (*self._done, *open_one)

    def feed(self, text: str) -> tuple[FilePreview, ...]:
        """More of the patch; the files that changed by it. Never raises."""
        before = len(self._done)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._number += 1
            if not self._over:
                self._line(line.removesuffix("\r"))
        return self.files[before:] if lines else ()

    def _line(self, line: str) -> None:
        if not self._begun:
            self._begun = line.strip() == BEGIN
            return
        if line.rstrip() == END:
            self._end()
            return
        before = self._reader.open
        try:
            self._reader.take(self._number, line)
        except PatchRefused:
            self._end()
            return
        section = self._reader.open
        if section is None:
            return
        if section is not before:
            self._close()
            self._open = OpenPreview(section)
        elif self._open is not None and line and not line.startswith("*** Move to:"):
            self._open.lines.append(line)

    def _end(self) -> None:
        self._over = True
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._done.append(self._open.value(complete=True))
            self._open = None
