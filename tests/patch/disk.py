"""A disk in memory for planning tests."""

from octavo.patch.parse import parse
from octavo.patch.plan import Other, plan


class Disk(dict):
    """Paths to bytes; folders are whatever lies above a file."""

    def __call__(self, path):
        if path in self:
            return self[path]
        inside = any(name.startswith(path.rstrip("/") + "/") for name in self)
        return Other.FOLDER if inside or path == "/w" else Other.MISSING


def resolve(path):
    return path if path.startswith("/") else f"/w/{path}"


def planned(text, disk=None, **options):
    return plan(parse(text), disk if disk is not None else Disk(), resolve=resolve, **options)


def patch(body):
    return f"*** Begin Patch\n{body.rstrip()}\n*** End Patch\n"


def updated(before, body, path="a.txt"):
    """The bytes of a file after the chunks of `body`."""
    disk = Disk({f"/w/{path}": before})
    return planned(patch(f"*** Update File: {path}\n{body}"), disk).files[0].after
