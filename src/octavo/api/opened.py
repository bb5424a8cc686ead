"""A session as its door gets it, and the commands that belong to it."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from octavo.api.agents import Crew
from octavo.api.options import ThreadOptions
from octavo.engine.inputs import Load
from octavo.engine.session import Session
from octavo.protocol.approvals import ApprovalRequest, Decision
from octavo.tools.sessions import Sessions

if TYPE_CHECKING:
    from octavo.api.mcp import McpSession
    from octavo.api.memories import Memories
    from octavo.engine.reviewer import Reviewer
    from octavo.tools.python_repl import PythonRepl

NOBODY: Final = "nobody is there to answer"
HAND_OVER_S: Final = 10.0
"""For a thread's commands to end when it is closed."""


class Opened(Struct):
    """A session and what its door wants to know."""

    session: Session
    load: Load
    warnings: tuple[str, ...]
    commands: "Commands"
    crew: Crew | None = None
    repl: "PythonRepl | None" = None
    mcp: "McpSession | None" = None
    memories: "Memories | None" = None
    reviewer: "Reviewer | None" = None
    options: ThreadOptions = ThreadOptions()
    facts: dict[str, str] = {}
    home: str = ""


async def refuse(request: ApprovalRequest, /) -> Decision:
    """Where nobody can be asked."""
    return Decision.deny(NOBODY)


class Commands:
    """Owns the commands of one thread in a task of its own: they end where they began."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._over = asyncio.Event()
        self._ready: asyncio.Future[Sessions] = asyncio.get_running_loop().create_future()
        self._task = group.create_task(self._own(), name="commands of a thread")

    async def _own(self) -> None:
        async with Sessions() as sessions:
            self._ready.set_result(sessions)
            await self._over.wait()

    async def sessions(self) -> Sessions:
        """The table of commands, once it is there."""
        return await self._ready

    async def end_all(self) -> None:
        """End every command that still runs; new ones may be started."""
        await (await self._ready).end_all()

    async def close(self) -> None:
        """End every command, for good."""
        self._over.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_S):
                await asyncio.shield(asyncio.wait([self._task]))
        self._task.cancel()
        await asyncio.wait([self._task])
