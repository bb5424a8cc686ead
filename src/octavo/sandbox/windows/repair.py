"""What went wrong with one path, and what exactly would repair it.

Pure: numbers of Windows errors in, sentences and commands out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from octavo.protocol.errors import OctavoError, SandboxUnavailable, UsageError
from octavo.sandbox.windows.journal import powershell
from octavo.sandbox.windows.world import ChangedMeanwhile, DiskError

NO_LISTS: Final = (1, 50)
"""What volumes answer that keep no access lists."""
IN_USE: Final = (32, 33)
DENIED: Final = 5
WRITE_PROTECTED: Final = 19
NO_SESSION: Final = 1312


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that failed."""

    path: str
    call: str
    code: int
    """The number Windows gave; 0 when it was not Windows that refused."""
    owner: str
    """SID of the object's owner, "" when it could not be read."""
    text: str
    repair: str


class NotApplied(SandboxUnavailable):
    """Access entries could not be put in place: the command did not run. `problems` has all."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        what = "; ".join(each.text for each in self.problems)
        repairs = dict.fromkeys(each.repair for each in self.problems)
        super().__init__(
            f"access entries could not be put in place: {what}; the command did not run",
            hint=" ".join(repairs),
        )


def problem(error: OctavoError, user: str) -> Problem:
    """What an error means for the user with this SID."""
    if isinstance(error, DiskError):
        text = str(error)
        return Problem(
            error.path, error.call, error.code, error.owner, text, repair(error, user=user)
        )
    if isinstance(error, ChangedMeanwhile):
        return Problem(error.path, "compare", 0, "", str(error), "Run the command again.")
    return Problem("", "", 0, "", str(error), error.hint or "Run `octavo sandbox doctor`.")


def repair(error: DiskError, *, user: str) -> str:
    """One sentence, with the command to run where there is one."""
    if error.hint:
        return error.hint
    if error.code == DENIED:
        return f"Run in PowerShell as administrator: {_grant(error.path, user)}"
    if error.code in IN_USE:
        return f"Close the program that uses {error.path}, then run the command again."
    if error.code in NO_LISTS:
        return f"The drive of {error.path} keeps no access lists: use a folder on an NTFS drive."
    if error.code == WRITE_PROTECTED:
        return f"The drive of {error.path} is write-protected: use another folder."
    if error.code == NO_SESSION:
        return "Sign out of Windows and in again, then run the command again."
    return f"Look at {error.path} with `octavo sandbox doctor`, then run the command again."


def _grant(path: str, user: str) -> str:
    try:
        line = powershell([("icacls.exe", path, "/grant", f"*{user}:(RC,WDAC)")])
    except UsageError:
        return f"icacls.exe, to give {user} (RC,WDAC) on the path"
    return line.strip()
