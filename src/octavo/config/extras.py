"""Where hooks and skills may be, and whether any are: a few looks at the disk, nothing read.

Where there are none, nothing else of them is ever loaded; so this module imports next to nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octavo.config.stack import PROJECT_FOLDERS
from octavo.config.trust import folders_between

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.config.settings import Loaded

FILE: Final = "hooks.json"
SKILLS: Final = "skills"
SHARED: Final = ".agents"
"""The folder that several programs look into."""
BUNDLED: Final = ".system"
STATE: Final = "state"
"""The table of trust, beside the events."""


def hook_files(loaded: "Loaded") -> Iterator[tuple[str, str]]:
    """(kind of layer, path) of every `hooks.json` that is there, the weakest first.

    Those of a project that is not trusted are named, too, with the kind `untrusted`.
    """
    for folder in loaded.system:
        yield from _there("system", f"{folder}/{FILE}")
    yield from _there("user", str(Path(loaded.home, FILE)))
    project = "project" if loaded.trust.level == "trusted" else "untrusted"
    own = os.path.realpath(loaded.home)
    for folder in folders_between(loaded.project_root, loaded.cwd):
        for name in PROJECT_FOLDERS:
            if os.path.realpath(f"{folder}/{name}") != own:
                yield from _there(project, f"{folder}/{name}/{FILE}")


def any_hooks(loaded: "Loaded") -> bool:
    """Does anything here speak of hooks?"""
    if any(cap.requirements.hooks for cap in loaded.caps):
        return True
    for placed in loaded.stack.placed:
        table = placed.layer.table.get("hooks")
        if table and (not isinstance(table, dict) or any(key != STATE for key in table)):
            return True
    return any(True for _ in hook_files(loaded))


def skill_roots(loaded: "Loaded", environ: "Mapping[str, str]") -> list[tuple[str, str]]:
    """(`repo`, `user`, `system` or `admin`; folder) of every place with skills, nearest first."""
    places: list[tuple[str, str]] = []
    trusted = loaded.trust.level == "trusted"
    for folder in reversed(folders_between(loaded.project_root, loaded.cwd)):
        places.append(("repo", f"{folder}/{SHARED}/{SKILLS}"))
        if trusted:
            places += [("repo", f"{folder}/{name}/{SKILLS}") for name in PROJECT_FOLDERS]
    if environ.get("HOME"):
        places.append(("user", f"{environ['HOME']}/{SHARED}/{SKILLS}"))
    places.append(("user", f"{loaded.home}/{SKILLS}"))
    if bundled(loaded.settings.skills):
        places.append(("system", f"{loaded.home}/{SKILLS}/{BUNDLED}"))
    places += [("admin", f"{folder}/{SKILLS}") for folder in loaded.system]
    return [(kind, path) for kind, path in places if Path(path).is_dir()]


def bundled(skills: "Mapping[str, object]") -> bool:
    """`skills.bundled.enabled`."""
    table = skills.get("bundled")
    return not isinstance(table, dict) or table.get("enabled") is not False


def _there(kind: str, path: str) -> Iterator[tuple[str, str]]:
    if os.path.lexists(path):
        yield kind, path
