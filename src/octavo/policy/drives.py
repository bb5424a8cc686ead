"""Windows paths in the form the policy reckons with, and back.

Everything in this room is arithmetic on paths that begin with a slash. `C:\\work\\a` is
`/C:/work/a` here, and a share `\\\\server\\share\\a` is `/UNC/server/share/a`. Pure, on any system;
in force on Windows only (`octavo.policy.paths`).
"""

import re
from typing import Final

DRIVE: Final = re.compile(r"([A-Za-z]):(?:[\\/]|\Z)")
LONG: Final = re.compile(r"[\\/]{2}\?[\\/](?:(UNC)[\\/])?", re.IGNORECASE)
SHARE: Final = re.compile(r"[\\/]{2}(?![?.][\\/])(?=[^\\/])")
INNER_DRIVE: Final = re.compile(r"/([A-Za-z]:)(?:/(.*))?\Z", re.DOTALL)
INNER_SHARE: Final = "/UNC/"


def inward(path: str) -> str:
    """A path as people and Windows write it, in the policy's form. Anything else only gets slashes
    of one kind: relative paths, special roots, device paths, which no rule can name."""
    long = LONG.match(path)
    share = SHARE.match(path)
    if long is not None and long[1]:
        return INNER_SHARE + slashes(path[long.end() :])
    if share is not None:
        return INNER_SHARE + slashes(path[share.end() :])
    plain = path if long is None else path[long.end() :]
    drive = DRIVE.match(plain)
    if drive is None:
        return slashes(path)
    rest = slashes(plain[2:]).strip("/")
    return f"/{drive[1].upper()}:/{rest}" if rest else f"/{drive[1].upper()}:"


def outward(path: str) -> str:
    """The same path for Windows and for people; what is no such path stays as it is."""
    drive = INNER_DRIVE.match(path)
    if drive is not None:
        return drive[1] + "\\" + (drive[2] or "").replace("/", "\\")
    if path.startswith(INNER_SHARE):
        return "\\\\" + path[len(INNER_SHARE) :].replace("/", "\\")
    return path


def is_named(path: str) -> bool:
    """Does a path in the policy's form lie on a drive or a share? `/tmp` does not."""
    return INNER_DRIVE.match(path) is not None or path.startswith(INNER_SHARE)


def slashes(path: str) -> str:
    """With slashes of one kind."""
    return path.replace("\\", "/")
