"""Prompts a person keeps in files: `HOME/prompts/NAME.md`, used as `/prompts:NAME words`.

`expand` is pure; `expanded` reads the file. In a prompt, `$1` to `$9` are the words, `$ARGUMENTS`
all of them, `$NAME` what `NAME=value` says, `$$` a dollar.
"""

import re
import shlex
from pathlib import Path
from typing import Final

from msgspec import Struct

from octavo.config.front_matter import FrontMatterError, split
from octavo.config.look import read_regular
from octavo.policy.paths import printable
from octavo.policy.words import quoted, suggestion
from octavo.protocol.errors import ConfigError, UsageError

FOLDER: Final = "prompts"
ENDING: Final = ".md"
CALL: Final = "/prompts:"
LARGEST: Final = 1024 * 1024
HOLES: Final = re.compile(r"\$(?:\$|([1-9])(?![0-9])|(ARGUMENTS)\b|([A-Z][A-Z0-9_]*)\b)")
NAMED: Final = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)


class Prompt(Struct, frozen=True, kw_only=True):
    """One prompt in a file."""

    name: str
    path: str
    body: str
    description: str = ""
    hint: str = ""
    """What words it takes, for people."""


class Prompts(Struct, frozen=True, kw_only=True):
    """All prompts of a home, by name."""

    found: tuple[Prompt, ...] = ()
    warnings: tuple[str, ...] = ()


def load_prompts(home: str) -> Prompts:
    """Every prompt; a file that cannot be read is a warning."""
    found: list[Prompt] = []
    warnings: list[str] = []
    folder = Path(home, FOLDER)
    for path in sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else ():
        try:
            found.append(_read(path))
        except ConfigError as wrong:
            warnings.append(str(wrong))
    return Prompts(found=tuple(found), warnings=tuple(warnings))


def expanded(text: str, home: str) -> str:
    """The text, or the prompt it calls. Raises UsageError for one that is not there.

    What follows after a blank line is no word for the prompt: it stays below it.
    """
    if not text.startswith(CALL):
        return text
    called, gap, rest = text.removeprefix(CALL).partition("\n\n")
    name = called.split(maxsplit=1)[0] if called.strip() and not called[0].isspace() else ""
    path = Path(home, FOLDER, f"{name}{ENDING}")
    if not name or "/" in name or "\0" in name or name.startswith(".") or not path.is_file():
        known = [one.name for one in load_prompts(home).found]
        raise UsageError(
            f"there is no prompt {quoted(name)}{suggestion(name, known)}",
            hint=f"prompts are files in {printable(str(path.parent))}; see `octavo prompts list`",
        )
    return expand(_read(path), called[len(name) :]) + gap + rest


def expand(prompt: Prompt, arguments: str) -> str:
    """The prompt with its words put in. Raises UsageError for words it cannot use."""
    holes = list(HOLES.finditer(prompt.body))
    wanted = {hole[3] for hole in holes if hole[3]}
    words, named = _words(prompt, arguments, wanted)
    missing = sorted(wanted - named.keys())
    if missing:
        raise UsageError(
            f"{CALL}{prompt.name} needs {', '.join(missing)}",
            hint=f"write {' '.join(f'{name}=value' for name in missing)}",
        )
    if words and not any(hole[1] or hole[2] for hole in holes):
        raise UsageError(
            f"{CALL}{prompt.name} takes no words, and got {quoted(words[0])}",
            hint="$1 or $ARGUMENTS in the file would take them",
        )

    def filled(hole: re.Match[str]) -> str:
        if hole[1]:
            number = int(hole[1]) - 1
            return words[number] if number < len(words) else ""
        if hole[2]:
            return " ".join(words)
        return named[hole[3]] if hole[3] else "$"

    return HOLES.sub(filled, prompt.body)


def _words(prompt: Prompt, arguments: str, wanted: set[str]) -> tuple[list[str], dict[str, str]]:
    """Words in their order, and those with a name the prompt knows."""
    try:
        given = shlex.split(arguments)
    except ValueError as wrong:
        raise UsageError(f"{CALL}{prompt.name}: a quote is not closed") from wrong
    words: list[str] = []
    named: dict[str, str] = {}
    for word in given:
        match = NAMED.fullmatch(word)
        if match is not None and match[1] in wanted:
            named[match[1]] = match[2]
        else:
            words.append(word)
    return words, named


def _read(path: Path) -> Prompt:
    shown = printable(str(path))
    try:
        data = read_regular(str(path), LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigError(f"is larger than {LARGEST // 1024} KiB", file=shown)
        keys, body = split(data.decode("utf-8-sig"))
    except (OSError, FrontMatterError, UnicodeDecodeError) as wrong:
        reason = "it is not UTF-8 text" if isinstance(wrong, UnicodeDecodeError) else str(wrong)
        reason = getattr(wrong, "strerror", None) or reason
        raise ConfigError(f"this prompt cannot be used: {reason}", file=shown) from wrong
    return Prompt(
        name=path.name.removesuffix(ENDING),
        path=str(path),
        body=body.strip("\n"),
        description=" ".join(keys.get("description", "").split()),
        hint=" ".join(keys.get("argument-hint", "").split()),
    )
