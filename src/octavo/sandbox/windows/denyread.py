"""Hidden paths of the elevated backend: patterns expanded now, and the file that remembers them.

Pure: folders are listed through what the caller passes in. A pattern names what exists when it is
expanded; a file that appears later is hidden from the next command on.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from octavo.policy import globs
from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.windows.paths import canonical, fold, is_root, join
from octavo.sandbox.windows.sids import is_sid

MOST_MATCHES: Final = 10_000
MOST_ENTRIES: Final = 500_000


class Found(NamedTuple):
    """An entry of a folder."""

    name: str
    folder: bool
    link: bool = False
    """A symlink, a junction or another reparse point: never followed."""


Listing = Callable[[str], Iterable[Found]]


class Pattern(NamedTuple):
    """A pattern, ready to look for."""

    text: str
    base: str
    """Where to look."""
    depth: int | None
    """How many names below that at most; None: any number."""
    glob: globs.Glob


def compiled(pattern: str, max_depth: int | None = None) -> Pattern:
    """A pattern such as `C:\\src\\**\\*.env`. Upper and lower case count alike.

    Raises SandboxUnavailable for a bad pattern, and for `**` through a whole drive without limit.
    """
    plain = pattern.replace("/", "\\")
    names = plain.split("\\")
    literal = next((at for at, name in enumerate(names) if globs.is_glob(name)), len(names))
    base = canonical("\\".join(names[:literal]) + ("\\" if literal < 2 else ""))
    rest = names[literal:]
    try:
        slashed = "/".join(["", *_steps(fold(base)), *(fold(name) for name in rest)])
        if globs.has_braces(slashed):
            raise ValueError("{a,b} has no meaning here: write two patterns")
        glob = globs.compiled(slashed)
    except ValueError as error:
        raise SandboxUnavailable(
            f'pattern "{pattern}": {error}; the command did not run', hint="Correct the pattern."
        ) from error
    depth = max_depth if "**" in rest else len(rest)
    if depth is None and is_root(base):
        raise SandboxUnavailable(
            f'pattern "{pattern}" looks through all of {base}; the command did not run',
            hint="Begin it with a folder, or set glob_scan_max_depth.",
        )
    return Pattern(pattern, base, depth, glob)


def _steps(path: str) -> list[str]:
    return [part for part in path.split("\\") if part]


def expand(patterns: Iterable[Pattern], listing: Listing) -> Iterator[tuple[str, str]]:
    """(path, pattern) for everything the patterns name now; nothing below a match, which is
    hidden as a whole. Links are matched, not followed. Raises SandboxUnavailable for too many."""
    for pattern in patterns:
        yield from _expand(pattern, listing)


def _expand(pattern: Pattern, listing: Listing) -> Iterator[tuple[str, str]]:
    todo, entries, matches = [(pattern.base, 1)], 0, 0
    while todo:
        folder, depth = todo.pop()
        for entry in listing(folder):
            entries += 1
            path = join(folder, entry.name)
            if pattern.glob.matches("/" + "/".join(_steps(fold(path)))):
                matches += 1
                yield path, pattern.text
            elif entry.folder and not entry.link and depth != pattern.depth:
                todo.append((path, depth + 1))
            if entries > MOST_ENTRIES or matches > MOST_MATCHES:
                raise SandboxUnavailable(
                    f'pattern "{pattern.text}": more than {MOST_MATCHES:,} matches or '
                    f"{MOST_ENTRIES:,} entries to look at; the command did not run",
                    hint="Narrow the pattern, or set glob_scan_max_depth.",
                )


# The state file ----------------------------------------------------------------------------------


def encode_state(hidden: dict[str, tuple[str, ...]]) -> bytes:
    """Hidden paths by SID, as the file has them; SIDs without paths are left out."""
    kept = {sid: sorted(paths) for sid, paths in sorted(hidden.items()) if paths}
    return (json.dumps({"principals": kept}, ensure_ascii=False, indent=2) + "\n").encode()


def decode_state(data: bytes, file: str) -> dict[str, tuple[str, ...]]:
    """Hidden paths by SID. Raises ConfigError naming the file and what is wrong with it."""
    try:
        whole = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError("not JSON in UTF-8", file=file, hint=_HINT) from error
    table = whole.get("principals") if isinstance(whole, dict) else None
    if not isinstance(table, dict):
        raise ConfigError("principals has to be an object", file=file, key="principals", hint=_HINT)
    for sid, paths in table.items():
        good = isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        if not is_sid(sid) or not good:
            raise ConfigError(
                f"{sid!r} has to be a SID with a list of paths", file=file, key=sid, hint=_HINT
            )
    return {sid: tuple(paths) for sid, paths in table.items()}


_HINT: Final = "Until it is repaired nothing is taken back; `octavo sandbox windows undo` helps."


def check_state_file(file: str, *, reparse_point: bool, links: int) -> None:
    """Refuse a state file that may be another file. Raises ConfigError."""
    if reparse_point:
        raise ConfigError("it is a link to another file", file=file, hint="Remove the link.")
    if links != 1:
        raise ConfigError(f"it has {links} names", file=file, hint="Remove the other names.")
