"""Special roots and `~` into the folders they stand for."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from octavo.policy import globs
from octavo.policy.paths import WINDOWS, inward, join, normalise, printable
from octavo.policy.places import Places
from octavo.protocol.errors import PolicyError
from octavo.protocol.permissions import FileRule

SLASH_TMP: Final = "/tmp"  # noqa: S108 -- the name a profile speaks of, not a place we write to
VAR_TMP: Final = "/var/tmp"  # noqa: S108 -- the same


def expanded(
    rule: FileRule, places: Places, warn: Callable[[str], None]
) -> Iterator[tuple[FileRule, str]]:
    """The rule once for each folder its special root stands for, with the name of that root.

    Raises PolicyError for a root that means nothing and for `~` without a known home folder.
    """
    rule = replace(rule, path=inward(rule.path)) if WINDOWS else rule
    head, _, tail = rule.path.partition("/")
    for folder in _folders(head, rule, places, warn):
        path = normalise(f"{globs.escape(folder)}/{tail}") if rule.glob else join(folder, tail)
        yield replace(rule, path=path), head


def _folders(
    head: str, rule: FileRule, places: Places, warn: Callable[[str], None]
) -> tuple[str, ...]:
    match head:
        case "" if WINDOWS and rule.path != "/":
            return _drive(rule, warn)
        case "" if rule.path.startswith("/"):
            return ("/",)
        case ":root":
            return ("/",)
        case ":workspace_roots":
            return tuple(map(normalise, places.roots))
        case ":cwd":
            return (normalise(places.cwd),)
        case ":minimal":
            return places.minimal
        case ":slash_tmp":
            return (SLASH_TMP,)
        case ":tmpdir":
            return _tmpdir(places, warn)
        case "~":
            if places.home.startswith("/"):
                return (normalise(places.home),)
            raise PolicyError(f"{rule.ref}: the home folder is not known")
        case _:
            raise PolicyError(f"{rule.ref}: {printable(rule.path)} is not an absolute path")


def _drive(rule: FileRule, warn: Callable[[str], None]) -> tuple[str, ...]:
    """A path on Windows lies on a drive or a share, or it is none."""
    from octavo.policy.drives import is_named  # noqa: PLC0415 - only there

    if is_named(rule.path):
        return ("/",)
    warn(f"{rule.ref}: {printable(rule.path)} is no path on Windows and is left out")
    return ()


def _tmpdir(places: Places, warn: Callable[[str], None]) -> tuple[str, ...]:
    if not places.tmpdir:
        return ()
    if places.tmpdir.startswith("/"):
        return (normalise(places.tmpdir),)
    warn(f"$TMPDIR is left out: {printable(places.tmpdir)} is not an absolute path")
    return ()
