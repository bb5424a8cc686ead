"""The skills of a folder: where they are, what they are called, which are switched on.

A folder with a `SKILL.md` is a skill. One that is wrong is a warning; the others are there.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from octavo.config.check import typed
from octavo.config.extras import skill_roots
from octavo.config.front_matter import FrontMatterError, keys_of, split
from octavo.config.look import read_regular
from octavo.config.settings import Loaded
from octavo.policy.paths import printable
from octavo.policy.reader import Origin, Reader
from octavo.protocol.errors import ConfigError

FILE: Final = "SKILL.md"
MORE: Final = "agents/openai.yaml"
DEEPEST: Final = 6
MOST_FOLDERS: Final = 2_000
MOST_ENTRIES: Final = 20_000
LONGEST_NAME: Final = 64
LONGEST_DESCRIPTION: Final = 1_024
LARGEST: Final = 1024 * 1024
FOLLOWED: Final = ("repo", "user")
"""In these roots links to folders are followed."""

Scope = Literal["repo", "user", "system", "admin"]
SCOPES: Final[Mapping[str, Scope]] = {
    "repo": "repo", "user": "user", "system": "system", "admin": "admin",
}  # fmt: skip


class Skill(Struct, frozen=True, kw_only=True):
    """One skill."""

    name: str
    description: str
    path: str
    """Its `SKILL.md`."""
    root: str
    """The folder with skills it was found in."""
    scope: Scope
    short: str | None = None
    """A shorter description, for people."""
    implicit: bool = True
    """The model may use it unasked; False: only when somebody names it."""
    enabled: bool = True


class Skills(Struct, frozen=True, kw_only=True):
    """All skills of a folder, the nearest first."""

    found: tuple[Skill, ...] = ()
    warnings: tuple[str, ...] = ()


class _Choice(Struct, frozen=True, kw_only=True):
    enabled: bool
    path: str | None = None
    name: str | None = None


class _Table(Struct, frozen=True, kw_only=True):
    config: tuple[_Choice, ...] = ()


class _Root(NamedTuple):
    scope: Scope
    path: str


def load_skills(loaded: Loaded, environ: Mapping[str, str]) -> Skills:
    """The skills for work in a folder. Raises ConfigError for settings that are wrong."""
    choices = _choices(loaded)
    warnings: list[str] = []
    found: list[Skill] = []
    known: set[str] = set()
    for kind, folder in skill_roots(loaded, environ):
        root = _Root(SCOPES[kind], folder)
        for path in sorted(_files(root, warnings)):
            real = os.path.realpath(path)
            if real in known:
                continue
            known.add(real)
            skill = _skill(root, path, warnings)
            if skill is not None:
                found.append(_chosen(skill, real, choices))
    return Skills(found=tuple(found), warnings=tuple(warnings))


def body(path: str) -> str:
    """What a skill says, without its head. Raises ConfigError when it cannot be read."""
    try:
        return split(_text(path))[1]
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or str(wrong)
        raise ConfigError(f"cannot be read: {reason}", file=printable(path)) from wrong


# ---- looking ----------------------------------------------------------------------------------


def _files(root: _Root, warnings: list[str]) -> Iterator[str]:
    """Every `SKILL.md` below a root, within the limits."""
    level = [root.path]
    seen = {os.path.realpath(root.path)}
    entries = 0
    for _ in range(DEEPEST + 1):
        below: list[str] = []
        for folder in level:
            for entry in _entries(folder, warnings):
                entries += 1
                if entries > MOST_ENTRIES or len(seen) > MOST_FOLDERS:
                    warnings.append(
                        f"{printable(root.path)}: too much to look through; some skills are missing"
                    )
                    return
                if entry.name == FILE:
                    yield entry.path
                elif _descends(entry, root, seen):
                    below.append(entry.path)
        level = below


def _entries(folder: str, warnings: list[str]) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            yield from sorted(found, key=lambda entry: entry.name)
    except OSError as wrong:
        warnings.append(f"{printable(folder)}: cannot be read: {wrong.strerror or wrong}")


def _descends(entry: "os.DirEntry[str]", root: _Root, seen: set[str]) -> bool:
    follow = root.scope in FOLLOWED
    try:
        if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=follow):
            return False
    except OSError:
        return False
    real = os.path.realpath(entry.path)
    if real in seen:
        return False
    seen.add(real)
    return True


# ---- reading ----------------------------------------------------------------------------------


def _skill(root: _Root, path: str, warnings: list[str]) -> Skill | None:
    folder = Path(path).parent
    try:
        keys, _ = split(_text(path))
        more = _more(folder)
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or str(wrong)
        warnings.append(f"{printable(path)}: this skill is left out: {printable(reason)}")
        return None
    name = _one_line(keys.get("name", "")) or folder.name
    description = _one_line(keys.get("description", ""))
    problem = _problem(name, description)
    if problem is not None:
        warnings.append(f"{printable(path)}: this skill is left out: {problem}")
        return None
    short = keys.get("metadata.short-description") or more.get("interface.short_description")
    return Skill(
        name=name,
        description=description,
        path=path,
        root=root.path,
        scope=root.scope,
        short=_one_line(short) if short else None,
        implicit=more.get("policy.allow_implicit_invocation", "true").lower() != "false",
    )


def _problem(name: str, description: str) -> str | None:
    if len(name) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} letters"
    if not description:
        return "it has no description"
    if len(description) > LONGEST_DESCRIPTION:
        return f"its description is longer than {LONGEST_DESCRIPTION} letters"
    return None


def _more(folder: Path) -> dict[str, str]:
    path = folder / MORE
    return keys_of(_text(str(path)).splitlines()) if path.is_file() else {}


def _text(path: str) -> str:
    data = read_regular(path, LARGEST + 1)
    if len(data) > LARGEST:
        raise FrontMatterError(f"it is larger than {LARGEST // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise FrontMatterError("it is not UTF-8 text") from wrong


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ---- switched on or off -----------------------------------------------------------------------


def _choices(loaded: Loaded) -> list[_Choice]:
    """`skills.config`, in order: the last one that fits counts. Paths are absolute afterwards."""
    if not loaded.settings.skills.get("config"):
        return []
    reader = Reader(lambda keys: _origin(loaded, keys), prefix=("skills",))
    choices: list[_Choice] = []
    written = typed({"config": loaded.settings.skills["config"]}, _Table, reader).config
    for number, one in enumerate(written):
        keys = ("config", str(number))
        if (one.path is None) == (one.name is None):
            raise reader.problem(keys, "expected either `path` or `name`")
        path = one.path and _absolute(one.path, _origin(loaded, ("skills", *keys)), loaded.cwd)
        choices.append(replace(one, path=path))
    return choices


def _absolute(path: str, origin: Origin, cwd: str) -> str:
    """A relative path is seen from the folder of its file."""
    in_file = origin.file is not None and origin.source == "config"
    base = Path(origin.file).parent if in_file and origin.file else Path(cwd)
    return os.path.realpath(base / Path(path).expanduser())


def _origin(loaded: Loaded, keys: tuple[str, ...]) -> Origin:
    rank = loaded.stack.merged.rank(keys)
    return Origin() if rank < 0 else loaded.stack.placed[rank].layer.origin(keys)


def _chosen(skill: Skill, real: str, choices: list[_Choice]) -> Skill:
    enabled = True
    for choice in choices:
        if choice.name == skill.name or choice.path in (real, str(Path(real).parent)):
            enabled = choice.enabled
    return skill if enabled else replace(skill, enabled=False)
