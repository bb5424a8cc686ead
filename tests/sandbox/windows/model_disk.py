"""A disk made of the access model, and a home in memory: what carrying plans out is tried on."""

from contextlib import contextmanager

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import acl, denyread, journal, sids, world
from octavo.sandbox.windows.denyread import Found
from octavo.sandbox.windows.paths import fold, parent
from octavo.sandbox.windows.world import ChangedMeanwhile, DiskError

USER = "S-1-5-21-1-1-1-1001"
LOGON = "S-1-5-5-0-77"


class Killed(BaseException):
    """The process is gone."""


class Trouble:
    """Counts effects of disk and home together; the one with a number fails, or is the last."""

    def __init__(self):
        self.done = []
        self.fail = {}
        """Number of the effect: code, or Killed."""
        self.refuse = {}
        """(call, folded path): code, each time."""

    def meet(self, call, path):
        number = len(self.done)
        self.done.append((call, path))
        what = self.fail.pop(number, None) or self.refuse.get((call, fold(path)))
        if what is Killed:
            raise Killed
        if what is not None:
            raise DiskError(call, what, path=path, reason="as told", owner="S-1-5-18")


class ModelDisk:
    """`octavo.sandbox.windows.world.Disk` on a `Volume`."""

    def __init__(self, volume, trouble, user=USER):
        self.volume, self.trouble, self.user = volume, trouble, user
        self.texts = {}
        self.walks = []
        self.unseen = set()
        """Folded paths that cannot be looked at."""
        self.bare = set()
        """Drives without lists."""
        self.before_write = lambda _path: None

    def look(self, path):
        if fold(path) in self.unseen:
            raise DiskError("CreateFile", 5, path=path, reason="access is denied")
        return self.volume.present(path) if path in self.volume else None

    def canonical(self, path):
        return path

    def keeps_lists(self, path):
        return path[:2] not in self.bare

    def listing(self, folder):
        if folder in self.volume:
            for path in self.volume.children(folder):
                yield Found(path[len(folder.rstrip("\\")) + 1 :], self.volume[path].folder)

    def strays(self, folder, since_ms=0):
        self.walks.append((folder, since_ms))
        for path in self.volume.below(folder):
            node = self.volume[path]
            if since_ms and getattr(node, "made_ms", 0) < since_ms:
                continue
            if fold(path) in self.unseen:
                yield DiskError("CreateFile", 5, path=path, reason="access is denied")
            elif node.explicit or node.protected or node.no_list:
                yield self.volume.present(path)

    def probe(self, change):
        self.trouble.meet("probe", change.path)

    def write(self, change):
        self.before_write(change.path)
        self.trouble.meet("write", change.path)
        node = self.volume.nodes.get(fold(change.path))
        if node is None:
            raise ChangedMeanwhile(change.path)
        same = node.explicit == change.before and node.protected == change.protected
        if not same or node.no_list != change.null_before:
            raise ChangedMeanwhile(change.path)
        self.volume.write(change)

    def create(self, made):
        self.trouble.meet("create", made.path)
        if made.path in self.volume or parent(made.path) not in self.volume:
            raise ChangedMeanwhile(made.path)
        self.volume.add(made.path, self.user, folder=made.text is None, explicit=made.dacl)
        if made.text is not None:
            self.texts[fold(made.path)] = made.text

    def remove(self, path, text):
        self.trouble.meet("remove", path)
        if path not in self.volume:
            return True
        if self.volume[path].folder != (text is None) or self.volume.children(path):
            return False
        if self.texts.get(fold(path)) != text:
            return False
        self.volume.remove(path)
        return True


class MemoryHome:
    """`octavo.sandbox.windows.world.Store` in memory; files are bytes, as on disk."""

    def __init__(self, trouble, random):
        self.trouble, self.random = trouble, random
        self.cap_sid = None
        self.state = denyread.encode_state({})
        self.lines = b""
        self.last_plan = None
        self.holds = []
        self.locked = False

    @contextmanager
    def lock(self):
        if self.locked:
            raise SandboxUnavailable("locked")
        self.locked = True
        try:
            yield
        finally:
            self.locked = False

    def capabilities(self):
        if self.cap_sid is None:
            return sids.fresh(self.random), True
        return sids.decode(self.cap_sid, "cap_sid", self.random)

    def save_capabilities(self, capabilities):
        self.trouble.meet("save capabilities", "cap_sid")
        self.cap_sid = sids.encode(capabilities)

    def hidden(self, group):
        return denyread.decode_state(self.state, "state").get(group, ())

    def save_hidden(self, group, paths):
        self.trouble.meet("save hidden", "state")
        everyone = denyread.decode_state(self.state, "state")
        self.state = denyread.encode_state({**everyone, group: tuple(paths)})

    def journal(self):
        return journal.decode(self.lines, "journal")

    def append(self, record):
        self.trouble.meet("record", record.path)
        self.lines = self.lines[: self.lines.rfind(b"\n") + 1] + journal.encode(record)

    def replace_journal(self, records):
        self.trouble.meet("replace journal", "journal")
        self.lines = b"".join(map(journal.encode, records))

    def last(self):
        return None if self.last_plan is None else world.decode_last(self.last_plan)

    def save_last(self, last):
        self.trouble.meet("save last", "last")
        self.last_plan = None if last is None else world.encode_last(last)

    def held(self):
        return tuple(dict.fromkeys(path for each in self.holds for path in each))


def snapshot(volume):
    """Everything there is: lists as sets, since only order among equals may differ."""
    return {
        path: (set(node.explicit), node.protected, node.folder, node.owner)
        for path in volume.paths()
        for node in [volume[path]]
    }


def hides(node, group):
    """Is reading denied to the group by an entry of its own?"""
    return any(
        not ace.allow and ace.sid == group and ace.bits & acl.READ_DATA for ace in node.explicit
    )
