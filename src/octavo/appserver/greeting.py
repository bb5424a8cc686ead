"""The first line of a client over standard input, answered while the engine is not loaded yet.

Loading it takes longer than everything else a client waits for at the start; what comes after the
first line waits in `rest`.
"""

import os
from typing import Final

import msgspec
from msgspec import Struct

from octavo.appserver.hello import Initialize, welcome
from octavo.rpc import messages
from octavo.rpc.lines import LONGEST

CHUNK: Final = 1 << 16


class Greeted(Struct, frozen=True):
    """What was read, and who was answered."""

    rest: bytes
    """Read and not answered."""
    asked: Initialize | None
    """None: the first line was something else and is in `rest`."""


def greet(stdin: int, stdout: int, home: str) -> Greeted | None:
    """Read the first line and answer it if it is `initialize`; None when there is no input."""
    data = b""
    while b"\n" not in data and len(data) <= LONGEST:
        more = os.read(stdin, CHUNK)
        if not more:
            return Greeted(data, None) if data.strip() else None
        data += more
    line, _, rest = data.partition(b"\n")
    asked, reply = answer(line, home)
    if asked is None:
        return Greeted(data, None)
    left = memoryview(reply)
    while left:
        left = left[os.write(stdout, left) :]
    return Greeted(rest, asked)


def answer(line: bytes, home: str) -> tuple[Initialize | None, bytes]:
    """The introduction of a client and the reply to it; nothing for any other line."""
    request = messages.decode(line)
    if not isinstance(request, messages.Request) or request.method != "initialize":
        return None, b""
    try:
        asked = msgspec.json.decode(request.params or b"{}", type=Initialize)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, b""  # the server says what is wrong with it
    return asked, messages.reply(request.id, welcome(asked, home))


def words(args: list[str]) -> tuple[str, ...] | None:
    """The settings on a plain command line; None when there is something to explain."""
    found: list[str] = []
    command = False
    rest = iter(args)
    for word in rest:
        match word:
            case "app-server" if not command:
                command = True
            case "-c" | "--config":
                value = next(rest, None)
                if value is None or "=" not in value:
                    return None
                found.append(value)
            case "--listen" if command:
                if next(rest, None) != "stdio://":
                    return None
            case "--stdio" if command:
                continue
            case _:
                return None
    return tuple(found) if command else None


def plain_home(environ: "os._Environ[str]") -> str | None:
    """The home folder; None when something about it has to be explained."""
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        value = environ.get(name)
        if value:
            return os.path.realpath(value) if os.path.isdir(value) else None
    return os.path.join(os.path.expanduser("~"), ".octavo")
