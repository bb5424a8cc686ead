"""What the modules of this room share: errors, seams, and the answer of a call.

Loads nothing of the protocol library.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from octavo.process.child import Child
from octavo.process.spec import ProcessSpec
from octavo.protocol.errors import OctavoError
from octavo.protocol.mcp import Elicitation, ElicitationAnswer, McpServer, StdioTransport

if TYPE_CHECKING:
    import ssl

    from octavo.mcp.tokens import Tokens

Json = dict[str, object]
Progress = Callable[[str], None]
"""Takes a line of text while a call runs; does not block."""
Starter = Callable[[ProcessSpec, StdioTransport], Awaitable[Child]]
"""Starts a server's program; inside the sandbox when its transport says so. Whoever calls closes
the child. Raises OctavoError."""


class McpError(OctavoError):
    """A server could not be started or reached, or did not do as asked."""


class CallTimeout(McpError):  # noqa: N818 - says what happened
    """A tool took longer than its server's `tool_timeout_sec`."""


class Elicitor(Protocol):
    """Asks the user what a server wants to know."""

    async def __call__(self, asked: Elicitation, /) -> ElicitationAnswer: ...


async def decline(_asked: Elicitation, /) -> ElicitationAnswer:
    """Where nobody can be asked."""
    return ElicitationAnswer(action="decline")


class Reply(Struct, frozen=True, kw_only=True):
    """What a tool answered, as it came over the wire."""

    content: tuple[Json, ...] = ()
    structured: object = None
    is_error: bool = False


class World(Struct, frozen=True, kw_only=True):
    """What servers need of the program they belong to."""

    cwd: str
    """Where programs start that name no folder of their own. Absolute."""
    environ: Mapping[str, str]
    start: Starter
    elicit: Elicitor = decline
    tokens: "Tokens | None" = None
    """The stored logins; None: there are none."""
    verify: "ssl.SSLContext | bool" = True
    """What certificates are checked against."""
    version: str = "0"
    """Of this program, for the handshake."""


def line_of(text: str, most: int = 300) -> str:
    """A text as one line that can be printed."""
    line = " ".join(text.split())
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line
    )
    return line if len(line) <= most else line[: most - 1] + "…"


def titled(server: McpServer) -> str:
    """A server in a sentence."""
    return f"MCP server {server.name!r}"
