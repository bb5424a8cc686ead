"""A disk on paper, as the Linux planner looks at one, and a reader for the plans it makes."""

import os
from collections.abc import Iterable

from octavo.sandbox.spec import Plan


class FakeDisk:
    """Folders, files and symlinks by path; what is not named is missing."""

    def __init__(
        self,
        *folders: str,
        files: Iterable[str] = (),
        links: dict[str, str] | None = None,
        closed: Iterable[str] = (),
        made: dict[str, str] | None = None,
    ) -> None:
        self.kinds = {"/": "dir"}
        for path in (*folders, *files, *(links or {})):
            above = os.path.dirname(path)
            while above not in self.kinds:
                self.kinds[above] = "dir"
                above = os.path.dirname(above)
        self.kinds |= dict.fromkeys(folders, "dir") | dict.fromkeys(files, "file")
        self.links = links or {}
        self.kinds |= dict.fromkeys(self.links, "link")
        self.closed = set(closed)
        self.made = made or {}

    def kind(self, path: str) -> str:
        return self.kinds.get(path, "missing")

    def target(self, path: str) -> str:
        return self.links[path]

    def writable(self, path: str) -> bool:
        return path not in self.closed

    def synthetic(self, path: str) -> str:
        return self.made.get(path, "")


def under(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(folder + "/")


def seen_access(plan: Plan, path: str) -> str:
    """What a command may do with a path that exists, from the mounts alone: the last one wins."""
    access = "none"
    for name, *args in plan.steps:
        if name == "seal":
            access = "read" if args[0] else "write"
        elif name in ("write", "pin-open") and under(path, args[0]):
            access = "write"
        elif name in ("read", "pin") and under(path, args[0]):
            access = "read"
        elif name == "mask" and under(path, args[0]):
            access = "none"
    return access


def landlock_access(plan: Plan, path: str) -> str:
    """What Landlock lets a command do with a path: rights only ever add up, and a read right is
    given to all but what is hidden below it."""
    hidden = {at for at, access in plan.landlock if access == "none"}

    def counts(at, access):
        aside = access == "read" and any(
            h != at and under(h, at) and under(path, h) for h in hidden
        )
        return access != "none" and under(path, at) and not aside

    found = {access for at, access in plan.landlock if counts(at, access)}
    return "write" if "write" in found or "device" in found else "read" if found else "none"


def text(plan: Plan) -> str:
    """Everything a plan says, for a golden file."""
    lines = [f"rung: {plan.rung}", f"network: {plan.network}"]
    lines += [f"create {kind} {path}" for path, kind in plan.creates]
    lines += ["step " + " ".join(map(str, step)) for step in plan.steps]
    lines += [f"landlock {access} {path}" for path, access in plan.landlock]
    lines += [f"note {note}" for note in plan.notes]
    lines += [f"weaker {what}" for what in plan.weaker]
    return "\n".join(lines) + "\n"
