"""The few keys at the head of a Markdown file, without a YAML library. Pure.

Understood: `key: value` with or without quotes, values over several lines (folded, literal,
continued), tables in tables as `outer.inner`. Lists and everything else are passed over.
"""

import re
from typing import Final

FENCE: Final = "---"
LINE: Final = re.compile(r"( *)([A-Za-z0-9_][A-Za-z0-9_ .-]*?)\s*:(?:\s+(.*))?$")
BLOCK: Final = re.compile(r"([|>])([+-]?)\d?([+-]?)\s*(?:#.*)?$")
ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\", "/": "/"}


class FrontMatterError(ValueError):
    """The head of the file cannot be understood; says why."""


def split(text: str) -> tuple[dict[str, str], str]:
    """The keys at the head, and the rest; no keys when there is no head.

    Raises FrontMatterError for a head that does not end.
    """
    lines = text.removeprefix("\N{BYTE ORDER MARK}").splitlines()
    if not lines or lines[0].rstrip() != FENCE:
        return {}, text
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == FENCE:
            return keys_of(lines[1:number]), "\n".join(lines[number + 1 :]).lstrip("\n")
    raise FrontMatterError("the head begins with `---` and does not end")


def keys_of(lines: list[str]) -> dict[str, str]:
    """All plain values, by dotted key. Raises FrontMatterError for an open quote."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    at = 0
    while at < len(lines):
        match = LINE.match(lines[at])
        at += 1
        if match is None:
            continue
        depth, name, rest = len(match[1]), match[2], (match[3] or "").strip()
        above = [(d, n) for d, n in above if d < depth]
        key = ".".join([*(n for _, n in above), name])
        inner = _deeper(lines, at, depth)
        if block := BLOCK.match(rest):
            found[key] = _block(inner, folded=block[1] == ">")
            at += len(inner)
        elif not rest or rest.startswith("#"):
            above.append((depth, name))
        else:
            plain = [line for line in inner if not line.strip().startswith(("#", "- "))]
            if rest[0] in "\"'" or not any(LINE.match(line) for line in plain):
                rest = " ".join([rest, *(line.strip() for line in plain)]).strip()
                at += len(inner)
            found[key] = _value(rest)
    return found


def _deeper(lines: list[str], at: int, depth: int) -> list[str]:
    """The lines that belong to a key: indented deeper, or blank."""
    end = at
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip(" ")) > depth
    ):
        end += 1
    return lines[at:end]


def _block(lines: list[str], *, folded: bool) -> str:
    indent = min((len(one) - len(one.lstrip(" ")) for one in lines if one.strip()), default=0)
    cut = [line[indent:].rstrip() for line in lines]
    if not folded:
        return "\n".join(cut).strip("\n")
    paragraphs = re.split(r"\n{2,}", "\n".join(cut).strip("\n"))
    return "\n".join(" ".join(one.split("\n")) for one in paragraphs)


def _value(text: str) -> str:
    if text[0] == '"':
        return _double(text)
    if text[0] == "'":
        end = re.match(r"'((?:[^']|'')*)'", text)
        if end is None:
            raise FrontMatterError("a quote is not closed")
        return end[1].replace("''", "'")
    return re.split(r"\s#", text, maxsplit=1)[0].strip()


def _double(text: str) -> str:
    end = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    if end is None:
        raise FrontMatterError("a quote is not closed")
    return re.sub(r"\\(.)", lambda one: ESCAPES.get(one[1], one[0]), end[1])
