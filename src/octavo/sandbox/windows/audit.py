"""Looking for folders that everybody may write: a sandboxed command could write there too.

Pure: where to look, within which limits, and what the outcome means. A look that hit a limit
proves nothing and is an error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from octavo.process.argv_windows import get, is_absolute
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows.acl import EVERYONE, Present, open_to
from octavo.sandbox.windows.denyread import Listing
from octavo.sandbox.windows.paths import fold, join

SECONDS: Final = 2.0
ENTRIES: Final = 1_000
CHECKS: Final = 50_000
SKIPPED: Final = ("\\WINDOWS\\INSTALLER", "\\WINDOWS\\REGISTRATION", "\\PROGRAMDATA")
SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found."""

    open: tuple[str, ...]
    unreadable: int
    """Folders whose list could not be read; they count as not writable."""

    def warning(self) -> str:
        """One sentence for the user, "" when nothing was found."""
        if not self.open:
            return ""
        some = ", ".join(self.open[:SAMPLES])
        more = len(self.open) - SAMPLES
        rest = f" and {more} more" if more > 0 else ""
        return f"everybody on this machine may write to {some}{rest}"


def candidates(cwd: str, variables: Mapping[str, str], listing: Listing) -> Iterator[str]:
    """The folders to look at, in order, without repeats; each one's folders come after it."""
    named = [get(variables, name) for name in ("TEMP", "TMP", "USERPROFILE", "PUBLIC")]
    named += get(variables, "PATH").split(";")
    rest = [each.strip().strip('"').replace("/", "\\").rstrip("\\") for each in named]
    tops = [cwd, *(each for each in rest if is_absolute(each + "\\")), "C:\\", "C:\\Windows"]
    tops = [each + "\\" if len(each) == 2 else each for each in tops]
    seen: set[str] = set()
    for path in (*_folders(cwd, listing), *_with_folders(tops, listing)):
        at = fold(path)
        if at not in seen and not at.endswith(SKIPPED):
            seen.add(at)
            yield path


def _with_folders(tops: Iterable[str], listing: Listing) -> Iterator[str]:
    for top in tops:
        yield top
        yield from _folders(top, listing)


def _folders(top: str, listing: Listing) -> Iterator[str]:
    # files are not looked at and do not count: System32 alone has thousands, and is on every PATH
    folders = (entry.name for entry in listing(top) if entry.folder and not entry.link)
    for at, name in enumerate(folders):
        if at >= ENTRIES:
            _incomplete(f"{top} has more than {ENTRIES:,} folders")
        yield join(top, name)


def audit(
    places: Iterable[str],
    look: Callable[[str], Present | None],
    *,
    elapsed_s: Callable[[], float],
    sids: Iterable[str] = (EVERYONE,),
) -> Audit:
    """Which of the folders are open. Raises SandboxUnavailable when a limit is hit."""
    who = tuple(sids)
    found: list[str] = []
    unreadable = 0
    for count, path in enumerate(places):
        if count >= CHECKS:
            _incomplete(f"more than {CHECKS:,} folders")
        if elapsed_s() > SECONDS:
            _incomplete(f"longer than {SECONDS:g} s")
        present = look(path)
        if present is None:
            unreadable += 1
        elif open_to(present.dacl, who):
            found.append(path)
    return Audit(tuple(found), unreadable)


def _incomplete(reason: str) -> NoReturn:
    raise SandboxUnavailable(
        f"the look for folders that everybody may write is incomplete: {reason}; "
        "the command did not run",
        hint="Shorten PATH or the folders it names, or use the elevated sandbox.",
    )
