"""Hooks as values: programs of the user that hear of an event and may object to it.

Names of events, labels and fields are the published ones, so scripts written for them work here.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

HookEvent = Literal[
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "PreCompact",
    "PostCompact",
    "SubagentStart",
    "SubagentStop",
    "Stop",
]
LABELS: Final[Mapping[HookEvent, str]] = {
    "SessionStart": "session_start",
    "SessionEnd": "session_end",
    "UserPromptSubmit": "user_prompt_submit",
    "PreToolUse": "pre_tool_use",
    "PermissionRequest": "permission_request",
    "PostToolUse": "post_tool_use",
    "PreCompact": "pre_compact",
    "PostCompact": "post_compact",
    "SubagentStart": "subagent_start",
    "SubagentStop": "subagent_stop",
    "Stop": "stop",
}
"""How keys of the trust table spell an event."""
UNMATCHED: Final[frozenset[HookEvent]] = frozenset({"UserPromptSubmit", "Stop"})
"""Events without anything a matcher could be about: it is ignored there."""
CONTEXT_TOKENS: Final = 2_500
"""Context of a hook that is longer goes to a file, unless the hook says another limit."""

OnFailure = Literal["allow", "block"]


class Hook(Struct, frozen=True, kw_only=True):
    """One command that runs at one event."""

    event: HookEvent
    command: str
    key: str
    """`SOURCE:event:group:index`: its place in the trust table."""
    source: str
    """The file it is written in, or the flag."""
    matcher: str | None = None
    timeout_s: int = 600
    background: bool = False
    """`async`: nobody waits for it; what it says joins the next turn."""
    status_message: str | None = None
    context_tokens: int = CONTEXT_TOKENS
    on_failure: OnFailure = "allow"
    """What a failure means where the hook could have objected: a time-out, a crash, garbage."""
    files: Mapping[str, str] | None = None
    """Files its command names, with their hashes when it was trusted; None: not looked at."""

    @property
    def name(self) -> str:
        """For messages: the event and where it is written."""
        return f"{self.event} hook of {self.source}"
