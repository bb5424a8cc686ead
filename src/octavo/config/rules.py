"""The rule files of a folder: found, read, and one line added to one of them.

`*.rules` in the `rules` folder of each place for settings: system, the user's home, a project that
is trusted. A file that is wrong is named with its line, and spoils none of the others.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octavo.config.look import read_regular
from octavo.config.stack import PROJECT_FOLDERS
from octavo.config.trust import folders_between
from octavo.policy.paths import printable
from octavo.policy.rules import RuleSet, merged, written
from octavo.protocol.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from octavo.config.settings import Loaded

FOLDER: Final = "rules"
SUFFIX: Final = ".rules"
AMENDED: Final = "default.rules"
"""In the home's folder: where "always" is written down."""
MOST_FILES: Final = 200
AT_MOST: Final = 1024 * 1024 + 1
"""One byte more than a rule file may have."""


def rule_files(loaded: "Loaded") -> tuple[str, ...]:
    """Every rule file for a folder, the weakest layer first; by name inside a layer."""
    folders = [f"{folder}/{FOLDER}" for folder in loaded.system]
    folders.append(f"{loaded.home}/{FOLDER}")
    if loaded.trust.level == "trusted":
        own = os.path.realpath(loaded.home)
        for folder in folders_between(loaded.project_root, loaded.cwd):
            folders += [
                f"{folder}/{name}/{FOLDER}"
                for name in PROJECT_FOLDERS
                if os.path.realpath(f"{folder}/{name}") != own
            ]
    return tuple(path for folder in folders for path in _in(folder))


def load_rules(files: Sequence[str]) -> RuleSet:
    """The rules of these files, the weakest first. Never raises: what is wrong is in `broken`."""
    from octavo.policy.rule_file import read_rules  # noqa: PLC0415 - few folders have rules

    sets: list[RuleSet] = []
    for number, path in enumerate(files):
        if number == MOST_FILES:
            sets.append(RuleSet(broken=(f"{printable(path)}: too many rule files",)))
            break
        try:
            sets.append(read_rules(_read(path), path))
        except ConfigError as wrong:
            sets.append(RuleSet(broken=(str(wrong),)))
    return merged(sets)


def read_file(path: str) -> RuleSet:
    """The rules of one file. Raises ConfigError, UsageError when there is no such file."""
    from octavo.policy.rule_file import read_rules  # noqa: PLC0415 - few folders have rules

    if not os.path.lexists(path):
        raise UsageError(f"there is no file {printable(path)}")
    return read_rules(_read(path), path)


def allow_prefix(home: str, words: Sequence[str]) -> str | None:
    """Add the rule that allows commands with these first words to the user's own rules.

    Nothing is written when the file has that line already. Returns the path, None when it was
    there. Blocks, up to some seconds when another process writes. Raises ConfigError.
    """
    try:
        line = written(words)
    except ValueError as wrong:
        path = f"{home}/{FOLDER}/{AMENDED}"
        raise ConfigError("these words cannot be written down as a rule", file=path) from wrong
    return add_rule(home, line)


def add_rule(home: str, line: str) -> str | None:
    """Add one line to the user's own rules, as `allow_prefix` does."""
    from octavo.config.replacing import locked  # noqa: PLC0415 - few answers make rules

    path = f"{home}/{FOLDER}/{AMENDED}"
    try:
        Path(home, FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        target = os.path.realpath(path)  # a link stays a link
        with locked(Path(target)):
            return path if _append(target, line) else None
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be written: {reason}", file=printable(path)) from wrong


def _append(path: str, line: str) -> bool:
    """The file with one line more, in place of the old one, or no change at all."""
    from octavo.config.replacing import replace_file  # noqa: PLC0415 - few answers make rules

    try:
        before = read_regular(path, AT_MOST)
    except FileNotFoundError:
        before = b""
    added = line.encode()
    if added in (row.strip() for row in before.split(b"\n")):
        return False
    if len(before) + len(added) + 2 >= AT_MOST:
        raise OSError("the file is full")
    gap = b"" if not before or before.endswith(b"\n") else b"\n"
    replace_file(Path(path), before + gap + added + b"\n")
    return True


def _in(folder: str) -> list[str]:
    """The rule files of a folder by name. One that cannot be looked into is itself named, so that
    reading it fails and says so."""
    try:
        names = sorted(path.name for path in Path(folder).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        return [folder]
    return [f"{folder}/{name}" for name in names if name.endswith(SUFFIX)]


def _read(path: str) -> bytes:
    """Raises ConfigError."""
    try:
        return read_regular(path, AT_MOST)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be read: {reason}", file=printable(path)) from wrong
