"""One server over the life of a session: started, watched, started once more, ended.

It is owned by one task, because the sessions of the protocol library belong to the task that opened
them. Calls come from other tasks. Nothing here loads the library before the server is started.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from octavo.mcp.base import CallTimeout, McpError, Progress, Reply, World, line_of, titled
from octavo.mcp.loading import loaded
from octavo.mcp.program import program
from octavo.protocol.errors import OctavoError
from octavo.protocol.mcp import (
    Elicitation,
    ElicitationAnswer,
    McpServer,
    McpTool,
    ServerState,
)

if TYPE_CHECKING:
    from octavo.mcp.connection import Connection

STARTS: Final = 2
"""The first, and one more when it dies later."""
LEAVE_S: Final = 5.0
"""For a server to be gone once the session is over; then its task is cancelled."""
REFRESH_S: Final = 10.0
"""For its list of tools, when it says that the list has changed."""
ASK_S: Final = 60.0
"""For lists, resources and prompts."""
Answer = TypeVar("Answer")
Heard = Callable[["Server"], None]


def unheard(_server: "Server") -> None:
    """Where nobody wants to know."""


class Server:
    """A server as the session sees it. `heard` is told of each change of its state or its tools."""

    def __init__(
        self,
        settings: McpServer,
        world: World,
        group: asyncio.TaskGroup,
        *,
        heard: Heard = unheard,
    ) -> None:
        self.settings = settings
        self.state: ServerState = "starting"
        self.error: str | None = None
        """Why it failed, in one line."""
        self.tools: tuple[McpTool, ...] = ()
        """Those the settings let through, by name."""
        self._world = world
        self._heard = heard
        self._connection: Connection | None = None
        self._settled = asyncio.Event()
        self._over = asyncio.Event()
        self._stale = asyncio.Event()
        self._timers: set[asyncio.Timeout] = set()
        self._task = group.create_task(self._run(), name=f"mcp {settings.name}")

    async def ready(self) -> None:
        """Until it has started or failed, and its list of tools is the newest."""
        await self._settled.wait()
        while self._connection is not None and self._connection.lost.is_set():
            self._settled.clear()  # its task has not noticed yet; it settles this either way
            await self._settled.wait()

    async def close(self) -> None:
        """End it."""
        self._over.set()
        if self.state != "starting":  # one that starts does not listen yet
            await asyncio.wait([self._task], timeout=LEAVE_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        *,
        meta: dict[str, Any] | None = None,
        progress: Progress = lambda _text: None,
    ) -> Reply:
        """Call one of its tools. Raises McpError; CallTimeout when it takes too long."""
        seconds = self.settings.tool_timeout_s
        connection = await self._up()
        try:
            async with self._limited(seconds):
                return await self._alive(
                    connection, connection.call(tool, arguments, meta=meta or {}, hear=progress)
                )
        except TimeoutError:
            raise CallTimeout(
                f"{titled(self.settings)}: {tool} took longer than {seconds:g} s",
                hint="`tool_timeout_sec` of the server says how long it may.",
            ) from None

    async def ask(self, question: Callable[["Connection"], Awaitable[Answer]]) -> Answer:
        """Anything else. Raises McpError."""
        connection = await self._up()
        try:
            async with asyncio.timeout(ASK_S):
                return await self._alive(connection, question(connection))
        except TimeoutError:
            raise McpError(f"{titled(self.settings)} did not answer in {ASK_S:g} s") from None

    @property
    def instructions(self) -> str:
        """What it says about itself."""
        return "" if self._connection is None else self._connection.instructions

    # ---- its life ---------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._lives()
        finally:
            self._connection = None
            if self.state == "starting":
                self._change("cancelled")
            self._settled.set()

    async def _lives(self) -> None:
        for number in range(1, STARTS + 1):
            problem = await self._live()
            if self._over.is_set():
                self._change("cancelled" if self.state == "starting" else self.state)
                return
            was_up, self._connection = self.state == "ready", None
            if not was_up or number == STARTS:
                again = " again" if number == STARTS else ""
                self._fail(f"{problem}{again}" if was_up else problem)
                return
            self._settled.clear()
            self._change("starting")

    async def _live(self) -> str:
        """Start it and stay with it. What went wrong, in words."""
        seconds = self.settings.startup_timeout_s
        connection: Connection | None = None
        try:
            async with (
                asyncio.timeout(seconds) as limit,
                program(self.settings.transport, self._world) as child,
            ):
                web = () if child is not None else ("http",)
                library = await loaded("connection", *web)
                connection = library.Connection(
                    self.settings, self._world, changed=self._stale.set, ask=self._put
                )
                # what loading the library took was our time, not the server's
                limit.reschedule(asyncio.get_running_loop().time() + seconds)
                async with connection.open(child):
                    tools = await self._listed(connection)
                    limit.reschedule(None)
                    self._begin(connection, tools)
                    await self._attend(connection)
            return f"{titled(self.settings)} has ended{connection.why()}"
        except TimeoutError:
            return f"{titled(self.settings)} was not ready after {seconds:g} s{why(connection)}"
        except Exception as error:  # noqa: BLE001 - a task supervisor: reported, one server is lost
            return self._reason(unwrapped(error), connection)

    def _reason(self, error: BaseException, connection: "Connection | None") -> str:
        if not isinstance(error, OctavoError):
            text = line_of(str(error) or type(error).__name__)
            return f"{titled(self.settings)} failed: {text}{why(connection)}"
        text = str(error)
        named = text if titled(self.settings) in text else f"{titled(self.settings)}: {text}"
        return line_of(named if error.hint is None else f"{named} ({error.hint})", 1000)

    async def _attend(self, connection: "Connection") -> None:
        """While it lives: fetch its tools again when it says they have changed."""
        while not self._over.is_set() and not connection.lost.is_set():
            await first(self._over, connection.lost, self._stale)
            if self._stale.is_set() and not connection.lost.is_set():
                self._stale.clear()
                self._settled.clear()
                with suppress(TimeoutError, McpError):  # it keeps the tools it had
                    async with asyncio.timeout(REFRESH_S):
                        self.tools = await self._listed(connection)
                self._settled.set()
                self._heard(self)

    async def _listed(self, connection: "Connection") -> tuple[McpTool, ...]:
        tools = {tool.name: tool for tool in await connection.tools()}
        kept = (tools[name] for name in sorted(tools) if self.settings.offers(name))
        return tuple(kept)

    def _begin(self, connection: "Connection", tools: tuple[McpTool, ...]) -> None:
        self._connection, self.tools = connection, tools
        self._change("ready")
        self._settled.set()

    def _fail(self, problem: str) -> None:
        self.error, self.tools, self._connection = problem, (), None
        self._change("failed")
        self._settled.set()

    def _change(self, state: ServerState) -> None:
        if state != self.state:
            self.state = state
            self._heard(self)
        if state == "cancelled":
            self._settled.set()

    # ---- its calls --------------------------------------------------------------------------

    async def _up(self) -> "Connection":
        await self.ready()
        if self._connection is None:
            raise McpError(self.error or f"{titled(self.settings)} is not running")
        return self._connection

    async def _alive(self, connection: "Connection", work: Awaitable[Answer]) -> Answer:
        """The answer, unless the server dies before it gives one."""
        lost: asyncio.Task[bool] | None = None
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(settled(work), name="mcp request")
            lost = group.create_task(connection.lost.wait(), name="mcp server lost")
            await asyncio.wait((asked, lost), return_when=asyncio.FIRST_COMPLETED)
            lost.cancel()
            if not asked.done():
                # what it said last may still be on its way
                await asyncio.wait((asked,), timeout=0.2)
                asked.cancel()
        if asked.cancelled():
            raise McpError(f"{titled(self.settings)} has ended{connection.why()}")
        answer, error = asked.result()
        if error is not None:
            raise error
        assert answer is not None
        return answer

    @asynccontextmanager
    async def _limited(self, seconds: float) -> AsyncIterator[None]:
        """A time limit that stands still while the user is asked something."""
        async with asyncio.timeout(seconds) as limit:
            self._timers.add(limit)
            try:
                yield
            finally:
                self._timers.discard(limit)

    async def _put(self, asked: Elicitation) -> ElicitationAnswer:
        loop = asyncio.get_running_loop()
        left = {
            limit: when - loop.time()
            for limit in self._timers
            if (when := limit.when()) is not None
        }
        for limit in left:
            limit.reschedule(None)
        try:
            return await self._world.elicit(asked)
        except OctavoError:
            return ElicitationAnswer(action="cancel")
        finally:
            for limit, seconds in left.items():
                if limit in self._timers:
                    limit.reschedule(loop.time() + max(seconds, 0.0))


async def settled(work: Awaitable[Answer]) -> tuple[Answer | None, OctavoError | None]:
    """What comes out, errors as values: a group would wrap them."""
    try:
        return await work, None
    except OctavoError as error:
        return None, error


async def first(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def why(connection: "Connection | None") -> str:
    """What is known of a server that does not do as it should."""
    return "" if connection is None else connection.why()


def unwrapped(error: BaseException) -> BaseException:
    """The first thing that went wrong."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
