"""Sections + the files as they are -> exactly what would be written. All of it, or nothing.

Sections are applied in order to files in memory; the disk is asked through `read` and never
touched. A section that fails refuses the whole patch, and all that fail are told at once.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct

from octavo.patch.edit import edited
from octavo.patch.parse import AddFile, DeleteFile, Patch, Section, UpdateFile
from octavo.patch.refusal import PatchRefused, quoted

MOST_TOLD: Final = 5
"""So many failures are told at once."""


class Other(StrEnum):
    """What lies at a path instead of a file."""

    MISSING = "missing"
    FOLDER = "a folder"
    SPECIAL = "neither a file nor a folder"


Found = bytes | Other
Read = Callable[[str], Found]
"""The bytes of a file, symlinks followed, or what is there instead. May raise OSError."""
Resolve = Callable[[str], str]
"""A path as written -> absolute and normal."""


class Change(Struct, frozen=True, kw_only=True):
    """What one section does."""

    kind: Literal["add", "delete", "update"]
    path: str
    """Absolute."""
    shown: str
    """As written."""
    old: bytes | None
    """Before; None when there was no file."""
    new: bytes | None
    """Afterwards, under the new name if it moves; None when it is deleted."""
    move_path: str | None = None
    move_shown: str | None = None


class FileState(Struct, frozen=True, kw_only=True):
    """One path of the disk before and after the whole patch. None: no file."""

    path: str
    before: bytes | None
    after: bytes | None
    mode_of: str | None = None
    """The file moved here from that path: it keeps its permission bits."""


class PatchPlan(Struct, frozen=True, kw_only=True):
    """What a patch would do, complete."""

    changes: tuple[Change, ...]
    """One per section, in the order written."""
    files: tuple[FileState, ...]
    """One per touched path, in the order of first use."""
    notes: tuple[str, ...] = ()
    """What the author should know: blocks that stand in several places, loose matches."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every touched path, absolute; move targets too."""
        return tuple(file.path for file in self.files)

    @property
    def writes(self) -> tuple[FileState, ...]:
        """Files that are there afterwards."""
        return tuple(file for file in self.files if file.after is not None)

    @property
    def deletes(self) -> tuple[FileState, ...]:
        """Files that were there and go, moved ones under their old name too."""
        return tuple(file for file in self.files if file.after is None and file.before is not None)

    @property
    def moves(self) -> tuple[tuple[str, str], ...]:
        """(from, to), absolute."""
        return tuple((c.path, c.move_path) for c in self.changes if c.move_path is not None)


class Planner:
    """Files in memory over the files on disk."""

    def __init__(self, read: Read, resolve: Resolve) -> None:
        self._read = read
        self._resolve = resolve
        self._before: dict[str, bytes | None] = {}
        self._after: dict[str, bytes | None] = {}
        self._mode_of: dict[str, str] = {}
        self.changes: list[Change] = []
        self.notes: list[str] = []

    def apply(self, section: Section) -> None:
        """Do one section in memory. Raises PatchRefused."""
        path = self._resolve(section.path)
        match section:
            case AddFile():
                old = self._file(path, section, missing=True)
                text = "".join(line + "\n" for line in section.lines)
                new = text.encode("utf-8", "surrogateescape")
                self._set(path, new)
                self._note(Change(kind="add", path=path, shown=section.path, old=old, new=new))
            case DeleteFile():
                old = self._file(path, section)
                self._set(path, None)
                self._note(Change(kind="delete", path=path, shown=section.path, old=old, new=None))
            case UpdateFile():
                self._update(path, section)

    def _update(self, path: str, section: UpdateFile) -> None:
        old = self._file(path, section)
        assert old is not None
        done = edited(old, section, path)
        self.notes += done.notes
        target = path if section.move_to is None else self._resolve(section.move_to)
        moved = target != path
        if moved:
            self._file(target, section, missing=True)
            self._set(path, None)
            self._mode_of[target] = self._mode_of.pop(path, path)
        self._set(target, done.data)
        self._note(
            Change(
                kind="update",
                path=path,
                shown=section.path,
                old=old,
                new=done.data,
                move_path=target if moved else None,
                move_shown=section.move_to if moved else None,
            )
        )

    def _note(self, change: Change) -> None:
        self.changes.append(change)

    def _set(self, path: str, data: bytes | None) -> None:
        self._after[path] = data
        if data is None:
            self._mode_of.pop(path, None)

    def _file(self, path: str, section: Section, *, missing: bool = False) -> bytes | None:
        """The file as it is now. Raises PatchRefused unless there is one, or may be none."""
        if path in self._after:
            found: Found | None = self._after[path]
        else:
            found = self._look(path, section)
            if isinstance(found, bytes):
                self._before[path] = found
            elif found is Other.MISSING:
                self._before[path] = found = None
        if isinstance(found, Other):
            raise self._refused(section, f"{path} is {found}")
        if found is None and not missing:
            raise self._refused(section, f"there is no file {path}")
        return found

    def _look(self, path: str, section: Section) -> Found:
        try:
            return self._read(path)
        except OSError as error:
            raise self._refused(
                section, f"cannot read {path}: {error.strerror or error}"
            ) from error

    @staticmethod
    def _refused(section: Section, reason: str) -> PatchRefused:
        verb = {AddFile: "add", DeleteFile: "delete", UpdateFile: "update"}[type(section)]
        return PatchRefused(
            f"cannot {verb} {quoted(section.path, 1000)} (line {section.patch_line} of the patch): {reason}",
            path=section.path,
            patch_line=section.patch_line,
        )

    def files(self) -> tuple[FileState, ...]:
        """Every touched path, once."""
        return tuple(
            FileState(
                path=path,
                before=self._before.get(path),
                after=after,
                mode_of=self._mode_of.get(path),
            )
            for path, after in self._after.items()
        )


def plan(patch: Patch, read: Read, *, resolve: Resolve, once: bool = False) -> PatchPlan:
    """What the patch would do. `once`: a second section for one file is refused.

    Raises PatchRefused for a patch that does nothing, or cannot do all it says.
    """
    if not patch.sections:
        raise PatchRefused("the patch is empty: it names no file", hint="Name at least one file.")
    if once:
        check_once(patch, resolve)
    planner = Planner(read, resolve)
    refusals: list[PatchRefused] = []
    for section in patch.sections:
        try:
            planner.apply(section)
        except PatchRefused as refusal:
            refusals.append(refusal)
    if refusals:
        raise together(refusals)
    files = planner.files()
    check_folders(files, read)
    return PatchPlan(changes=tuple(planner.changes), files=files, notes=tuple(planner.notes))


def check_once(patch: Patch, resolve: Resolve) -> None:
    """Refuse two sections for one file, move targets included."""
    seen: dict[str, int] = {}
    for section in patch.sections:
        names = [section.path]
        if isinstance(section, UpdateFile) and section.move_to is not None:
            names.append(section.move_to)
        for path in {resolve(name): name for name in names}:
            if path in seen:
                raise PatchRefused(
                    f"two sections for one file, lines {seen[path]} and {section.patch_line} of "
                    f"the patch: {path}",
                    path=path,
                    patch_line=section.patch_line,
                    hint="Put all chunks for a file into one section.",
                )
            seen[path] = section.patch_line


def check_folders(files: tuple[FileState, ...], read: Read) -> None:
    """Refuse a new file below something that is, or will be, a file."""
    after = {file.path: file.after for file in files}
    for file in files:
        if file.after is None or file.before is not None:
            continue
        for folder in parents(file.path):
            if folder in after:
                blocked = after[folder] is not None
            else:
                try:
                    found = read(folder)
                except OSError:
                    break
                if found is Other.FOLDER:
                    break
                blocked = found is not Other.MISSING
            if blocked:
                raise PatchRefused(
                    f"cannot write {file.path}: {folder} is not a folder", path=file.path
                )


def parents(path: str) -> list[str]:
    """The folders above, nearest first; both kinds of slashes."""
    slashes = (index for index in range(len(path) - 1, 0, -1) if path[index] in "/\\")
    return [path[:at] for at in slashes if not path[:at].endswith((":", "/", "\\"))]


def together(refusals: list[PatchRefused]) -> PatchRefused:
    """Several refusals as one; it points at the first."""
    first = refusals[0]
    if len(refusals) == 1:
        return first
    texts = [str(one) for one in refusals[:MOST_TOLD]]
    if len(refusals) > MOST_TOLD:
        texts.append(f"… and {len(refusals) - MOST_TOLD} more sections fail.")
    return PatchRefused(
        "\n".join(texts),
        path=first.path,
        patch_line=first.patch_line,
        file_line=first.file_line,
        hint=first.hint,
    )
