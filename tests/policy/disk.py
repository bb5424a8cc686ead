"""A disk made of a table, for tests of the policy."""

import posixpath
from pathlib import PurePosixPath


class Disk:
    """Paths to what lies there: "dir", "other", the text of a file, or where a link points."""

    def __init__(self, *folders, files=None, links=None, other=()):
        self.files = dict(files or {})
        self.links = dict(links or {})
        self.other = set(other)
        self.folders = {"/"}
        for path in (*folders, *map(posixpath.dirname, (*self.files, *self.links, *self.other))):
            self.folders.update(map(str, (PurePosixPath(path), *PurePosixPath(path).parents)))

    def kind(self, path):
        if path in self.links:
            return "symlink"
        if path in self.files:
            return "file"
        if path in self.other:
            return "other"
        return "dir" if path in self.folders else "missing"

    def spelled(self, path):
        return path

    def readlink(self, path):
        return self.links[path]

    def read_text(self, path):
        return self.files.get(path, "")[:4096]
