"""How the names of a path are written on a disk where upper and lower case are one."""

import os

from octavo.policy.drives import outward


def spelled(path: str) -> str:
    """A path of the policy with its names as the disk has them, links not followed.

    Missing names, and what this user may not list, stay as they are.
    """
    drive, *names = path[1:].split("/")
    here = f"/{drive}"
    known = outward(here) != here
    for name in names:
        real = _among(outward(here), name) if known else None
        known = real is not None
        here = f"{here}/{name if real is None else real}"
    return here


def _among(folder: str, name: str) -> str | None:
    """The name as the folder has it."""
    try:
        with os.scandir(folder) as entries:
            found = [one.name for one in entries if one.name.casefold() == name.casefold()]
    except OSError:
        return None
    return name if name in found else next(iter(found), None)
