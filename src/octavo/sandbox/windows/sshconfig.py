"""Which files an SSH configuration depends on.

Pure: files are read and patterns are listed through what the caller passes in. An access entry of
ours on such a file makes Windows' OpenSSH call it too open, so they must not get any.
"""

import fnmatch
import re
from collections.abc import Callable
from typing import Final

from octavo.sandbox.windows.paths import fold, parent

PATHS: Final = frozenset(
    {
        "identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile",
        "revokedhostkeys", "controlpath", "identityagent", "pkcs11provider",
        "securitykeyprovider", "xauthlocation",
    }
)  # fmt: skip
COMMANDS: Final = frozenset({"proxycommand", "localcommand", "knownhostscommand"})
"""Their words may be paths."""
DEEPEST: Final = 32
MOST_FILES: Final = 1000
META: Final = re.compile(r"[*?\[]")

Read = Callable[[str], str | None]
"""The text of a file, None when it cannot be read."""
Names = Callable[[str], list[str]]
"""The names in a folder; none when it cannot be listed."""


def dependencies(profile: str, read: Read, names: Names) -> tuple[str, ...]:
    """The paths `~/.ssh/config` and what it includes depend on, those files among them."""
    scan = _Scan(profile.rstrip("\\"), read, names)
    scan.file(f"{scan.home}\\.ssh\\config", 0)
    return tuple(scan.found)


class _Scan:
    def __init__(self, home: str, read: Read, names: Names) -> None:
        self.home = home
        self._read, self._names = read, names
        self._seen: set[str] = set()
        self.found: dict[str, None] = {}

    def file(self, path: str, depth: int) -> None:
        if depth > DEEPEST or fold(path) in self._seen or len(self._seen) > MOST_FILES:
            return
        self._seen.add(fold(path))
        text = self._read(path)
        if text is None:
            return
        self.found[path] = None
        for line in text.replace("\r", "\n").split("\n"):
            key, values = directive(line)
            if key == "include":
                for value in values:
                    self._include(value, depth)
            elif key in PATHS or key in COMMANDS:
                self._paths(values)

    def _paths(self, values: list[str]) -> None:
        for value in values:
            path = expand(value, self.home)
            if path is not None:
                self.found[_literal(path)] = None

    def _include(self, value: str, depth: int) -> None:
        if value.lower() == "none" or not value:
            return
        path = expand(value, self.home) or f"{self.home}\\.ssh\\" + value.replace("/", "\\")
        if not META.search(path):
            self.found[path] = None
            self.file(path, depth + 1)
            return
        matches = self._glob(path)
        if not matches:
            # a file may appear there later
            self.found[_literal(path)] = None
        for match in matches:
            self.file(match, depth + 1)

    def _glob(self, pattern: str) -> list[str]:
        found = [""]
        for part in pattern.split("\\"):
            if not META.search(part):
                found = [f"{each}\\{part}" if each or part == "" else part for each in found]
                continue
            found = [
                f"{each}\\{name}"
                for each in found
                for name in sorted(self._names(each))
                if fnmatch.fnmatchcase(name.lower(), part.lower())
            ]
        return found[:MOST_FILES]


def _literal(path: str) -> str:
    """A path with a pattern in it stands for the folder above its first one."""
    match = META.search(path)
    return path if match is None else parent(path[: match.start()] + "x")


def expand(value: str, home: str) -> str | None:
    """An absolute path for a value with `~`, `%d` or `${HOME}`; None for all that is no path."""
    if not value or value.lower() == "none":
        return None
    text = value.replace("/", "\\")
    if text == "~" or text.startswith("~\\"):
        text = home + text[1:]
    text = text.replace("${HOME}", home).replace("%d", home)
    if "%" in text:
        # %h and its kin: the folder before it is all that can be said
        text = text[: text.index("%")].rpartition("\\")[0]
    if not re.match(r"[A-Za-z]:\\.", text) or ":" in text[2:]:
        return None
    return re.sub(r"\\+", r"\\", text).rstrip("\\")


def directive(line: str) -> tuple[str, list[str]]:
    """The key of a line, lower case, and its values; ("", []) for comments and nonsense."""
    match = re.match(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)", line)
    return ("", []) if match is None else (match[1].lower(), words(match[2]))


def words(text: str) -> list[str]:
    """Values: separated by blanks, double quotes keep them together, `#` outside ends the line.

    A backslash escapes a quote or a backslash, inside quotes only; elsewhere it is part of a path.
    """
    found: list[str] = []
    word: list[str] | None = None
    quoted = False
    at = 0
    while at < len(text):
        char = text[at]
        if quoted and char == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            word = [*(word or []), text[at + 1]]
            at += 1
        elif char == '"':
            quoted, word = not quoted, word or []
        elif not quoted and char == "#":
            break
        elif not quoted and char.isspace():
            if word is not None:
                found.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(char)
        at += 1
    if word is not None:
        found.append("".join(word))
    return found
