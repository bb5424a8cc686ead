"""A world for tools: a folder, real processes with and without the real sandbox, a noted script of answers."""

import os
import sys
import time
from itertools import count

import pytest

from octavo.api.sandbox import Sandbox, state_home
from octavo.process import pipes
from octavo.protocol.approvals import Decision
from octavo.protocol.ids import CallId, ThreadId, TurnId
from octavo.sandbox.confined import Confined
from octavo.sandbox.launcher import Launcher as Platform
from octavo.sandbox.launcher import session_for
from octavo.tools.base import ToolCall, ToolContext
from octavo.tools.launcher import ProfileAccess, SandboxLauncher

if sys.platform == "win32":
    collect_ignore_glob = ["*.py"]


class Clock:
    def now_ms(self):
        return 0

    def monotonic(self):
        return time.monotonic()

    async def sleep(self, seconds):
        raise AssertionError("tools do not sleep")


class Ids:
    def __init__(self):
        self._numbers = count(1)

    def uuid(self):
        return str(next(self._numbers))

    def jitter(self):
        return 1.0


class Direct:
    """Starts commands without a sandbox, and remembers how it was asked."""

    def __init__(self):
        self.started = []

    async def start(self, spec, *, escalated=False):
        self.started.append((spec, escalated))
        return Confined(await pipes.start(spec), rung="none")


class Open:
    """Everything below one folder may be written, everything may be read."""

    name = "workspace-write"
    network = False
    read_only = False
    hides = False

    def __init__(self, root):
        self.root = str(root)
        self.hidden = set()

    def reads(self, path):
        return path not in self.hidden

    def writes(self, path):
        return path.startswith(self.root + "/")


class World:
    """What a call is made in."""

    def __init__(self, folder):
        self.folder = folder
        self.events = []
        self.asked = []
        self.answers = []
        self.launcher = Direct()
        self.access = Open(folder)
        self.more = {}
        self._calls = count(1)

    async def approve(self, request):
        self.asked.append(request)
        return self.answers.pop(0) if self.answers else Decision.deny("no")

    def context(self, **more):
        given = {
            "cwd": str(self.folder),
            "thread_id": ThreadId("thread"),
            "turn_id": TurnId("turn"),
            "launcher": self.launcher,
            "access": self.access,
            "approver": self.approve,
            "emit": self.events.append,
            "clock": Clock(),
            "ids": Ids(),
            "environment": {"PATH": os.environ["PATH"], "HOME": str(self.folder)},
        }
        return ToolContext(**{**given, **self.more, **more})

    def call(self, name, arguments, **more):
        return ToolCall(
            call_id=CallId(f"call_{next(self._calls)}"), name=name, arguments=arguments, **more
        )

    def items(self, kind):
        """Events of one type."""
        return [event for event in self.events if type(event).__name__ == kind]


@pytest.fixture
def world(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return World(folder.resolve())


@pytest.fixture
async def confined(world, tmp_path):
    """The same world with the real sandbox around commands."""
    environ = {**os.environ, "OCTAVO_HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    # $TMPDIR and /tmp stay closed: the folders of tests lie there
    environ.pop("TMPDIR", None)
    rules = {"filesystem": {":root": "read", ":cwd": "write"}}
    from octavo.api.sandbox import PermissionProfile

    made = Sandbox.from_profile(PermissionProfile.from_mapping(rules))
    profile = made.profile.settled(str(world.folder), environ)
    platform = Platform(session_for(state_home(environ), environ))
    world.launcher = SandboxLauncher(platform, profile)
    world.access = ProfileAccess(profile)
    yield world
    platform.close()
