"""What people saw, in the form rollouts keep it: our items there, and back.

Pure. Kinds of item that this version does not know come back as None and stay in the file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec

from octavo.protocol import items as shown
from octavo.protocol.content import ImageInput, TextInput, UserInput
from octavo.protocol.ids import ItemId, ThreadId, TurnId
from octavo.store.rollout import ItemCompleted, Other

OUTPUT_AT_MOST: Final = 64 * 1024
"""So many bytes of a command's output are kept with its item: head and tail."""
FILE_URL: Final = "file://"
NANOS: Final = 1_000_000_000


def completed(
    item: shown.Item, *, thread_id: ThreadId, turn_id: TurnId, at_ms: int | None = None
) -> ItemCompleted | None:
    """The line for an item that is over; None for one that rollouts do not keep."""
    wire = item_to_wire(item)
    if wire is None:
        return None
    return ItemCompleted(thread_id=thread_id, turn_id=turn_id, item=wire, completed_at_ms=at_ms)


def item_to_wire(item: shown.Item) -> dict[str, Any] | None:
    """An item as rollouts keep it; None for problems, which they do not keep."""
    match item:
        case shown.UserMessage(id=id_, content=content):
            return {"type": "UserMessage", "id": id_, "content": [_input(part) for part in content]}
        case shown.AgentMessage(id=id_, text=text, phase=phase):
            content_ = [{"type": "Text", "text": text}]
            return {"type": "AgentMessage", "id": id_, "content": content_, "phase": phase}
        case shown.Reasoning(id=id_, summary=summary, raw=raw):
            return {
                "type": "Reasoning", "id": id_, "summary_text": list(summary),
                "raw_content": list(raw),
            }  # fmt: skip
        case shown.CommandExecution():
            return _command(item)
        case shown.FileChange(id=id_, changes=changes, status=status, message=message):
            return {
                "type": "FileChange", "id": id_, "status": status, "stdout": message, "stderr": "",
                "changes": {change.path: _change(change) for change in changes},
            }  # fmt: skip
        case shown.ImageView(id=id_, path=path):
            return {"type": "ImageView", "id": id_, "path": path}
        case shown.WebSearch(id=id_, query=query, action=action):
            return {"type": "WebSearch", "id": id_, "query": query, "action": action}
        case shown.ProposedPlan(id=id_, text=text):
            return {"type": "Plan", "id": id_, "text": text}
        case shown.McpToolCall() | shown.ToolUse() | shown.Compaction() | shown.ReviewMode():
            plain: dict[str, Any] = msgspec.to_builtins(item)
            return {**plain, "type": type(item).__name__}
        case shown.Problem():
            return None


def item_from_wire(raw: Mapping[str, Any]) -> shown.Item | None:
    """The item that was kept; None for a kind this version does not know, or a broken one."""
    reader = READERS.get(str(raw.get("type")))
    try:
        return None if reader is None else reader(raw)
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.ValidationError):
        return None


def legacy_event(record: ItemCompleted) -> Other | None:
    """A completed item as a file of the older form has it; None for what it does not keep."""
    item = item_from_wire(record.item)
    match item:
        case shown.UserMessage(content=content):
            texts = [part.text for part in content if isinstance(part, TextInput)]
            payload: dict[str, Any] = {
                "type": "user_message", "message": "\n".join(texts),
                "images": [p.url for p in content if isinstance(p, ImageInput) and p.url],
                "local_images": [p.path for p in content if isinstance(p, ImageInput) and p.path],
                "text_elements": [],
            }  # fmt: skip
        case shown.AgentMessage(text=text, phase=phase):
            payload = {"type": "agent_message", "message": text, "phase": phase}
        case shown.Reasoning(summary=summary) if summary:
            payload = {"type": "agent_reasoning", "text": "\n\n".join(summary)}
        case _:
            return None
    return Other("event_msg", payload)


def legacy_item(payload: Mapping[str, Any], number: int) -> shown.Item | None:
    """The item an event of the older form stands for. `number` makes its id."""
    id_ = ItemId(f"item_{number}")
    text = payload.get("message", payload.get("text"))
    if not isinstance(text, str):
        return None
    match payload.get("type"):
        case "user_message":
            return shown.UserMessage(id=id_, content=(TextInput(text=text),))
        case "agent_message":
            phase = payload.get("phase")
            return shown.AgentMessage(
                id=id_, text=text, phase=phase if isinstance(phase, str) else None
            )
        case "agent_reasoning":
            return shown.Reasoning(id=id_, summary=(text,))
        case _:
            return None


def _input(part: UserInput) -> dict[str, Any]:
    match part:
        case TextInput(text=text):
            return {"type": "text", "text": text, "text_elements": []}
        case ImageInput(path=str(path)):
            return {"type": "local_image", "path": path}
        case ImageInput(url=url):
            return {"type": "image", "image_url": url}


def _command(item: shown.CommandExecution) -> dict[str, Any]:
    milliseconds = item.duration_ms or 0
    return {
        "type": "CommandExecution",
        "id": item.id,
        "process_id": None if item.process_id is None else str(item.process_id),
        "command": list(item.command),
        "cwd": FILE_URL + quote(item.cwd, errors="surrogateescape"),
        "parsed_cmd": [],
        "source": "agent",
        "status": item.status,
        "aggregated_output": head_and_tail(item.aggregated_output),
        "exit_code": item.exit_code,
        "duration": {
            "secs": milliseconds // 1000,
            "nanos": milliseconds % 1000 * (NANOS // 1000),
        },
    }


def head_and_tail(text: str, at_most: int = OUTPUT_AT_MOST) -> str:
    """The text, or its beginning and end with a note between, cut between characters."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= at_most:
        return text
    note = f"\n[{len(data) - at_most} bytes left out]\n"
    half = at_most // 2
    head = data[:half].decode("utf-8", "ignore")
    return head + note + data[len(data) - half :].decode("utf-8", "ignore")


def _change(change: shown.FileUpdate) -> dict[str, Any]:
    if change.kind == "update":
        return {"type": "update", "unified_diff": change.diff, "move_path": change.move_path}
    return {"type": change.kind, "content": change.diff}


def _user(raw: Mapping[str, Any]) -> shown.UserMessage:
    content: list[UserInput] = []
    for part in raw["content"]:
        match part:
            case {"type": "text", "text": str(text)}:
                content.append(TextInput(text=text))
            case {"type": "local_image", "path": str(path)}:
                content.append(ImageInput(path=path))
            case {"type": "image", "image_url": str(url)}:
                content.append(ImageInput(url=url))
            case _:  # skills, mentions: words of a newer version
                continue
    return shown.UserMessage(id=_id(raw), content=tuple(content))


def _agent(raw: Mapping[str, Any]) -> shown.AgentMessage:
    text = "".join(part["text"] for part in raw["content"] if part.get("type") == "Text")
    return shown.AgentMessage(id=_id(raw), text=text, phase=raw.get("phase"))


def _reasoning(raw: Mapping[str, Any]) -> shown.Reasoning:
    return shown.Reasoning(
        id=_id(raw), summary=tuple(raw["summary_text"]), raw=tuple(raw.get("raw_content") or ())
    )


def _ran(raw: Mapping[str, Any]) -> shown.CommandExecution:
    duration = raw.get("duration") or {}
    pid = raw.get("process_id")
    return shown.CommandExecution(
        id=_id(raw),
        command=tuple(raw["command"]),
        cwd=unquote(str(raw["cwd"]).removeprefix(FILE_URL), errors="surrogateescape"),
        status=raw["status"],
        aggregated_output=raw.get("aggregated_output") or "",
        exit_code=raw.get("exit_code"),
        duration_ms=duration.get("secs", 0) * 1000 + duration.get("nanos", 0) * 1000 // NANOS,
        process_id=int(pid) if pid else None,
    )


def _changed(raw: Mapping[str, Any]) -> shown.FileChange:
    changes = [
        shown.FileUpdate(
            path=path,
            kind=change["type"],
            diff=change.get("unified_diff", change.get("content", "")),
            move_path=change.get("move_path"),
        )
        for path, change in raw["changes"].items()
    ]
    return shown.FileChange(
        id=_id(raw), changes=tuple(changes), status=raw["status"], message=raw.get("stdout") or ""
    )


def _plain(kind: Any) -> Any:  # noqa: ANN401 - a type, and a function that makes its values
    tag = kind.__struct_config__.tag
    return lambda raw: msgspec.convert({**raw, "type": tag}, kind)


def _searched(raw: Mapping[str, Any]) -> shown.WebSearch:
    return shown.WebSearch(id=_id(raw), query=raw.get("query") or "", action=raw.get("action"))


def _viewed(raw: Mapping[str, Any]) -> shown.ImageView:
    return shown.ImageView(id=_id(raw), path=raw["path"])


def _id(raw: Mapping[str, Any]) -> ItemId:
    return ItemId(str(raw["id"]))


READERS: Final[Mapping[str, Any]] = {
    "UserMessage": _user,
    "AgentMessage": _agent,
    "Reasoning": _reasoning,
    "CommandExecution": _ran,
    "FileChange": _changed,
    "McpToolCall": _plain(shown.McpToolCall),
    "ToolUse": _plain(shown.ToolUse),
    "Compaction": _plain(shown.Compaction),
    "Plan": lambda raw: shown.ProposedPlan(id=_id(raw), text=raw["text"]),
    "ReviewMode": _plain(shown.ReviewMode),
    "WebSearch": _searched,
    "ImageView": _viewed,
}
"""One reader per kind of item."""


def texts_of(items: Sequence[shown.Item]) -> list[str]:
    """What was said in words, by people and by the model."""
    said: list[str] = []
    for item in items:
        match item:
            case shown.UserMessage(content=content):
                said += [part.text for part in content if isinstance(part, TextInput)]
            case shown.AgentMessage(text=text):
                said.append(text)
            case _:
                continue
    return said
