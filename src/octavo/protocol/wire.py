"""Encoders and decoders, made once; how history items look on disk and to the Responses API.

An item is decoded in two steps (JSON, then its type), so that unknown kinds and unknown fields
are kept instead of refused. Nothing here raises for a strange item; broken JSON does.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from octavo.protocol.history import (
    EXTRA,
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    HistoryItem,
    Item,
    KnownItem,
    LocalShellCall,
    Message,
    Reasoning,
    Unknown,
    WebSearchCall,
)

JSON: Final = msgspec.json.Encoder()
ANY: Final = msgspec.json.Decoder()

KINDS: Final[dict[str, type[KnownItem]]] = {
    "message": Message,
    "reasoning": Reasoning,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "local_shell_call": LocalShellCall,
    "web_search_call": WebSearchCall,
    "compaction": Compaction,
}
FIELDS: Final[dict[str, frozenset[str]]] = {
    tag: frozenset(kind.__struct_encode_fields__) - {EXTRA} | {"type"}
    for tag, kind in KINDS.items()
}


def item_from(raw: Mapping[str, Any]) -> HistoryItem:
    """The item a JSON object stands for; `Unknown` when it is none we know."""
    tag = raw.get("type")
    kind = KINDS.get(tag) if isinstance(tag, str) else None
    if kind is None or not isinstance(tag, str):
        return Unknown(raw=raw)
    known = FIELDS[tag]
    extra = {key: value for key, value in raw.items() if key not in known}
    plain: Mapping[str, Any] = raw
    if extra:
        plain = {key: value for key, value in raw.items() if key in known}
        plain[EXTRA] = extra
    if tag == "message" and isinstance(raw.get("content"), str):
        plain = {**plain, "content": [_part(raw)]}
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError:
        return Unknown(raw=raw)


def _part(raw: Mapping[str, Any]) -> dict[str, Any]:
    tag = "output_text" if raw.get("role") == "assistant" else "input_text"
    return {"type": tag, "text": raw["content"]}


def item_to(item: HistoryItem) -> Any:  # noqa: ANN401 - what the encoder takes
    """The value to hand to an encoder in place of the item."""
    if isinstance(item, Unknown):
        return item.raw
    return item if not item.extra else _unfolded(item)


def _unfolded(item: Item) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    plain.update(plain.pop(EXTRA))
    return plain


def encode_item(item: HistoryItem) -> bytes:
    """The item as one line of JSON."""
    return JSON.encode(item_to(item))


def decode_item(data: bytes | str) -> HistoryItem:
    """The item in a piece of JSON.

    Raises msgspec.DecodeError when it is not JSON; anything that is JSON but not an object comes
    back as `Unknown` under the key `value`.
    """
    raw = ANY.decode(data)
    return item_from(raw) if isinstance(raw, dict) else Unknown(raw={"value": raw})
