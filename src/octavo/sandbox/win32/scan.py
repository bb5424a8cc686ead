"""Looking for folders that everybody may write, within the limits of `audit`."""

import sys
import time
from collections.abc import Iterable, Mapping

from octavo.sandbox.windows import audit
from octavo.sandbox.windows.audit import Audit
from octavo.sandbox.windows.denyread import Found
from octavo.sandbox.windows.world import DiskError

assert sys.platform == "win32"

from octavo.sandbox.win32 import disk


def world_writable(cwd: str, env: Mapping[str, str], sids: Iterable[str]) -> Audit:
    """Which folders any of the SIDs may write, where commands usually come by.

    Raises SandboxUnavailable when a limit was hit: then nothing is proved.
    """
    begun = time.monotonic()
    return audit.audit(
        audit.candidates(cwd, env, _listing),
        disk.looks_open,
        elapsed_s=lambda: time.monotonic() - begun,
        sids=sids,
    )


def _listing(folder: str) -> list[Found]:
    """What cannot be listed has no folders we could come by."""
    try:
        return disk.listing(folder)
    except DiskError:
        return []
