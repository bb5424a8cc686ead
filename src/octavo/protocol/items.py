"""What a client sees of a thread: messages, commands, changes, as they begin and as they end.

An item keeps its id from start to end; the later value replaces the earlier one. The wire shapes
of the doors (`exec --json`, app server) are made from these values, not the other way round.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from octavo.protocol.content import UserInput
from octavo.protocol.ids import ItemId

Status = Literal["in_progress", "completed", "failed", "declined"]
ChangeKind = Literal["add", "delete", "update"]
Confidence = Annotated[float, Meta(ge=0, le=1)]


class ItemBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """One entry of a thread as people and programs see it."""

    id: ItemId


class UserMessage(ItemBase, frozen=True, kw_only=True, tag="user_message"):
    """What the user, or a program in their place, asked."""

    content: tuple[UserInput, ...]


class AgentMessage(ItemBase, frozen=True, kw_only=True, tag="agent_message"):
    """What the model said to the user."""

    text: str
    phase: str | None = None
    """`commentary` between tool calls, `final_answer` at the end, where the model says which."""


class Reasoning(ItemBase, frozen=True, kw_only=True, tag="reasoning"):
    """The model's reasoning: `summary` is meant for people, `raw` only when they ask for it."""

    summary: tuple[str, ...] = ()
    raw: tuple[str, ...] = ()


class DenialNote(Struct, frozen=True, kw_only=True):
    """One operation that the sandbox refused a command, and the rule that did."""

    operation: str
    subject: str
    rule: str
    grant: str = ""
    """For a host: the smallest change that would allow it."""


class CommandExecution(ItemBase, frozen=True, kw_only=True, tag="command_execution"):
    """A command that a tool call ran. Times in milliseconds; output is stdout and stderr, merged."""

    command: tuple[str, ...]
    cwd: str
    status: Status = "in_progress"
    aggregated_output: str = ""
    exit_code: int | None = None
    duration_ms: int | None = None
    process_id: int | None = None
    """The session id that `write_stdin` takes, while the command runs in the background."""
    denials: tuple[DenialNote, ...] = ()


class FileUpdate(Struct, frozen=True, kw_only=True):
    """What happens to one file."""

    path: str
    """Absolute."""
    kind: ChangeKind
    diff: str = ""
    """Unified diff of an update; the whole text of a file that is added or deleted."""
    move_path: str | None = None


class FileChange(ItemBase, frozen=True, kw_only=True, tag="file_change"):
    """A patch: all its changes are made, or none."""

    changes: tuple[FileUpdate, ...]
    status: Status = "in_progress"
    message: str = ""
    """What the patch engine said about it."""


class McpResult(Struct, frozen=True, kw_only=True):
    """What a tool of an MCP server gave back."""

    content: tuple[object, ...] = ()
    structured_content: object = None


class McpToolCall(ItemBase, frozen=True, kw_only=True, tag="mcp_tool_call"):
    """A call to somebody else's tool."""

    server: str
    tool: str
    arguments: object = None
    result: McpResult | None = None
    error: str | None = None
    status: Status = "in_progress"
    duration_ms: int | None = None


class ToolUse(ItemBase, frozen=True, kw_only=True, tag="tool_use"):
    """A call to a Python function that the embedding program offers."""

    tool: str
    arguments: str = ""
    output: str = ""
    status: Status = "in_progress"


class WebSearch(ItemBase, frozen=True, kw_only=True, tag="web_search"):
    """A search that the provider made for the model."""

    query: str = ""
    action: object = None
    status: Status = "completed"


class ImageView(ItemBase, frozen=True, kw_only=True, tag="image_view"):
    """A picture the model looked at."""

    path: str


class Compaction(ItemBase, frozen=True, kw_only=True, tag="compaction"):
    """From here on the model sees a summary of what came before."""

    summary: str = ""


class ProposedPlan(ItemBase, frozen=True, kw_only=True, tag="proposed_plan"):
    """The plan that a turn in plan mode ended with, in Markdown."""

    text: str


class LineRange(Struct, frozen=True, kw_only=True):
    """Lines of a file, counted from 1, both included."""

    start: int
    end: int


class CodeLocation(Struct, frozen=True, kw_only=True):
    """Where something is."""

    absolute_file_path: str
    line_range: LineRange


class Finding(Struct, frozen=True, kw_only=True):
    """One thing in a change that its author would want to know."""

    title: str
    body: str
    confidence_score: Confidence = 0.0
    priority: int | None = None
    """0 (drop everything) to 3 (nice to have); None: the reviewer did not say."""
    code_location: CodeLocation


class Review(Struct, frozen=True, kw_only=True):
    """All that a reviewer said; the names are those of the published form."""

    findings: tuple[Finding, ...] = ()
    overall_correctness: str = ""
    """`patch is correct`, `patch is incorrect`, or empty when the reviewer did not say."""
    overall_explanation: str = ""
    overall_confidence_score: Confidence = 0.0


class ReviewMode(ItemBase, frozen=True, kw_only=True, tag="review_mode"):
    """A review of changes begins or is over."""

    state: Literal["entered", "exited"]
    target: str
    """What is reviewed, in a few words."""
    review: Review | None = None
    """What it found, once it is over; None then: it was stopped."""


class Problem(ItemBase, frozen=True, kw_only=True, tag="error"):
    """Something worth a warning that did not stop the turn."""

    message: str


Item = (
    UserMessage
    | AgentMessage
    | Reasoning
    | CommandExecution
    | FileChange
    | McpToolCall
    | ToolUse
    | WebSearch
    | ImageView
    | Compaction
    | ProposedPlan
    | ReviewMode
    | Problem
)
"""Everything a client can see in a thread."""
