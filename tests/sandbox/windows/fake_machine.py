"""A machine for set-up, in memory: what would be asked of Windows, in order, and what it keeps.

One call can be made to fail with a number; a "crash" ends everything at once, like a power cut.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

from octavo.protocol.errors import OctavoError

GROUP_SID = "S-1-5-21-9-9-9-1000"
USER_SID = "S-1-5-21-9-9-9-1001"


class CallFailedError(OctavoError):
    def __init__(self, call, code):
        super().__init__(f"{call} failed (Windows error {code})")
        self.code = code


class PowerCut(BaseException):
    pass


@dataclass
class Account:
    password: str
    flags: int
    comment: str
    priv: int = 1
    groups: set = field(default_factory=set)


class World:
    """What survives from one run of the helper to the next."""

    def __init__(self):
        self.accounts = {}
        self.groups = {}
        self.sids = {"D\\me": USER_SID}
        self.rules = {}
        self.filters = False
        self.hidden = set()
        self.files = {}
        self.locked = {}
        self.policy = 0
        self.processes = {}
        self.profiles = set()
        self.problems = []


class FakeMachine:
    """Every call passes `_do`, which records it, fails it, or cuts the power."""

    def __init__(self, world=None, *, fail=None, crash_after=None):
        self.world = world or World()
        self.fail = fail or {}
        self.crash_after = crash_after
        self.calls = []
        self.logged = []
        self.held = []
        self.accounts = self.walls = self.files = self.grants = self

    def _do(self, *call):
        if self.crash_after is not None and len(self.calls) >= self.crash_after:
            raise PowerCut
        self.calls.append(call)
        code = self.fail.get(call[0], self.fail.get(call[:2]))
        if code is not None:
            raise CallFailedError(call[0], code)

    def names(self):
        return [call[0] for call in self.calls]

    # mutexes

    @contextmanager
    def alone(self, name, security):
        self._do("alone", name, security)
        self.held.append(name)
        try:
            yield
        finally:
            self.held.remove(name)

    @contextmanager
    def reader(self, name):
        self._do("reader", name)
        yield name not in self.world.problems

    # accounts

    def make_group(self, name, comment):
        self._do("make_group", name)
        if name in self.world.groups:
            raise CallFailedError("make_group", 1379)
        self.world.groups[name] = comment
        self.world.sids[name] = GROUP_SID

    def sid_of(self, name):
        self._do("sid_of", name)
        if name not in self.world.sids:
            raise CallFailedError("sid_of", 1332)
        return self.world.sids[name]

    def state(self, name):
        self._do("state", name)
        found = self.world.accounts.get(name)
        if found is None:
            return None
        if found.priv == 2 or found.comment != "Runs sandboxed commands of Octavo.":
            return "foreign"
        return "disabled" if found.flags & 2 else "enabled"

    def make(self, name, password, *, flags, privilege, comment):
        self._do("make", name, flags)
        self.world.accounts[name] = Account(password, flags, comment, privilege)
        self.world.sids[name] = f"S-1-5-21-9-9-9-{2000 + len(self.world.sids)}"

    def set_password(self, name, password):
        self._do("set_password", name)
        self.world.accounts[name].password = password

    def join(self, name, *, group_sid):
        self._do("join", name, group_sid)
        self.world.accounts[name].groups.add(group_sid)

    def enable(self, name):
        self._do("enable", name)
        self.world.accounts[name].flags &= ~2

    def disable(self, name):
        self._do("disable", name)
        self.world.accounts[name].flags |= 2

    def hide(self, name):
        self._do("hide", name)
        self.world.hidden.add(name)

    def unhide(self, name):
        self._do("unhide", name)
        self.world.hidden.discard(name)

    def stop_processes(self, sid):
        self._do("stop_processes", sid)
        self.world.processes.pop(sid, None)

    def remove_profile(self, sid):
        self._do("remove_profile", sid)
        self.world.profiles.discard(sid)

    # walls

    def open(self):
        self._do("open")

    def policy(self):
        self._do("policy")
        return self.world.policy

    def put(self, rule):
        self._do("put", rule.name, rule.remote_ports)
        self.world.rules[rule.name] = rule

    def users_of(self, name):
        self._do("users_of", name)
        return self.world.rules[name].users if name in self.world.rules else ""

    def filters(self, steps):
        self._do("filters", len(steps))
        self.world.filters = True

    def remove_filters(self, keys):
        self._do("remove_filters", len(keys))
        self.world.filters = False

    # files

    def folder(self, path):
        self._do("folder", path)
        self.world.files.setdefault(path, None)

    def open_log(self, folder):
        self._do("open_log", folder)

    def log(self, text):
        self.logged.append(text)

    def create_new(self, path, security):
        self._do("create_new", path, security)
        self.world.files[path] = b""

    def fill(self, path, data):
        self._do("fill", path)
        assert path in self.world.files
        self.world.files[path] = data

    def replace(self, path, data):
        self._do("replace", path)
        self.world.files[path] = data

    def remove(self, what):
        """A file, a rule or an account: the protocols share the word."""
        if "\\" in what:
            self._do("remove_file", what)
            self.world.files.pop(what, None)
        elif what in self.world.accounts:
            self._do("remove_account", what)
            self.world.sids.pop(what)
            del self.world.accounts[what]
        else:
            self._do("remove_rule", what)
            self.world.rules.pop(what, None)

    def remove_group(self, name):
        self._do("remove_group", name)
        self.world.groups.pop(name, None)

    def remove_tree(self, path):
        self._do("remove_tree", path)
        for each in [each for each in self.world.files if each.startswith(path)]:
            del self.world.files[each]

    def lock(self, fresh):
        self._do("lock", fresh.path)
        self.world.locked[fresh.path] = fresh

    def seal(self, secret):
        self._do("seal")
        return b"sealed:" + bytes(255 - byte for byte in secret)

    # grants

    def apply(self, payload):
        self._do("apply", payload.write_roots)
        return list(self.world.problems)

    def start_reader(self, payload):
        self._do("start_reader")
        return []

    def grant_runtime(self, payload):
        self._do("grant_runtime")
        return []

    def grant_reading(self, payload):
        self._do("grant_reading", payload.read_roots)
        return list(self.world.problems)
