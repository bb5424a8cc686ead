"""What a project and its user ask of the agent in writing: AGENTS.md, from the root down to `cwd`.

`assembled` decides, from texts; `project_instructions` reads the files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.config.look import read_regular
from octavo.config.schema import Settings
from octavo.config.trust import folders_between, project_root
from octavo.policy.paths import printable

OVERRIDE: Final = "AGENTS.override.md"
USUAL: Final = "AGENTS.md"
STEP: Final = "--- project-doc ---"
"""The line between the user's own text and the project's."""
USER_AT_MOST: Final = 1024 * 1024


class Document(Struct, frozen=True, kw_only=True):
    """One file of instructions."""

    path: str
    data: bytes


class Instructions(Struct, frozen=True, kw_only=True):
    """What was found, ready for the model."""

    user: str = ""
    project: tuple[str, ...] = ()
    """One text per file, from the project's root down."""
    sources: tuple[str, ...] = ()
    """The files that were used, the user's first."""
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it, with blank lines between the parts; empty when there is nothing."""
        project = "\n\n".join(self.project)
        return f"\n\n{STEP}\n\n".join(part for part in (self.user, project) if part)


def assembled(
    user: Document | None, project: Iterable[Document], *, max_bytes: int
) -> Instructions:
    """The texts within the budget: the file that crosses it is cut, later ones are dropped.

    Blank files do not count. The user's own file has no budget.
    """
    sources: list[str] = []
    warnings: list[str] = []
    own = "" if user is None else _text(user.data)
    if user is not None and own:
        sources.append(user.path)
    texts: list[str] = []
    left = max_bytes
    for document in project:
        if not document.data.strip():
            continue
        if left <= 0:
            warnings += [] if max_bytes == 0 else [_dropped(document, max_bytes)]
            continue
        if len(document.data) > left:
            warnings.append(
                f"{printable(document.path)}: cut, because project_doc_max_bytes is {max_bytes}"
            )
        text = _text(document.data[:left])
        left -= len(document.data)
        if text:
            texts.append(text)
            sources.append(document.path)
    return Instructions(
        user=own, project=tuple(texts), sources=tuple(sources), warnings=tuple(warnings)
    )


def project_instructions(cwd: str, home: str, settings: Settings) -> Instructions:
    """Read the instructions for work in `cwd`. A file that cannot be read becomes a warning."""
    warnings: list[str] = []
    user = _first(home, (OVERRIDE, USUAL), USER_AT_MOST, warnings)
    names = (OVERRIDE, USUAL, *settings.project_doc_fallback_filenames)
    budget = settings.project_doc_max_bytes
    here = str(Path(cwd).resolve())
    root = project_root(here, settings.project_root_markers)
    folders = folders_between(root, here) if budget else ()
    found = (_first(folder, names, budget + 1, warnings) for folder in folders)
    result = assembled(user, [doc for doc in found if doc is not None], max_bytes=budget)
    return replace(result, warnings=(*warnings, *result.warnings))


def _first(folder: str, names: Sequence[str], at_most: int, warnings: list[str]) -> Document | None:
    """The first of these files that is there."""
    for name in names:
        path = Path(folder, name)
        if not name or not path.is_file():
            continue
        try:
            return Document(path=str(path), data=read_regular(str(path), at_most))
        except OSError as wrong:
            reason = wrong.strerror or str(wrong)
            warnings.append(f"{printable(str(path))}: cannot be read: {reason}")
    return None


def _text(data: bytes) -> str:
    """As text without the blank ends. What is not UTF-8, or was cut in two, is left out."""
    return data.decode("utf-8-sig", errors="ignore").strip()


def _dropped(document: Document, max_bytes: int) -> str:
    path = printable(document.path)
    return f"{path}: left out, because project_doc_max_bytes is {max_bytes}"
