"""What commands of a thread find in their environment besides what they inherit. Pure."""

from collections.abc import Mapping
from typing import Final

from octavo._version import __version__
from octavo.tools.base import ToolCall, ToolContext

QUIET: Final = {
    "NO_COLOR": "1",
    "COLORTERM": "",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "LC_CTYPE": "C.UTF-8",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GH_PAGER": "cat",
}
PREFIXES: Final = ("OCTAVO_", "CODEX_")
"""Our names, and the same under the names existing scripts look for."""


def command_environment(
    call: ToolCall, context: ToolContext, *, terminal: bool, escalated: bool
) -> Mapping[str, str]:
    """The whole environment of one command."""
    confined = context.sandboxed and not escalated
    told = {
        "CI": "1",
        "VERSION": __version__,
        "THREAD_ID": context.thread_id,
        "SESSION_ID": context.thread_id,
        "TOOL_CALL_ID": call.call_id,
        "SANDBOX_NETWORK_DISABLED": "1" if confined and not context.access.network else None,
        "PERMISSION_PROFILE": f":{context.access.name.lstrip(':')}" if confined else None,
    }
    inherited = {
        name: value
        for name, value in context.environment.items()
        if not any(name == prefix + word for prefix in PREFIXES for word in told)
    }
    named = {
        prefix + word: value
        for prefix in PREFIXES
        for word, value in told.items()
        if value is not None and "\0" not in value
    }
    term = context.environment.get("TERM") or "xterm" if terminal else "dumb"
    return {**inherited, **QUIET, "TERM": term, **named}
