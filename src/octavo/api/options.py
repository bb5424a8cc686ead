"""What a program says about an engine and about a thread, as values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from octavo.api.sandbox import Sandbox
from octavo.engine.budget import Meter
from octavo.model.client import ModelClient
from octavo.protocol.approvals import Approver
from octavo.tools.base import Tool

if TYPE_CHECKING:
    from octavo.mcp.base import Elicitor
    from octavo.protocol.questions import Questioner


class Given(Struct, frozen=True, kw_only=True):
    """For all threads of an engine; each beats the settings files."""

    model: str | ModelClient | None = None
    provider: str | None = None
    overrides: tuple[str, ...] = ()
    profile: str | None = None
    flags: Mapping[str, object] = {}
    strict: bool = False
    user_settings: bool = True
    unreachable_s: float | None = None
    bounded: bool = False
    """A provider that cannot be reached is given up after `unreachable_timeout_ms`."""
    originator: str = "octavo"
    bypass_hook_trust: bool = False
    """Hooks run without anybody having reviewed them."""


class ThreadOptions(Struct, frozen=True, kw_only=True):
    """For one thread."""

    cwd: str | None = None
    """None: where the thread was before."""
    sandbox: Sandbox | None = None
    approver: Approver | None = None
    tools: tuple[Tool, ...] = ()
    model: str | None = None
    ephemeral: bool = False
    source: str = "library"
    record: str | None = None
    """A file for everything that happens, for `octavo replay`."""
    flags: Mapping[str, object] = {}
    """Settings of this thread alone, by dotted key; they beat those of the engine."""
    base_instructions: str | None = None
    """In place of the base instructions."""
    depth: int = 0
    """0: started by a person or a program; else by an agent of that depth less one."""
    parent: str | None = None
    """The thread that started it."""
    role: str | None = None
    """What an agent is told it is, before its task."""
    effort: str | None = None
    questioner: "Questioner | None" = None
    """Who answers the model's questions; None: nobody, and it is not offered to ask."""
    elicitor: "Elicitor | None" = None
    """Who answers the questions of MCP servers; None: they are declined."""
    reviewing: bool = False
    """It looks at changes: nothing may be written, nobody is asked, nobody is started to help."""
    overlay: bool = False
    """Changes of files in its folder are kept apart until `octavo keep` or `octavo drop`. Linux."""
    overlay_of: str | None = None
    """Works in the overlay of this thread, which started it."""
    goals: bool = False
    """The thread may have a goal, unless the settings say no."""
    meter: Meter | None = None
    """A budget shared with another thread; None: one of its own, from the settings."""
