"""What a list and a search need to know of a rollout, read in one pass, and further from where
the last pass stopped."""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.protocol.history import Message
from octavo.store.display import item_from_wire, legacy_item, texts_of
from octavo.store.errors import StoreError
from octavo.store.rollout import EVENT, SessionMeta, item_of, kind_of, payload_as
from octavo.store.thread import lines, read_meta

PREVIEW_AT_MOST: Final = 200
TEXT_AT_MOST: Final = 20_000
"""Characters of one message that can be searched for."""
SEEN: Final = ("item_completed", "user_message", "agent_message")
CONTEXT: Final = ("<environment_context>", "<user_instructions>", "# AGENTS.md", "<INSTRUCTIONS>")
"""How messages begin that the program, not the user, put in."""


class Summary(Struct, frozen=True, kw_only=True):
    """One rollout, or the part of it behind a byte offset."""

    meta: SessionMeta
    said: tuple[str, ...]
    """What was said in words, the first being the user's."""
    preview: str
    read_to: int
    """The byte offset where whole lines ended."""


def summarise(path: str, *, start: int = 0) -> Summary | None:
    """Read a rollout; None for a file that is none. Raises nothing."""
    try:
        meta = read_meta(path)
        at = 0
        seen: list[str] = []
        items: list[str] = []
        preview = ""
        for line in lines(path):
            if not line.endswith(b"\n"):
                break
            at += len(line)
            if at <= start:
                continue
            texts, asked = _seen(line)
            seen += texts
            preview = preview or (texts[0] if asked and texts else "")
            if not seen:
                items += _item_text(line)
    except StoreError:
        return None
    said = seen or items
    first = preview or next((text for text in items if text), "")
    return Summary(
        meta=meta,
        said=tuple(text[:TEXT_AT_MOST] for text in said),
        preview=one_line(first),
        read_to=at,
    )


def one_line(text: str, at_most: int = PREVIEW_AT_MOST) -> str:
    """The beginning of a text with its blanks made one."""
    words = " ".join(text[: 4 * at_most].split())
    return words if len(words) <= at_most else words[: at_most - 1] + "…"


def millis(timestamp: str) -> int:
    """A time as rollouts write it, in milliseconds; 0 when it cannot be read."""
    try:
        return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _seen(line: bytes) -> tuple[list[str], bool]:
    """What people said or were told in this line, and whether the user said it."""
    kind = kind_of(line)
    if kind is None or kind.type != EVENT or kind.event not in SEEN:
        return [], False
    if (
        kind.event == "item_completed"
        and b"UserMessage" not in line
        and b"AgentMessage" not in line
    ):
        return [], False
    payload = payload_as(line, _Event)
    if not isinstance(payload, _Event):
        return [], False
    if isinstance(payload.item, dict):
        item = item_from_wire(payload.item)
        asked = payload.item.get("type") == "UserMessage"
    else:
        item = legacy_item({"type": payload.type, "message": payload.message}, 0)
        asked = payload.type == "user_message"
    return ([] if item is None else texts_of([item])), asked


class _Event(Struct, frozen=True):
    type: str
    item: Any = None
    message: Any = None


def _item_text(line: bytes) -> list[str]:
    """The words of a message to or from the model, for files that kept nothing else."""
    kind = kind_of(line)
    if kind is None or kind.type != "response_item" or kind.event not in ("message", ""):
        return []
    item = item_of(line)
    if not isinstance(item, Message) or item.role == "developer":
        return []
    return [] if item.text.lstrip().startswith(CONTEXT) else [item.text]


def name_lines(data: bytes) -> dict[str, str]:
    """Names of threads by id, from the lines of `session_index.jsonl`; the last one counts."""
    names: dict[str, str] = {}
    for line in data.splitlines():
        try:
            found = NAME_LINE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        names[found.id] = found.thread_name
    return names


class NameLine(Struct, frozen=True, kw_only=True):
    """One line of `session_index.jsonl`."""

    id: str
    thread_name: str
    updated_at: str = ""


NAME_LINE: Final = msgspec.json.Decoder(NameLine)
