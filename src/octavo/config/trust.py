"""Which folders may bring their own settings: where a project begins, and whether it is trusted.

A project is trusted when the user's own settings say so for its folder, or for the repository
around it. A linked worktree counts as its main one, if that one knows the worktree.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from octavo.config.look import read_regular
from octavo.config.schema import TrustLevel

POINTER: Final = "gitdir: "
AT_MOST: Final = 4096
LEVELS: Final[Mapping[object, TrustLevel]] = {"trusted": "trusted", "untrusted": "untrusted"}


class Trust(Struct, frozen=True, kw_only=True):
    """What was decided about a project."""

    level: TrustLevel | None
    """None: nobody has decided."""
    path: str
    """The folder the decision is about; where none was made, the one to write it for."""


def project_root(cwd: str, markers: Sequence[str]) -> str:
    """The nearest folder, from `cwd` upwards, that holds one of the markers; else `cwd`."""
    for folder in (Path(cwd), *Path(cwd).parents):
        if any(marker and os.path.lexists(folder / marker) for marker in markers):
            return str(folder)
    return cwd


def folders_between(root: str, cwd: str) -> tuple[str, ...]:
    """`root` and each folder below it on the way to `cwd`, in this order."""
    here = Path(cwd)
    on_the_way = [folder for folder in (here, *here.parents) if folder.is_relative_to(root)]
    return tuple(str(folder) for folder in reversed(on_the_way))


def trust_of(cwd: str, projects: object) -> Trust:
    """What the `[projects]` table of the user's own settings says about a folder."""
    table = projects if isinstance(projects, Mapping) else {}
    root = main_worktree(project_root(cwd, (".git",)))
    for folder in dict.fromkeys((cwd, str(Path(cwd).resolve()), root, str(Path(root).resolve()))):
        entry = table.get(folder)
        if isinstance(entry, Mapping) and entry.get("trust_level") in LEVELS:
            return Trust(level=LEVELS[entry["trust_level"]], path=folder)
    return Trust(level=None, path=root)


def main_worktree(root: str) -> str:
    """The main worktree of a linked one; any other folder as it is.

    A folder cannot claim by itself to belong to a repository: the repository has to list it,
    otherwise a downloaded folder could point at one that is trusted.
    """
    pointer = _line(Path(root) / ".git")
    if not pointer.startswith(POINTER):
        return root
    own = Path(root, pointer.removeprefix(POINTER)).resolve()  # MAIN/.git/worktrees/NAME
    common = own.parent.parent
    if own.parent.name != "worktrees" or common.name != ".git":
        return root
    listed = Path(own, _line(own / "gitdir") or ".")
    return str(common.parent) if listed.resolve() == Path(root, ".git").resolve() else root


def _line(path: Path) -> str:
    """The first line of a small regular file; empty when there is none."""
    try:
        text = read_regular(str(path), AT_MOST).decode(errors="surrogateescape")
        return text.partition("\n")[0].strip()
    except (OSError, ValueError):
        return ""
