"""Our values in the shapes the protocol has. Pure: values in, JSON values out.

Names and required fields are those of the published protocol (release 0.169); what is unknown
here is null, never absent, where clients check for it.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from octavo.protocol import events, items
from octavo.protocol.content import ImageInput, TextInput, UserInput
from octavo.protocol.usage import TokenUsage

GOAL_STATUS: Final = {"budget_limited": "budgetLimited"}
Json = dict[str, Any]
STATUS: Final = {
    "in_progress": "inProgress",
    "completed": "completed",
    "failed": "failed",
    "declined": "declined",
}
READING: Final = frozenset({"cat", "head", "tail", "nl", "sed", "less", "more", "bat"})
LISTING: Final = frozenset({"ls", "tree", "find", "fd"})
SEARCHING: Final = frozenset({"rg", "grep", "ag", "ack"})


class ThreadFacts(Struct, frozen=True, kw_only=True):
    """What a thread is, wherever it was found out."""

    id: str
    cwd: str
    provider: str
    model: str | None = None
    effort: str | None = None
    preview: str = ""
    name: str | None = None
    path: str | None = None
    ephemeral: bool = False
    created_s: int = 0
    updated_s: int = 0
    source: str = "vscode"
    forked_from: str | None = None
    parent: str | None = None
    version: str = ""
    branch: str | None = None


def thread(facts: ThreadFacts, *, status: Json, turns: Sequence[Json] = ()) -> Json:
    """A thread with these turns."""
    return {
        "id": facts.id,
        "sessionId": facts.id,
        "forkedFromId": facts.forked_from,
        "parentThreadId": facts.parent,
        "preview": facts.preview,
        "ephemeral": facts.ephemeral,
        "modelProvider": facts.provider,
        "model": facts.model,
        "reasoningEffort": facts.effort,
        "createdAt": facts.created_s,
        "updatedAt": facts.updated_s,
        "recencyAt": facts.updated_s,
        "status": status,
        "path": facts.path,
        "cwd": facts.cwd,
        "cliVersion": facts.version,
        "originator": None,
        "source": source(facts.source),
        "threadSource": None,
        "agentNickname": None,
        "agentRole": None,
        "gitInfo": None
        if facts.branch is None
        else {"sha": None, "branch": facts.branch, "originUrl": None},
        "name": facts.name,
        "historyMode": "paginated",
        "section": None,
        "projectId": None,
        "canAcceptDirectInput": True,
        "extra": None,
        "turns": list(turns),
    }


def source(word: str) -> Any:  # noqa: ANN401 - a word or a table
    """Where a thread was begun, as the protocol says it."""
    if word in ("cli", "vscode", "exec", "appServer"):
        return word
    if word == "subagent":
        return {"subAgent": "other"}
    return {"custom": word} if word else "unknown"


IDLE: Final[Json] = {"type": "idle"}
NOT_LOADED: Final[Json] = {"type": "notLoaded"}
SYSTEM_ERROR: Final[Json] = {"type": "systemError"}


def active(*flags: str) -> Json:
    """A thread at work, and what it waits for."""
    return {"type": "active", "activeFlags": list(flags)}


def turn(
    turn_id: str,
    status: str,
    *,
    items_: Sequence[Json] = (),
    view: str = "notLoaded",
    error: Json | None = None,
    started_s: int | None = None,
    completed_s: int | None = None,
    duration_ms: int | None = None,
) -> Json:
    """A turn; `status` is completed, interrupted, failed or inProgress."""
    return {
        "id": turn_id,
        "items": list(items_),
        "itemsView": view,
        "status": status,
        "error": error,
        "startedAt": started_s,
        "completedAt": completed_s,
        "durationMs": duration_ms,
        "rootTurnId": turn_id,
    }


CODES: Final = {
    "context_window": "contextWindowExceeded",
    "usage_limit": "usageLimitExceeded",
    "quota": "usageLimitExceeded",
    "rate_limited": "rateLimitExceeded",
    "overloaded": "serverOverloaded",
    "server": "internalServerError",
    "auth": "unauthorized",
    "invalid_request": "badRequest",
}
STREAM: Final = ("disconnected", "idle_timeout", "unreachable", "incomplete")


def turn_error(message: str, code: str = "other", details: str | None = None) -> Json:
    """Why a turn failed, or is being tried again."""
    info: Any = CODES.get(code, "other")
    if code in STREAM:
        info = {"responseStreamDisconnected": {"httpStatusCode": None}}
    return {
        "message": message,
        "codexErrorInfo": info,
        "additionalDetails": details,
        "misalignment": None,
    }


def usage(total: TokenUsage) -> Json:
    """Tokens, each under its name."""
    return {
        "totalTokens": total.total,
        "inputTokens": total.input,
        "cachedInputTokens": total.cached_input,
        "cacheWriteInputTokens": total.cache_write_input,
        "outputTokens": total.output,
        "reasoningOutputTokens": total.reasoning_output,
    }


def user_input(part: UserInput) -> Json:
    """One thing a user gave."""
    match part:
        case TextInput(text=text):
            return {"type": "text", "text": text, "text_elements": []}
        case ImageInput(path=str(path)):
            return {"type": "localImage", "path": path}
        case ImageInput(url=url):
            return {"type": "image", "url": url}


# ---- items ------------------------------------------------------------------------------------


def item(value: items.Item) -> Json | None:
    """An item as clients see it; None for what has no shape of its own there."""
    match value:
        case items.UserMessage(id=id_, content=content):
            return {
                "type": "userMessage", "id": id_, "clientId": None,
                "content": [user_input(part) for part in content],
            }  # fmt: skip
        case items.AgentMessage(id=id_, text=text, phase=phase):
            return {"type": "agentMessage", "id": id_, "text": text, "phase": phase}
        case items.Reasoning(id=id_, summary=summary, raw=raw):
            return {"type": "reasoning", "id": id_, "summary": list(summary), "content": list(raw)}
        case items.CommandExecution():
            return command(value)
        case items.FileChange(id=id_, changes=changes, status=status):
            return {
                "type": "fileChange", "id": id_, "status": STATUS[status],
                "changes": [change(one) for one in changes],
            }  # fmt: skip
        case items.McpToolCall():
            return mcp_call(value)
        case items.ToolUse(id=id_, tool=tool, arguments=arguments, output=output, status=status):
            done = status != "in_progress"
            return {
                "type": "dynamicToolCall", "id": id_, "tool": tool, "namespace": None,
                "arguments": arguments, "status": STATUS[status],
                "contentItems": [{"type": "inputText", "text": output}] if done else None,
                "success": status == "completed" if done else None, "durationMs": None,
            }  # fmt: skip
        case items.WebSearch(id=id_, query=query, action=action):
            return {"type": "webSearch", "id": id_, "query": query, "action": web_action(action)}
        case items.ImageView(id=id_, path=path):
            return {"type": "imageView", "id": id_, "path": path}
        case items.Compaction(id=id_):
            return {"type": "contextCompaction", "id": id_}
        case _:
            return special(value)


def special(value: items.Item) -> Json | None:
    """Kinds that a thread seldom has."""
    match value:
        case items.ProposedPlan(id=id_, text=text):
            return {"type": "plan", "id": id_, "text": text}
        case items.ReviewMode(id=id_, state="entered", target=target):
            return {"type": "enteredReviewMode", "id": id_, "review": target}
        case items.ReviewMode(id=id_, review=review):
            said = "" if review is None else review.overall_explanation
            return {"type": "exitedReviewMode", "id": id_, "review": said}
        case _:
            return None


def command(value: items.CommandExecution) -> Json:
    """A command that ran, runs, or was declined."""
    done = value.status != "in_progress"
    return {
        "type": "commandExecution",
        "id": value.id,
        "command": shlex.join(value.command),
        "cwd": value.cwd,
        "processId": None if value.process_id is None else str(value.process_id),
        "source": "agent",
        "status": STATUS[value.status],
        "commandActions": actions(value.command, value.cwd),
        "aggregatedOutput": value.aggregated_output if done else None,
        "exitCode": value.exit_code,
        "durationMs": value.duration_ms,
        "denials": [
            {"operation": one.operation, "subject": one.subject, "rule": one.rule}
            for one in value.denials
        ],
    }


def actions(argv: Sequence[str], cwd: str) -> list[Json]:
    """What a command does, as far as its first word tells."""
    script = argv[-1] if len(argv) > 2 and argv[1] in ("-c", "-lc") else shlex.join(argv)
    try:
        words = shlex.split(script)
    except ValueError:
        words = []
    plain = bool(words) and not any(mark in script for mark in ";&|<>$`\n")
    name = words[0].rpartition("/")[2] if plain else ""
    rest = [word for word in words[1:] if not word.startswith("-")]
    if name in READING and rest:
        path = rest[-1]
        full = path if path.startswith("/") else f"{cwd.rstrip('/')}/{path}"
        shown = path.rpartition("/")[2]
        return [{"type": "read", "command": script, "name": shown, "path": full}]
    if name in LISTING:
        return [{"type": "listFiles", "command": script, "path": rest[0] if rest else None}]
    if name in SEARCHING:
        query, path_ = ([*rest, None, None])[:2] if rest else (None, None)
        return [{"type": "search", "command": script, "query": query, "path": path_}]
    return [{"type": "unknown", "command": script}]


def change(value: items.FileUpdate) -> Json:
    """One file of a patch."""
    kind: Json = {"type": value.kind}
    if value.kind == "update":
        kind["move_path"] = value.move_path
    return {"path": value.path, "kind": kind, "diff": value.diff}


def mcp_call(value: items.McpToolCall) -> Json:
    """A call to a tool of an MCP server."""
    result = value.result
    return {
        "type": "mcpToolCall",
        "id": value.id,
        "server": value.server,
        "tool": value.tool,
        "arguments": value.arguments,
        "status": STATUS[value.status],
        "result": None
        if result is None
        else {
            "content": list(result.content),
            "structuredContent": result.structured_content,
            "_meta": None,
        },
        "error": None if value.error is None else {"message": value.error},
        "durationMs": value.duration_ms,
    }


def web_action(action: object) -> Json | None:
    """What a search did; `other` where nobody knows."""
    if not isinstance(action, Mapping):
        return None
    kind = {"search": "search", "open_page": "openPage", "find_in_page": "findInPage"}.get(
        str(action.get("type")), "other"
    )
    rest = {key: value for key, value in action.items() if key != "type"}
    return {"type": kind, **rest} if kind != "other" else {"type": "other"}


def goal(value: events.Goal, thread_id: str) -> Json:
    """What a thread works for by itself."""
    return {
        "threadId": thread_id,
        "objective": value.objective,
        "status": GOAL_STATUS.get(value.status, value.status),
        "tokenBudget": value.token_budget,
        "tokensUsed": value.tokens_used,
        "timeUsedSeconds": value.seconds_used,
        "createdAt": value.created_at,
        "updatedAt": value.updated_at,
    }


def plan_step(step: events.PlanStep) -> Json:
    """One step of a plan."""
    return {"step": step.text, "status": STATUS.get(step.status, step.status)}


def ordered(turns: Iterable[Json], *, descending: bool) -> list[Json]:
    """Turns as a client wants them sorted."""
    listed = list(turns)
    return listed[::-1] if descending else listed
