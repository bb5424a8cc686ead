"""What a tool is and what it is given. Tools tell what they do as the events clients see.

A tool that fails answers with a text and `success=False`; the turn goes on. It raises only
`OctavoError`, which `registry` turns into such an answer, and cancellation. The id of an item a
tool shows is the id of its call.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from octavo.model.request import CustomTool, FunctionTool, HostedTool, NamespaceTool, ToolSpec
from octavo.policy.rules import RuleSet
from octavo.process.spec import ProcessSpec
from octavo.protocol.approvals import Approver, Granular
from octavo.protocol.content import ContentPart, text_of
from octavo.protocol.events import Event
from octavo.protocol.history import Message
from octavo.protocol.ids import CallId, ItemId, ThreadId, TurnId
from octavo.protocol.seams import Clock, Ids
from octavo.sandbox.confined import Confined

__all__ = [
    "Access",
    "ApprovalPolicy",
    "CustomTool",
    "FunctionTool",
    "HostedTool",
    "Launcher",
    "NamespaceTool",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolOutput",
    "ToolSpec",
    "failed",
]

ApprovalPolicy = Literal["never", "on-request", "untrusted", "granular"]


class ToolCall(Struct, frozen=True, kw_only=True):
    """What the model asked for, as it wrote it."""

    call_id: CallId
    name: str
    arguments: str
    """JSON, perhaps broken; or free text when `custom`."""
    namespace: str | None = None
    custom: bool = False

    @property
    def item_id(self) -> ItemId:
        """The id of what clients see of it."""
        return ItemId(self.call_id)


class ToolOutput(Struct, frozen=True, kw_only=True):
    """What the model is told."""

    output: str | tuple[ContentPart, ...]
    success: bool = True
    also: tuple[Message, ...] = ()
    """Messages that go into the history right after it."""
    ends_turn: bool = False
    """Somebody answered a question with "stop": the turn is interrupted after this."""

    @property
    def text(self) -> str:
        """The words, pictures left out."""
        return self.output if isinstance(self.output, str) else text_of(self.output)


def failed(text: str, *, ends_turn: bool = False) -> ToolOutput:
    """An answer that says what went wrong."""
    return ToolOutput(output=text, success=False, ends_turn=ends_turn)


class Launcher(Protocol):
    """Starts commands; `octavo.tools.launcher.SandboxLauncher` is the real one."""

    def prepare(self) -> None:
        """There is time now: start what the first command needs. May do nothing."""
        ...

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """Start a command under the thread's profile, or without a sandbox when `escalated`.

        The caller closes `child`. Raises StartError, SandboxUnavailable (nothing was started).
        """
        ...


class Access(Protocol):
    """What the thread's profile allows; `octavo.tools.launcher.ProfileAccess` is the real one."""

    @property
    def name(self) -> str:
        """Of the profile, e.g. `read-only`."""
        ...

    @property
    def network(self) -> bool:
        """Commands may connect anywhere."""
        ...

    @property
    def read_only(self) -> bool:
        """Nothing of the user's may be written."""
        ...

    @property
    def hides(self) -> bool:
        """Some paths may not even be read: then nothing ever runs outside the sandbox."""
        ...

    @property
    def hidden(self) -> tuple[str, ...]:
        """The paths and patterns that may not be read."""
        ...

    def reads(self, path: str) -> bool:
        """May this path be read, as named and where it leads?"""
        ...

    def writes(self, path: str) -> bool:
        """May this path be written, as named and where it leads?"""
        ...


def itself(path: str) -> tuple[str, str | None]:
    """Where commands see what this program sees."""
    return path, path


class ToolContext(Struct, frozen=True, kw_only=True):
    """The world of one call."""

    cwd: str
    """Absolute, of the turn."""
    thread_id: ThreadId
    turn_id: TurnId
    launcher: Launcher
    access: Access
    approver: Approver
    emit: Callable[[Event], None]
    """In the loop's thread; does not block. A command left running ends with an event after its
    call was answered, perhaps after the turn."""
    clock: Clock
    ids: Ids
    approval_policy: str = "never"
    """One of `ApprovalPolicy`; anything unknown is treated as `never`."""
    granular: Granular | None = None
    """Which kinds of question are put, when the policy is `granular`."""
    rules: Callable[[], RuleSet] = RuleSet
    """The rules in force now; an answer may have added one."""
    shell: str = "/bin/sh"
    environment: Mapping[str, str] = {}
    """What commands inherit, secrets already taken out; tools add their own names."""
    sandboxed: bool = True
    """False: danger-full-access, nothing is confined."""
    located: Callable[[str], tuple[str, str | None]] = itself
    """Path -> the path commands see, links followed, and where its bytes are for this program:
    elsewhere when changes are kept apart, None for nowhere. Raises OSError."""
    output_tokens: int = 10_000
    """The most the model is shown of one output."""
    pictures: bool = True
    """The model can see pictures."""


class Tool(Protocol):
    """Something the model may call."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and schema, as the model gets them."""
        ...

    @property
    def parallel(self) -> bool:
        """May run beside other parallel tools; the rest run alone."""
        ...

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Do it. Raises OctavoError for what cannot be done."""
        ...
