"""How one command is confined on Windows, as values.

`octavo.sandbox.plan_windows` makes a plan, the modules of this package with hands carry it out,
in the order of its fields: each field is done completely before the next is begun.
"""

from dataclasses import dataclass
from typing import Literal

from octavo.sandbox.windows.acl import Ace, Change, Target
from octavo.sandbox.windows.sids import Capabilities
from octavo.sandbox.windows.tokens import TokenPlan

Level = Literal["disabled", "unelevated", "elevated"]
Backend = Literal["unelevated", "elevated"]
Identity = Literal["offline", "online"]
Network = Literal["off", "none", "on", "proxy"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What has to be known about the machine."""

    user: str
    """SID of the signed-in user."""
    logon: str
    """SID of this session; in the elevated backend the runner asks for its own."""
    home: str
    """Octavo's home folder."""
    profile: str
    """USERPROFILE."""
    cwd: str
    system: tuple[str, ...] = (
        "C:\\Windows",
        "C:\\Program Files",
        "C:\\Program Files (x86)",
        "C:\\ProgramData",
    )
    runtime: tuple[str, ...] = ()
    """Folders of the interpreter and of Octavo itself: no command may change them."""
    group: str = ""
    """SID of the group of the sandbox accounts; empty before set-up."""
    offline: str = ""
    online: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    """A missing closed path that has to exist, or else the command could make it and own it."""

    path: str
    text: str | None
    """None: an empty folder; else a file with this text."""
    dacl: tuple[Ace, ...]
    """Explicit entries it is born with, besides what it inherits."""
    why: str
    kept: bool
    """It belongs to the user's own rules and stays; else it goes after the last command."""


@dataclass(frozen=True, slots=True)
class WindowsPlan:
    """Data: it can be printed and compared."""

    backend: Backend
    identity: Identity | None
    """Which sandbox account; None in the unelevated backend."""
    capabilities: Capabilities
    """To be written before anything else, when `capabilities_changed`."""
    capabilities_changed: bool
    creates: tuple[Create, ...]
    changes: tuple[Change, ...]
    """Writes to access lists: what closes comes before what opens. Journalled one by one."""
    hidden: tuple[str, ...]
    """Paths that are denied to the group now: the new state file."""
    read_grants: tuple[Target, ...]
    """For the worker in the background."""
    active: tuple[str, ...]
    """Capability SIDs of the token."""
    token: TokenPlan | None
    """None in the elevated backend: the runner makes it, from `active` and its own SIDs."""
    network: Network
    notes: tuple[str, ...]
    weaker: tuple[str, ...]
    """What this backend does not hold, in words for the user."""
    fingerprint: str
    """The same for the same wishes: nothing to do when the last applied plan had it."""

    @property
    def writes_nothing(self) -> bool:
        """Is everything in place?"""
        return not (self.creates or self.changes or self.capabilities_changed)
