"""What the tools of servers are called for models. Pure.

Names are `mcp__SERVER` and `TOOL`; wires without namespaces join them as `mcp__SERVER__TOOL`. A
name that would be too long, or that two tools would share, is cut and ends in a hash of what it
stands for. Which names a tool gets depends on the set of tools, never on their order.
"""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha1
from typing import Final, NamedTuple

LONGEST: Final = 64
"""Letters of the joined name that every model API takes."""
LONGEST_SPACE: Final = 46
"""Of `mcp__SERVER`, so that there is room for a hash and some letters of a tool."""
PREFIX: Final = "mcp__"
JOINT: Final = "__"
HASH_DIGITS: Final = 12
FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]")


class Name(NamedTuple):
    """What a model calls."""

    space: str
    tool: str

    @property
    def flat(self) -> str:
        """Both in one."""
        return self.space + JOINT + self.tool


def named(tools: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Name]:
    """(server, tool) -> its name; all of them differ, joined as well as apart."""
    pairs = sorted(set(tools))
    spaces = spaces_of({server for server, _ in pairs})
    wished = {pair: wish(spaces[pair[0]], pair) for pair in pairs}
    counts = Counter(name.flat for name in wished.values())
    given: dict[tuple[str, str], Name] = {}
    taken = {name.flat for name in wished.values() if counts[name.flat] == 1}
    for pair, name in wished.items():
        if counts[name.flat] == 1:
            given[pair] = name
            continue
        given[pair] = free(name.space, pair, taken)
        taken.add(given[pair].flat)
    return given


def spaces_of(servers: Iterable[str]) -> dict[str, str]:
    """Server -> the name of its tools together; all different."""
    plain = {server: PREFIX + clean(server) for server in servers}
    counts = Counter(plain.values())
    taken = {space for space in plain.values() if counts[space] == 1 and fits(space)}
    found: dict[str, str] = {}
    for server in sorted(plain):
        space = plain[server]
        if space not in taken or counts[space] > 1:
            space = next(one for one in marks(space, server, LONGEST_SPACE) if one not in taken)
            taken.add(space)
        found[server] = space
    return found


def fits(space: str) -> bool:
    """Neither empty nor too long."""
    return len(PREFIX) < len(space) <= LONGEST_SPACE


def wish(space: str, pair: tuple[str, str]) -> Name:
    """The name of a tool if nobody else wants it."""
    name = Name(space, clean(pair[1]))
    if name.tool and len(name.flat) <= LONGEST:
        return name
    return hashed(space, pair, 0)


def free(space: str, pair: tuple[str, str], taken: set[str]) -> Name:
    """A name with a hash that nobody has."""
    number = 0
    while (name := hashed(space, pair, number)).flat in taken:
        number += 1
    return name


def hashed(space: str, pair: tuple[str, str], number: int) -> Name:
    """The tool's name with a hash at its end."""
    room = LONGEST - len(space) - len(JOINT)
    return Name(space, marked(clean(pair[1]), "\0".join(pair), room, number))


def marks(text: str, raw: str, room: int) -> "Iterable[str]":
    """Names for `raw` that begin as `text` does, without end."""
    number = 0
    while True:
        yield marked(text, raw, room, number)
        number += 1


def marked(text: str, raw: str, room: int, number: int) -> str:
    """Cut to `room`, ending in `_` and the hash of `raw`."""
    identity = raw if not number else f"{raw}\0{number}"
    digest = sha1(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    tail = "_" + digest[:HASH_DIGITS]
    return text[: room - len(tail)] + tail


def clean(text: str) -> str:
    """Only letters that model APIs accept."""
    return FOREIGN.sub("_", text)
