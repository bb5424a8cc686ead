"""The tools that are offered, what they take, and what they give back. Pure."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from octavo.protocol.errors import UsageError

Json = dict[str, Any]
START: Final = ("codex", "octavo")
"""Names of the tool that begins a thread."""
REPLY: Final = ("codex-reply", "octavo-reply")
"""Names of the tool that goes on with one."""


class Start(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What the first tool takes."""

    prompt: str
    cwd: str | None = None
    model: str | None = None
    approval_policy: Literal["untrusted", "on-failure", "on-request", "never"] | None = None
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"] | None = None
    config: Mapping[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    compact_prompt: str | None = None

    def flags(self) -> dict[str, object]:
        """The settings of the thread, by dotted key."""
        named = {
            "model": self.model,
            "approval_policy": self.approval_policy,
            "sandbox_mode": self.sandbox,
            "developer_instructions": self.developer_instructions,
            "compact_prompt": self.compact_prompt,
        }
        given = {key: value for key, value in named.items() if value is not None}
        return {**(self.config or {}), **given}


class Reply(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the second tool takes."""

    prompt: str
    thread_id: str | None = None
    conversation_id: str | None = None
    """The older name of the same."""


class Meta(Struct, frozen=True, rename="camel"):
    """What a request says about itself."""

    progress_token: str | int | None = None


class CallTool(Struct, frozen=True, kw_only=True):
    """`tools/call`."""

    name: str
    arguments: Raw = Raw()
    meta: Meta | None = msgspec.field(default=None, name="_meta")


def arguments(kind: type[Any], raw: Raw) -> Any:  # noqa: ANN401 - a `kind`
    """The arguments of a call. Raises UsageError that names what is wrong."""
    try:
        given = b"{}" if bytes(raw) in (b"", b"null") else raw
        return msgspec.json.decode(given, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError(str(error)) from error


# ---- what clients read ------------------------------------------------------------------------


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


def _choice(description: str, *values: str) -> Json:
    return {"type": "string", "enum": list(values), "description": description}


OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "threadId": _text("The thread's id; give it to the reply tool to go on."),
        "content": _text("The last thing the agent said."),
    },
    "required": ["threadId", "content"],
}
START_INPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "prompt": _text("What the agent is to do."),
        "cwd": _text("The folder it works in; a relative one is seen from the server's."),
        "model": _text("The model, in place of the one in the settings."),
        "approval-policy": _choice(
            "When a person is asked before something is done.",
            "untrusted", "on-failure", "on-request", "never",
        ),
        "sandbox": _choice(
            "What commands may do.", "read-only", "workspace-write", "danger-full-access"
        ),
        "config": {
            "type": "object",
            "additionalProperties": True,
            "description": "Settings by dotted key, in place of those of config.toml.",
        },
        "base-instructions": _text("In place of the instructions that are built in."),
        "developer-instructions": _text("What the agent is told besides."),
        "compact-prompt": _text("How it is asked to shorten a long conversation."),
    },
    "required": ["prompt"],
    "additionalProperties": False,
}  # fmt: skip
REPLY_INPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "threadId": _text("The thread to go on with, as an earlier result named it."),
        "conversationId": _text("The older name of threadId."),
        "prompt": _text("What the agent is to do next."),
    },
    "required": ["prompt"],
}


def tools() -> list[Json]:
    """The answer to `tools/list`."""
    begin = "Have a coding agent do a piece of work in a folder. Its commands run in a sandbox."
    more = "Go on with a thread of this agent: say more, ask back, give it the next task."
    both = ((START, "Octavo", begin, START_INPUT), (REPLY, "Octavo: reply", more, REPLY_INPUT))
    return [
        {
            "name": name,
            "title": title,
            "description": about,
            "inputSchema": schema,
            "outputSchema": OUTPUT,
        }
        for names, title, about, schema in both
        for name in names
    ]


def result(text: str, thread_id: str | None, *, failed: bool = False) -> Json:
    """The answer to `tools/call`."""
    found: Json = {"content": [{"type": "text", "text": text}]}
    if thread_id is not None:
        found["structuredContent"] = {"threadId": thread_id, "content": text}
    if failed:
        found["isError"] = True
    return found
