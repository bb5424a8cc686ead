"""What the engine says while it works, in one order per thread.

Items are never lost; deltas are for display only, and a slow reader may get several in one.
"""

from typing import Literal

from msgspec import Struct

from octavo.protocol.ids import ItemId, ThreadId, TurnId
from octavo.protocol.items import Item
from octavo.protocol.usage import TokenUsage

GoalStatus = Literal["active", "paused", "blocked", "complete", "budget_limited"]


class EventBase(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened in a thread."""


class ThreadStarted(EventBase, frozen=True, kw_only=True, tag="thread_started"):
    """The thread is loaded and takes input; also after resume (same id) and fork (new id)."""

    thread_id: ThreadId


class TurnStarted(EventBase, frozen=True, kw_only=True, tag="turn_started"):
    turn_id: TurnId


class ItemStarted(EventBase, frozen=True, kw_only=True, tag="item_started"):
    turn_id: TurnId
    item: Item


class ItemCompleted(EventBase, frozen=True, kw_only=True, tag="item_completed"):
    turn_id: TurnId
    item: Item


class AgentMessageDelta(EventBase, frozen=True, kw_only=True, tag="agent_message_delta"):
    """More text of a message that is being written."""

    item_id: ItemId
    text: str


class ReasoningDelta(EventBase, frozen=True, kw_only=True, tag="reasoning_delta"):
    """More of the reasoning. `part`: the number of the summary part it belongs to."""

    item_id: ItemId
    text: str
    kind: Literal["summary", "raw"] = "summary"
    part: int = 0


class CommandOutputDelta(EventBase, frozen=True, kw_only=True, tag="command_output_delta"):
    """More output of a running command, decoded."""

    item_id: ItemId
    text: str


class McpProgress(EventBase, frozen=True, kw_only=True, tag="mcp_progress"):
    """How far a running call to an MCP server is, in the server's words."""

    item_id: ItemId
    text: str


class PatchDelta(EventBase, frozen=True, kw_only=True, tag="patch_delta"):
    """More text of a patch that the model is still writing."""

    item_id: ItemId
    text: str


class PlanStep(Struct, frozen=True, kw_only=True):
    """One step of the model's plan."""

    text: str
    status: Literal["pending", "in_progress", "completed"]


class PlanUpdated(EventBase, frozen=True, kw_only=True, tag="plan_updated"):
    """The model's plan as a whole; it replaces the earlier one."""

    turn_id: TurnId
    steps: tuple[PlanStep, ...]
    explanation: str | None = None


class TurnDiff(EventBase, frozen=True, kw_only=True, tag="turn_diff"):
    """All that patches of this turn changed so far, as one unified diff."""

    turn_id: TurnId
    diff: str


class UsageUpdated(EventBase, frozen=True, kw_only=True, tag="usage_updated"):
    """Tokens of the last response and of the whole thread, and how much fits in all."""

    turn_id: TurnId
    last: TokenUsage
    total: TokenUsage
    window: int | None = None
    """Tokens the model can see at once; None when nobody knows."""


class Warned(EventBase, frozen=True, kw_only=True, tag="warning"):
    """Something the user should know; the work goes on."""

    message: str


class McpServerUpdated(EventBase, frozen=True, kw_only=True, tag="mcp_server_updated"):
    """An MCP server of the thread has started, or failed to."""

    name: str
    state: Literal["starting", "ready", "failed", "cancelled"]
    error: str | None = None


class ApprovalReviewed(EventBase, frozen=True, kw_only=True, tag="approval_reviewed"):
    """An automatic review of something that needed an approval is over."""

    review_id: str
    item_id: ItemId
    """Of the command or patch that was reviewed."""
    status: Literal["approved", "denied", "timed_out", "failed", "aborted"]
    """`failed`: nothing was judged, and so nothing was done."""
    risk: Literal["low", "medium", "high", "critical"] | None = None
    authorization: Literal["unknown", "low", "medium", "high"] | None = None
    rationale: str = ""
    duration_ms: int = 0
    attempts: int = 0
    tokens: int = 0


class Goal(Struct, frozen=True, kw_only=True):
    """What a thread works for by itself until it is reached, and how far it is."""

    objective: str
    status: GoalStatus = "active"
    token_budget: int | None = None
    """The most tokens, of the thread and of the agents it starts; None: no limit."""
    tokens_used: int = 0
    """Input and output of all requests while the goal was active."""
    seconds_used: int = 0
    """While the goal was active, somebody thinking included."""
    created_at: int = 0
    """Unix seconds; 0: not known."""
    updated_at: int = 0

    @property
    def tokens_left(self) -> int | None:
        """None: there is no limit."""
        return None if self.token_budget is None else max(0, self.token_budget - self.tokens_used)


class GoalUpdated(EventBase, frozen=True, kw_only=True, tag="goal_updated"):
    """The thread's goal is new, or its state has changed, or a turn has spent some of its budget."""

    goal: Goal


class GoalCleared(EventBase, frozen=True, kw_only=True, tag="goal_cleared"):
    """The thread has no goal any more."""


class Retrying(EventBase, frozen=True, kw_only=True, tag="retrying"):
    """The connection to the model broke; it is tried again."""

    turn_id: TurnId
    message: str
    attempt: int
    limit: int
    delay_ms: int


class TurnCompleted(EventBase, frozen=True, kw_only=True, tag="turn_completed"):
    """The model has finished. `usage` counts the whole thread so far."""

    turn_id: TurnId
    usage: TokenUsage
    last_message: str | None = None
    duration_ms: int = 0


class TurnFailed(EventBase, frozen=True, kw_only=True, tag="turn_failed"):
    """The turn could not go on; the thread stays usable. `code` says what kind of error it was."""

    turn_id: TurnId
    message: str
    code: str = "other"
    hint: str | None = None
    exit_code: int = 1
    """What a program that ran only this turn ends with."""


class TurnInterrupted(EventBase, frozen=True, kw_only=True, tag="turn_interrupted"):
    """Somebody stopped the turn; its commands are gone."""

    turn_id: TurnId


Ending = TurnCompleted | TurnFailed | TurnInterrupted
"""The last event of every turn is one of these."""
Event = (
    ThreadStarted
    | TurnStarted
    | ItemStarted
    | ItemCompleted
    | AgentMessageDelta
    | ReasoningDelta
    | CommandOutputDelta
    | McpProgress
    | PatchDelta
    | PlanUpdated
    | TurnDiff
    | UsageUpdated
    | Warned
    | McpServerUpdated
    | ApprovalReviewed
    | GoalUpdated
    | GoalCleared
    | Retrying
    | Ending
)
"""Everything an engine can say."""
