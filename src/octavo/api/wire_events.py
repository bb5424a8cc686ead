"""What an app server tells, as the events of a thread. Pure: one notice in, events out."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from octavo.protocol import events, items
from octavo.protocol.content import ImageInput, TextInput, UserInput
from octavo.protocol.ids import ItemId, TurnId
from octavo.protocol.usage import TokenUsage

Json = Mapping[str, Any]
STATUS: Final = {"inProgress": "in_progress"}


def events_of(method: str, params: Json) -> Iterator[events.Event]:
    """The events of a notice; none for what has no event."""
    turn = TurnId(str(params.get("turnId") or ""))
    item = ItemId(str(params.get("itemId") or ""))
    match method:
        case "turn/started":
            yield events.TurnStarted(turn_id=TurnId(params["turn"]["id"]))
        case "item/started" | "item/completed":
            found = item_of(params["item"])
            if found is not None:
                kind = events.ItemStarted if method == "item/started" else events.ItemCompleted
                yield kind(turn_id=turn, item=found)
        case "item/agentMessage/delta":
            yield events.AgentMessageDelta(item_id=item, text=params["delta"])
        case "item/commandExecution/outputDelta":
            yield events.CommandOutputDelta(item_id=item, text=params["delta"])
        case "item/reasoning/summaryTextDelta":
            part = int(params.get("summaryIndex") or 0)
            yield events.ReasoningDelta(item_id=item, text=params["delta"], part=part)
        case "item/reasoning/textDelta":
            part = int(params.get("contentIndex") or 0)
            yield events.ReasoningDelta(item_id=item, text=params["delta"], kind="raw", part=part)
        case _:
            yield from others(method, params, turn)


def others(method: str, params: Json, turn: TurnId) -> Iterator[events.Event]:
    """Notices that are about more than one item."""
    match method:
        case "turn/plan/updated":
            steps = tuple(
                events.PlanStep(text=one["step"], status=STATUS.get(one["status"], one["status"]))
                for one in params["plan"]
            )
            yield events.PlanUpdated(
                turn_id=turn, steps=steps, explanation=params.get("explanation")
            )
        case "turn/diff/updated":
            yield events.TurnDiff(turn_id=turn, diff=params["diff"])
        case "thread/tokenUsage/updated":
            tokens = params["tokenUsage"]
            yield events.UsageUpdated(
                turn_id=turn,
                last=usage_of(tokens["last"]),
                total=usage_of(tokens["total"]),
                window=tokens.get("modelContextWindow"),
            )
        case "warning":
            yield events.Warned(message=params["message"])
        case "error" if params.get("willRetry"):
            message = params["error"]["message"]
            yield events.Retrying(turn_id=turn, message=message, attempt=0, limit=0, delay_ms=0)
        case "thread/goal/updated":
            yield events.GoalUpdated(goal=goal_of(params["goal"]))
        case "thread/goal/cleared":
            yield events.GoalCleared()
        case _:
            return


def ending_of(params: Json, last: str | None, total: TokenUsage) -> events.Ending:
    """How a turn ended, from `turn/completed`."""
    turn = params["turn"]
    turn_id = TurnId(turn["id"])
    duration = int(turn.get("durationMs") or 0)
    match turn["status"]:
        case "interrupted":
            return events.TurnInterrupted(turn_id=turn_id)
        case "failed":
            error = turn.get("error") or {}
            return events.TurnFailed(
                turn_id=turn_id,
                message=str(error.get("message") or "the turn failed"),
                hint=error.get("additionalDetails"),
            )
        case _:
            return events.TurnCompleted(
                turn_id=turn_id, usage=total, last_message=last, duration_ms=duration
            )


def usage_of(raw: Json) -> TokenUsage:
    """Tokens, each under its name."""
    return TokenUsage(
        input=raw["inputTokens"],
        cached_input=raw["cachedInputTokens"],
        cache_write_input=raw.get("cacheWriteInputTokens") or 0,
        output=raw["outputTokens"],
        reasoning_output=raw["reasoningOutputTokens"],
        total=raw["totalTokens"],
    )


def goal_of(raw: Json) -> events.Goal:
    """What a thread works for by itself."""
    status = {"budgetLimited": "budget_limited", "usageLimited": "budget_limited"}
    return msgspec.convert(
        {
            "objective": raw["objective"],
            "status": status.get(raw["status"], raw["status"]),
            "token_budget": raw.get("tokenBudget"),
            "tokens_used": raw["tokensUsed"],
            "seconds_used": raw["timeUsedSeconds"],
            "created_at": raw["createdAt"],
            "updated_at": raw["updatedAt"],
        },
        events.Goal,
    )


# ---- items ------------------------------------------------------------------------------------


def item_of(raw: Json) -> items.Item | None:
    """An item; None for kinds that are not known here."""
    id_ = ItemId(str(raw["id"]))
    match raw["type"]:
        case "userMessage":
            parts = tuple(part for one in raw["content"] if (part := input_of(one)) is not None)
            return items.UserMessage(id=id_, content=parts)
        case "agentMessage":
            return items.AgentMessage(id=id_, text=raw["text"], phase=raw.get("phase"))
        case "reasoning":
            return items.Reasoning(
                id=id_, summary=tuple(raw["summary"]), raw=tuple(raw.get("content") or ())
            )
        case "commandExecution":
            return command_of(id_, raw)
        case "fileChange":
            return items.FileChange(
                id=id_,
                changes=tuple(change_of(one) for one in raw["changes"]),
                status=STATUS.get(raw["status"], raw["status"]),  # type: ignore[arg-type]
            )
        case _:
            return other_item(id_, raw)


def other_item(id_: ItemId, raw: Json) -> items.Item | None:
    """Kinds that are less frequent."""
    match raw["type"]:
        case "mcpToolCall":
            return mcp_of(id_, raw)
        case "dynamicToolCall":
            texts = [one.get("text", "") for one in raw.get("contentItems") or ()]
            arguments = raw["arguments"]
            return items.ToolUse(
                id=id_,
                tool=raw["tool"],
                arguments=arguments if isinstance(arguments, str) else encoded(arguments),
                output="\n".join(texts),
                status=STATUS.get(raw["status"], raw["status"]),  # type: ignore[arg-type]
            )
        case "webSearch":
            return items.WebSearch(id=id_, query=raw["query"], action=raw.get("action"))
        case "imageView":
            return items.ImageView(id=id_, path=raw["path"])
        case "contextCompaction":
            return items.Compaction(id=id_)
        case "plan":
            return items.ProposedPlan(id=id_, text=raw["text"])
        case _:
            return None


def input_of(raw: Json) -> UserInput | None:
    """One thing a user gave."""
    match dict(raw):
        case {"type": "text", "text": str(text)}:
            return TextInput(text=text)
        case {"type": "image", "url": str(url)}:
            return ImageInput(url=url)
        case {"type": "localImage", "path": str(path)}:
            return ImageInput(path=path)
        case _:
            return None


def command_of(id_: ItemId, raw: Json) -> items.CommandExecution:
    """A command that ran, runs, or was declined."""
    process = raw.get("processId")
    return items.CommandExecution(
        id=id_,
        command=words_of(raw["command"]),
        cwd=raw["cwd"],
        status=STATUS.get(raw["status"], raw["status"]),  # type: ignore[arg-type]
        aggregated_output=raw.get("aggregatedOutput") or "",
        exit_code=raw.get("exitCode"),
        duration_ms=raw.get("durationMs"),
        process_id=int(process) if process and str(process).isdigit() else None,
        denials=tuple(
            items.DenialNote(operation=one["operation"], subject=one["subject"], rule=one["rule"])
            for one in raw.get("denials") or ()
        ),
    )


def words_of(command: str) -> tuple[str, ...]:
    """The words of a command line; the line itself where it cannot be split."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return (command,)


def change_of(raw: Json) -> items.FileUpdate:
    """What happens to one file."""
    kind = raw["kind"]
    return items.FileUpdate(
        path=raw["path"], kind=kind["type"], diff=raw["diff"], move_path=kind.get("move_path")
    )


def mcp_of(id_: ItemId, raw: Json) -> items.McpToolCall:
    """A call to somebody else's tool."""
    result, error = raw.get("result"), raw.get("error")
    return items.McpToolCall(
        id=id_,
        server=raw["server"],
        tool=raw["tool"],
        arguments=raw["arguments"],
        result=None
        if result is None
        else items.McpResult(
            content=tuple(result["content"]),
            structured_content=result.get("structuredContent"),
        ),
        error=None if error is None else error["message"],
        status=STATUS.get(raw["status"], raw["status"]),  # type: ignore[arg-type]
        duration_ms=raw.get("durationMs"),
    )


def encoded(value: object) -> str:
    """A JSON value as text."""
    return msgspec.json.encode(value).decode()
