"""Patch text -> sections. Lenient where models are sloppy, strict where guessing could hurt.

`SectionReader` takes one line at a time, so the same rules serve a patch that is still being
written (`octavo.patch.preview`).
"""

from typing import Final, Literal

from msgspec import Struct

from octavo.patch.refusal import PatchRefused, quoted

BEGIN: Final = "*** Begin Patch"
END: Final = "*** End Patch"
ENVIRONMENT: Final = "*** Environment ID:"
ADD: Final = "*** Add File:"
DELETE: Final = "*** Delete File:"
UPDATE: Final = "*** Update File:"
MOVE: Final = "*** Move to:"
END_OF_FILE: Final = "*** End of File"
WRAPPERS: Final = frozenset({"<<EOF", "<<'EOF'", '<<"EOF"'})
SECTIONS: Final = (ADD, DELETE, UPDATE)
EXPECTED: Final = f"'{ADD} PATH', '{DELETE} PATH' or '{UPDATE} PATH'"

Kind = Literal[" ", "-", "+"]


class Line(Struct, frozen=True):
    """One line of a chunk: kept, removed or added."""

    kind: Kind
    text: str


class Chunk(Struct, frozen=True, kw_only=True):
    """One stretch of a file to change."""

    lines: tuple[Line, ...]
    header: str | None = None
    """A line of the file that stands somewhere above."""
    at_end: bool = False
    """The old lines are the last of the file."""
    patch_line: int

    @property
    def old(self) -> list[str]:
        """What has to be there."""
        return [line.text for line in self.lines if line.kind != "+"]

    @property
    def new(self) -> list[str]:
        """What stands there afterwards."""
        return [line.text for line in self.lines if line.kind != "-"]


class AddFile(Struct, frozen=True, kw_only=True):
    """A file with exactly these lines, whether or not one was there."""

    path: str
    lines: tuple[str, ...]
    patch_line: int


class DeleteFile(Struct, frozen=True, kw_only=True):
    """A file that goes."""

    path: str
    patch_line: int


class UpdateFile(Struct, frozen=True, kw_only=True):
    """A file that changes, and may get another name."""

    path: str
    chunks: tuple[Chunk, ...]
    move_to: str | None = None
    patch_line: int


Section = AddFile | DeleteFile | UpdateFile


class Patch(Struct, frozen=True, kw_only=True):
    """A patch as written; paths may be relative."""

    sections: tuple[Section, ...]
    environment: str | None = None


class OpenChunk:
    """A chunk whose lines are still coming."""

    def __init__(self, header: str | None, patch_line: int) -> None:
        self.header = header
        self.patch_line = patch_line
        self.lines: list[Line] = []
        self.ended = False

    def done(self) -> Chunk:
        if not self.lines:
            raise PatchRefused(
                f"line {self.patch_line} of the patch: no line follows '@@'",
                patch_line=self.patch_line,
                hint="A chunk needs at least one line that begins with a space, '-' or '+'.",
            )
        return Chunk(
            lines=tuple(self.lines),
            header=self.header,
            at_end=self.ended,
            patch_line=self.patch_line,
        )


class OpenSection:
    """A section whose lines are still coming."""

    def __init__(self, kind: str, path: str, patch_line: int) -> None:
        self.kind = kind
        self.path = path
        self.patch_line = patch_line
        self.added: list[str] = []
        self.move_to: str | None = None
        self.chunks: list[Chunk] = []
        self.chunk: OpenChunk | None = None

    def done(self) -> Section:
        if self.kind == ADD:
            return AddFile(path=self.path, lines=tuple(self.added), patch_line=self.patch_line)
        if self.kind == DELETE:
            return DeleteFile(path=self.path, patch_line=self.patch_line)
        self.close_chunk()
        if not self.chunks:
            raise PatchRefused(
                f"line {self.patch_line} of the patch: the update of {quoted(self.path)} is empty",
                patch_line=self.patch_line,
                path=self.path,
                hint="Give at least one line; to rename a file only, one that it has and keeps.",
            )
        return UpdateFile(
            path=self.path,
            chunks=tuple(self.chunks),
            move_to=self.move_to,
            patch_line=self.patch_line,
        )

    def close_chunk(self) -> None:
        if self.chunk is not None:
            self.chunks.append(self.chunk.done())
            self.chunk = None


class SectionReader:
    """Takes the lines between BEGIN and END, one by one."""

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.environment: str | None = None
        self.open: OpenSection | None = None

    def take(self, number: int, line: str) -> None:
        """The next line, without its line end. Raises PatchRefused naming `number`."""
        section = self.open
        if section is not None and section.kind == ADD and line.startswith("+"):
            section.added.append(line[1:])
        elif (
            section is None or section.kind != UPDATE or not self._in_update(section, number, line)
        ):
            self._between(number, line.strip())

    def finish(self) -> tuple[Section, ...]:
        """No more lines. Raises PatchRefused when the last section is incomplete."""
        if self.open is not None:
            self.sections.append(self.open.done())
            self.open = None
        return tuple(self.sections)

    def _between(self, number: int, line: str) -> None:
        if not line:
            return
        if line.startswith(ENVIRONMENT) and self.open is None and not self.sections:
            self._name_environment(number, line.removeprefix(ENVIRONMENT).strip())
            return
        kind = next((kind for kind in SECTIONS if line.startswith(kind)), None)
        if kind is None:
            self._refuse(number, line)
            return
        self.finish()
        path = self._path(number, line, kind)
        self.open = OpenSection(kind, path, number)

    def _refuse(self, number: int, line: str) -> None:
        if line == END:
            raise PatchRefused(
                f"line {number} of the patch: something follows '{END}'",
                patch_line=number,
                hint="Send one patch at a time.",
            )
        inside = self.open is not None and self.open.kind == ADD
        expected = f"a line that begins with '+', or {EXPECTED}" if inside else EXPECTED
        raise PatchRefused(
            f"line {number} of the patch: expected {expected}, found {quoted(line)}",
            patch_line=number,
        )

    def _name_environment(self, number: int, name: str) -> None:
        if not name or self.environment is not None:
            raise PatchRefused(
                f"line {number} of the patch: '{ENVIRONMENT}' takes a name, and stands there once",
                patch_line=number,
            )
        self.environment = name

    @staticmethod
    def _path(number: int, line: str, kind: str) -> str:
        path = line.removeprefix(kind).strip()
        if not path or "\0" in path:
            what = "a NUL character in the path" if path else "no path"
            raise PatchRefused(
                f"line {number} of the patch: {what} after '{kind}'", patch_line=number
            )
        return path

    def _in_update(self, section: OpenSection, number: int, line: str) -> bool:
        """Whether the line belongs to the update; section headers do not."""
        text = line.rstrip()
        chunk = section.chunk
        if text.startswith(MOVE) and chunk is None and not section.chunks:
            if section.move_to is not None:
                raise PatchRefused(
                    f"line {number} of the patch: a second '{MOVE}'", patch_line=number
                )
            section.move_to = self._path(number, text, MOVE)
        elif text == "@@" or line.startswith("@@ "):
            section.close_chunk()
            section.chunk = OpenChunk(line[3:] if text != "@@" else None, number)
        elif text == END_OF_FILE and chunk is not None and chunk.lines:
            chunk.ended = True
            section.close_chunk()
        elif text.startswith(SECTIONS) or text == END:
            return False
        else:
            self._chunk_line(section, number, line)
        return True

    @staticmethod
    def _chunk_line(section: OpenSection, number: int, line: str) -> None:
        if section.chunk is None:
            if not line.strip():
                return  # blank lines between chunks
            if section.chunks:
                raise PatchRefused(
                    f"line {number} of the patch: expected '@@' or the next section, found "
                    f"{quoted(line)}",
                    patch_line=number,
                )
        match line[:1]:
            case "":
                added = Line(" ", "")
            case " " | "-" | "+" as kind:
                added = Line(kind, line[1:])
            case _:
                raise PatchRefused(
                    f"line {number} of the patch: expected a line that begins with a space, '-', "
                    f"'+' or '@@', found {quoted(line)}",
                    patch_line=number,
                    path=section.path,
                    hint="Lines that stay as they are begin with one space.",
                )
        if section.chunk is None:
            section.chunk = OpenChunk(None, number)
        section.chunk.lines.append(added)


def parse(text: str) -> Patch:
    """The sections of a patch. Raises PatchRefused naming the line that is wrong."""
    first, lines = unwrapped(text)
    check_letters(text)
    reader = SectionReader()
    for number, line in enumerate(lines, first):
        reader.take(number, line)
    return Patch(sections=reader.finish(), environment=reader.environment)


def unwrapped(text: str) -> tuple[int, list[str]]:
    """The lines between BEGIN and END, and the number of the first of them."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    above = 0
    while above < len(lines) and not lines[above].strip():
        above += 1
    lines = lines[above:]
    wrapped = len(lines) >= 4 and lines[0].strip() in WRAPPERS
    if wrapped and lines[-1].rstrip().endswith("EOF"):
        lines = lines[1:-1]
        above += 1
    if not lines or lines[0].strip() != BEGIN:
        found = quoted(lines[0]) if lines else "nothing"
        raise PatchRefused(
            f"the first line of a patch is '{BEGIN}', found {found}", patch_line=above + 1
        )
    if len(lines) < 2 or lines[-1].strip() != END:
        raise unended(lines, above)
    return above + 2, lines[1:-1]


def unended(lines: list[str], above: int) -> PatchRefused:
    """The last line is not END: cut off, or more text after it."""
    number = above + len(lines)
    ends = [index for index, line in enumerate(lines) if line.rstrip() == END]
    if ends:
        return PatchRefused(
            f"line {above + ends[0] + 2} of the patch: something follows '{END}': "
            f"{quoted(lines[ends[0] + 1])}",
            patch_line=above + ends[0] + 2,
        )
    return PatchRefused(
        f"the last line of a patch is '{END}', found {quoted(lines[-1])} on line {number}",
        patch_line=number,
        hint="Was the patch cut off?",
    )


def check_letters(text: str) -> None:
    """Refuse half letters: they cannot be written to any file."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        number = text.count("\n", 0, error.start) + 1
        raise PatchRefused(
            f"line {number} of the patch: half of a surrogate pair, which is no letter",
            patch_line=number,
        ) from error
