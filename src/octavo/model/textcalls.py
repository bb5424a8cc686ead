"""Calls that a small model wrote into its message instead of calling: JSON in fences, XML tags, markers.

Pure. Only names that were offered count, so that text about calls stays text. What is not
recognised stays in the message, to the letter.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.model.codec import Offered, as_json_text, is_object, parameters
from octavo.protocol.wire import ANY, JSON

TAGS: Final = "tool_call|function_call|tool_use|tool|toolcall|functioncall"
NAME_KEYS: Final = ("name", "function", "tool", "tool_name", "function_name")
ARGUMENT_KEYS: Final = ("arguments", "parameters", "args", "params", "input", "tool_input")

OPENINGS: Final = re.compile(
    rf"<(?:{TAGS})>|<function=|<invoke\b|<\|tool_call\|?>|<\|python_tag\|>|\[TOOL_CALLS\]"
    r"|```(?:json|tool_call|tool_code|tool|xml)?\s*[{\[<]"
)
"""Where a call may begin. A message that begins with a bracket is looked at as well."""
_PARTIAL: Final = tuple(
    [f"<{tag}>" for tag in TAGS.split("|")]
    + ["<function=", "<invoke ", "<|tool_call|>", "<|python_tag|>", "[TOOL_CALLS]"]
)
_FENCE_START: Final = re.compile(r"```(?:json|tool_call|tool_code|tool|xml)?\s*\Z")
# The end of a fence stands on a line of its own or right behind the JSON: backticks inside a
# JSON string (a patch of a Markdown file) end nothing.
_FENCE: Final = re.compile(r"```([\w.+-]*)(.*?)(?:\n[ \t]*```|(?<=[}\]>])```|\Z)", re.DOTALL)
_FENCE_WORDS: Final = ("", "json", "tool_call", "tool_code", "tool", "xml")
_TAGGED: Final = re.compile(rf"<({TAGS})>(.*?)(?:</\1>|\Z)", re.DOTALL)
_FUNCTION: Final = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER: Final = re.compile(
    r"<parameter=([^>\s]+)>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)
_INVOKE: Final = re.compile(r"<invoke\s+name=\"([^\"]+)\">(.*?)(?:</invoke>|\Z)", re.DOTALL)
_INVOKE_PARAMETER: Final = re.compile(
    r"<parameter\s+name=\"([^\"]+)\"[^>]*>(.*?)(?:</parameter>|\Z)", re.DOTALL
)
_WRAPPERS: Final = re.compile(
    rf"</?(?:{TAGS}|tool_calls|function_calls)>|<\|/?tool_call\|?>|<\|eom_id\|>|<\|eot_id\|>"
)
_MISTRAL: Final = re.compile(r"\[TOOL_CALLS\]\s*([\w.-]+)\s*(?:\[ARGS\])?\s*(?=\{)")


class TextCall(Struct, frozen=True, kw_only=True):
    """One call found in text."""

    name: str
    """Flat, as offered."""
    arguments: str
    """JSON."""


class Found(Struct, frozen=True, kw_only=True):
    """A message, taken apart."""

    text: str
    """What is left to show; the message itself when there are no calls."""
    calls: tuple[TextCall, ...] = ()


Span = tuple[int, int, list[TextCall]]


def find(text: str, tools: Mapping[str, Offered]) -> Found:
    """The calls in a finished message, in their order."""
    spans = _without_overlap(_spans(text, tools)) if tools else []
    calls = [call for _, _, some in spans for call in some]
    if not calls:
        return Found(text=text)
    rest: list[str] = []
    at = 0
    for start, end, _ in spans:
        rest.append(text[at:start])
        at = end
    rest.append(text[at:])
    return Found(text=_WRAPPERS.sub("", "".join(rest)).strip(), calls=tuple(calls))


def safe_until(text: str, shown: int) -> int:
    """Up to where an unfinished message is certainly not part of a call and may be shown.

    `shown` is what this function said last, 0 at first. A fence that turned out to hold something
    else is let go again.
    """
    lead = len(text) - len(text.lstrip())
    if text[lead : lead + 1] in ("{", "["):
        return max(shown, lead)
    at = shown
    while (found := OPENINGS.search(text, at)) is not None:
        if not found[0].startswith("```"):
            return found.start()
        closing = text.find("```", found.end())
        if closing < 0 or closing + 3 == len(text):
            return found.start()
        body = text[found.end() - 1 : closing]
        if body.startswith("<") or any(f'"{key}"' in body for key in NAME_KEYS):
            return found.start()
        at = closing + 3
    return max(shown, _before_partial(text, at))


def _before_partial(text: str, at: int) -> int:
    """Keep back an end that may grow into an opening."""
    if (fence := _FENCE_START.search(text, at)) is not None:
        return fence.start()
    for size in range(min(len(text) - at, 16), 0, -1):
        end = text[-size:]
        if "```json".startswith(end) or any(opening.startswith(end) for opening in _PARTIAL):
            return len(text) - size
    return len(text)


def _spans(text: str, tools: Mapping[str, Offered]) -> Iterator[Span]:
    for match in _FUNCTION.finditer(text):
        yield from _xml(match, _PARAMETER, tools)
    for match in _INVOKE.finditer(text):
        yield from _xml(match, _INVOKE_PARAMETER, tools)
    for match in _TAGGED.finditer(text):
        body = match[2].strip().removeprefix("```json").strip("`").strip()
        if calls := _calls_in(body, tools) or _calls_in(_first_json(body), tools):
            yield match.start(), match.end(), calls
    for match in _FENCE.finditer(text):
        if match[1] in _FENCE_WORDS and (calls := _calls_in(match[2], tools)):
            yield match.start(), match.end(), calls
    yield from _marked(text, tools)
    yield from _bare(text, tools)


def _without_overlap(spans: Iterator[Span]) -> list[Span]:
    kept: list[Span] = []
    for start, end, calls in spans:  # the more telling forms come first
        if all(end <= other[0] or start >= other[1] for other in kept):
            kept.append((start, end, calls))
    return sorted(kept, key=lambda span: span[0])


def _xml(
    match: "re.Match[str]", parameter: "re.Pattern[str]", tools: Mapping[str, Offered]
) -> Iterator[Span]:
    tool = tools.get(match[1])
    if tool is None:
        return
    types = _types(tool)
    values = {name: _typed(value, types.get(name)) for name, value in parameter.findall(match[2])}
    if not values and (body := match[2].strip()):
        whole = _json(body)
        if not is_object(whole):
            return
        values = whole
    yield (
        match.start(),
        match.end(),
        [TextCall(name=match[1], arguments=JSON.encode(values).decode())],
    )


def _types(tool: Offered) -> dict[str, object]:
    properties = parameters(tool.tool).get("properties")
    if not is_object(properties):
        return {}
    return {name: one.get("type") for name, one in properties.items() if is_object(one)}


def _typed(text: str, wanted: object) -> object:
    """A value between tags: as text where text is wanted, else as the JSON it is."""
    text = text.removeprefix("\n").removesuffix("\n")
    if wanted == "string":
        return text
    if wanted is None:
        found = _json(text.strip())
        return found if is_object(found) or isinstance(found, list) else text
    found = _json(text.strip().lower() if wanted == "boolean" else text.strip())
    return text if found is _NOTHING else found


def _marked(text: str, tools: Mapping[str, Offered]) -> Iterator[Span]:
    """`[TOOL_CALLS]` and `<|python_tag|>`, with JSON behind them."""
    for match in _MISTRAL.finditer(text):
        body = _first_json(text[match.end() :])
        if match[1] in tools and is_object(arguments := _json(body)):
            call = TextCall(name=match[1], arguments=JSON.encode(arguments).decode())
            yield match.start(), match.end() + len(body), [call]
    for marker in ("[TOOL_CALLS]", "<|python_tag|>", "<|tool_call|>", "<|tool_call>"):
        at = text.find(marker)
        while at >= 0:
            behind = text[at + len(marker) :]
            skipped = len(behind) - len(behind.lstrip())
            body = _first_json(behind[skipped:])
            if calls := _calls_in(body, tools):
                yield at, at + len(marker) + skipped + len(body), calls
            at = text.find(marker, at + 1)


def _bare(text: str, tools: Mapping[str, Offered]) -> Iterator[Span]:
    """The whole message is JSON, or several objects in a row."""
    body = text.strip()
    if body[:1] not in ("{", "["):
        return
    calls: list[TextCall] = []
    while body:
        first = _first_json(body)
        some = _calls_in(first, tools)
        if not some:
            return
        calls += some
        body = body[len(first) :].lstrip(" \t\r\n;,")
    yield 0, len(text), calls


def _calls_in(body: str, tools: Mapping[str, Offered]) -> list[TextCall]:
    """All of the JSON has to be calls of offered tools; else none of it is."""
    found = _json(body.strip())
    values = found if isinstance(found, list) else [found]
    calls = [_call(value, tools) for value in values]
    return [call for call in calls if call is not None] if None not in calls else []


def _call(value: object, tools: Mapping[str, Offered]) -> TextCall | None:
    if not is_object(value):
        return None
    inside = value.get("function")
    if is_object(inside):  # the shape of the Chat API itself
        return _call(inside, tools)
    name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), "")
    if name not in tools:
        return None
    key = next((key for key in ARGUMENT_KEYS if key in value), None)
    if key is None:
        return None if len(value) > 1 else TextCall(name=name, arguments="{}")
    arguments = value[key]
    if not is_object(arguments) and not isinstance(arguments, str) and arguments is not None:
        return None
    return TextCall(name=name, arguments=as_json_text(arguments))


class _Nothing:
    """What is not JSON; None would be JSON's null."""


_NOTHING: Final = _Nothing()


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return ANY.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _NOTHING


def _first_json(text: str) -> str:
    """The first complete object or list at the beginning of the text; all of it when there is none."""
    depth, in_string, escaped = 0, False, False
    for at, char in enumerate(text):
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth <= 0:
                return text[: at + 1]
    return text
