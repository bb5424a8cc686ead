"""Windows paths as values: which spellings are accepted, and which of two paths lies in the other.

Pure, on every system. Windows finds one file under many spellings (devices, streams, short
names, dropped dots); a rule with such a spelling would protect something else than it says, so
every one of them is refused with its reason. Links are resolved by the caller.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

from octavo.protocol.errors import SandboxUnavailable

LONGEST_NAME: Final = 255
"""UTF-16 units of one name on NTFS."""
LONGEST_PATH: Final = 32_767

RESERVED: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"}
)
"""Names that mean a device in every folder, with any extension."""

PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
"""Most names: nothing to look at but devices."""
SHORT: Final = re.compile(r"[^.\s]{1,6}~[0-9]{1,6}(\.[^.\s]{0,3})?")
CONTROL: Final = re.compile(r"[\x00-\x1f]")
HALF_PAIR: Final = re.compile(r"[\ud800-\udfff]")
DRIVE: Final = re.compile(r"[A-Za-z]:")
FORBIDDEN: Final = frozenset('<>"|?*')
VERBATIM: Final = "\\\\?\\"
VERBATIM_UNC: Final = "\\\\?\\UNC\\"


def canonical(path: str, *, resolved: bool = False) -> str:
    r"""The path with backslashes, an upper-case drive and no `\\?\`; shares keep their `\\`.

    `resolved` says that the system itself gave this path: then `~1` is part of a long name.
    Raises SandboxUnavailable for every spelling that may name something else than it seems.
    """
    plain = path.replace("/", "\\")
    _check_text(path, plain)
    if plain.upper().startswith(VERBATIM_UNC):
        plain = "\\\\" + plain[len(VERBATIM_UNC) :]
    elif plain.startswith(VERBATIM):
        plain = plain[len(VERBATIM) :]
        if not DRIVE.match(plain):
            refuse(path, "it names a device or a volume, not a folder on a drive")
    elif plain.startswith(("\\\\.\\", "\\??\\")) or plain in ("\\\\.", "\\\\?"):
        refuse(path, "it names a device, not a folder on a drive")
    root, names = _split(path, plain)
    for name in names:
        _check_name(path, name, resolved=resolved)
    return root + "\\".join(names)


def _check_text(path: str, plain: str) -> None:
    if not plain:
        refuse(path, "it is empty")
    if CONTROL.search(plain):
        refuse(path, "it has a control character")
    if HALF_PAIR.search(plain):
        refuse(path, "it has half of a surrogate pair, which no rule can name")
    if _units(plain) > LONGEST_PATH:
        refuse(path[:60] + "…", f"it is longer than {LONGEST_PATH:,} characters")


def _split(path: str, plain: str) -> tuple[str, list[str]]:
    """The root (`C:\\` or `\\\\server\\share\\`) and the names below it."""
    if plain.startswith("\\\\"):
        parts = plain[2:].rstrip("\\").split("\\")
        if len(parts) < 2 or not parts[0] or not parts[1]:
            refuse(path, "a network path has a server and a share")
        for part in parts[:2]:
            _check_name(path, part, resolved=True)
        return f"\\\\{parts[0]}\\{parts[1]}\\", parts[2:]
    if not DRIVE.match(plain):
        reason = "it begins at the root of whatever drive is current" if plain[0] == "\\" else ""
        refuse(path, reason or "it is not absolute")
    if plain[2:3] != "\\":
        refuse(path, f"{plain[:2]} without a backslash is relative to the drive's current folder")
    rest = plain[3:].rstrip("\\")
    return plain[0].upper() + ":\\", rest.split("\\") if rest else []


def _check_name(path: str, name: str, *, resolved: bool) -> None:
    if PLAIN.fullmatch(name) and name.upper() not in RESERVED:
        return
    if name in ("", ".", ".."):
        refuse(path, "it is not normal: write it without doubled backslashes, `.` and `..`")
    if ":" in name:
        refuse(path, f"{name!r} names an alternate stream of a file")
    bad = next((char for char in name if char in FORBIDDEN), None)
    if bad is not None:
        refuse(path, f"{name!r} has {bad!r}, which no Windows file name can have")
    if name[-1] in ". ":
        refuse(path, f"{name!r} ends in a dot or a space, which Windows drops")
    if name.split(".")[0].rstrip(" ").upper() in RESERVED:
        refuse(path, f"{name!r} is the name of a device in every folder")
    if _units(name) > LONGEST_NAME:
        refuse(path, f"{name[:20]!r}… is longer than {LONGEST_NAME} characters")
    if not resolved and SHORT.fullmatch(name):
        refuse(path, f"{name!r} looks like a short (8.3) name, which stands for another one")


def refuse(path: str, reason: str, *, what: str = "path", hint: str | None = None) -> NoReturn:
    """Raise the one error for a path that cannot be used: `what`, the path, the reason."""
    advice = hint or "Write the whole path as File Explorer shows it, for example C:\\Users\\me\\x."
    shown = path.encode("utf-8", "backslashreplace").decode()
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown)
    raise SandboxUnavailable(f'{what} "{shown}": {reason}', hint=advice)


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(ord(char) > 0xFFFF for char in text)


# Comparing ---------------------------------------------------------------------------------------


def key(path: str) -> str:
    """What a canonical path is called in our files: `/`, ASCII lower case, no trailing slash."""
    plain = path.removeprefix(VERBATIM).replace("\\", "/")
    plain = "".join(char.lower() if char.isascii() else char for char in plain)
    return plain.rstrip("/") if len(plain) > 3 else plain


def fold(path: str) -> str:
    """For comparing: two canonical paths that a usual Windows volume takes for one are equal.

    One character at a time, as the volume does it; what has no single upper-case form stays.
    """
    if path.isascii():
        return path.upper()
    return "".join(up if len(up := char.upper()) == 1 else char for char in path)


def parent(path: str) -> str:
    """The folder a canonical path lies in; a root lies in itself."""
    if is_root(path):
        return path
    above = path[: path.rindex("\\")]
    return above + "\\" if is_root(above + "\\") else above


def ancestors(path: str) -> Iterator[str]:
    """The folders above a canonical path, nearest first, the root last."""
    while not is_root(path):
        path = parent(path)
        yield path


def is_root(path: str) -> bool:
    """Is this a whole drive or share?"""
    if path.startswith("\\\\"):
        return path.endswith("\\") and path.count("\\") == 4
    return len(path) == 3 and path.endswith(":\\")


def is_network(path: str) -> bool:
    """Does a canonical path lie on a share?"""
    return path.startswith("\\\\")


def contains(folder: str, path: str) -> bool:
    """Is the path the folder, or does it lie below? By whole names, upper and lower case alike."""
    above, below = fold(folder), fold(path)
    return below == above or below.startswith(above if above.endswith("\\") else above + "\\")


def overlaps(one: str, other: str) -> bool:
    """Does one contain the other?"""
    return contains(one, other) or contains(other, one)


def depth(path: str) -> int:
    """How many names lie below the root."""
    return 0 if is_root(path) else path.count("\\") - (3 if is_network(path) else 0)


def most_specific(folders: Iterable[str], path: str) -> str | None:
    """The deepest of the folders that contains the path."""
    return max((each for each in folders if contains(each, path)), key=depth, default=None)


def join(folder: str, name: str) -> str:
    """A name (or names) below a canonical folder."""
    return folder + name if folder.endswith("\\") else f"{folder}\\{name}"
