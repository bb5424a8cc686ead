"""The server: one client on lines, the methods of MCP, calls that run side by side.

Built on `octavo.rpc` and not on the official package, whose import alone takes longer than an
editor waits for the first answer; that package is the partner in the tests.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from octavo._version import __version__
from octavo.api.engine import Engine
from octavo.mcpserver import offer, wire
from octavo.mcpserver.calls import Call, Calls, GoneError, NotAnsweredError
from octavo.rpc import messages
from octavo.rpc.lines import TooLong
from octavo.rpc.messages import Bad, Error, Failure, Id, Notification, Request, Response
from octavo.rpc.streams import Closed, Transport

REVISIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Of the protocol; the newest is the last."""
MOST_CALLS: Final = 64
"""At work at once; one more is refused."""
END_S: Final = 15.0
"""How long turns may take to end after the client has gone."""
Json = dict[str, Any]


class Initialize(Struct, frozen=True, kw_only=True, rename="camel"):
    """`initialize`: what we look at."""

    protocol_version: str
    capabilities: dict[str, Any] = {}
    client_info: dict[str, Any] = {}


class Cancelled(Struct, frozen=True, kw_only=True, rename="camel"):
    """`notifications/cancelled`."""

    request_id: Id


class RefusedError(Exception):
    """A request that gets an error: code, words, data."""

    def __init__(self, code: int, message: str, data: Any = msgspec.UNSET) -> None:  # noqa: ANN401 - JSON
        super().__init__(message)
        self.error = Error(code, message, data)


class Server:
    """Serves one client with an engine. `group` owns the calls."""

    def __init__(self, engine: Engine, transport: Transport, group: asyncio.TaskGroup) -> None:
        self._transport = transport
        self._group = group
        self._calls = Calls(engine, self)
        self._running: dict[Id, tuple[Call, asyncio.Task[None]]] = {}
        self._asked: dict[Id, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._gone = False
        self._initialized = False
        self.elicits = False
        """The client can ask a person."""
        self.elicits_urls = False
        """It can send a person to an address."""

    async def serve(self) -> None:
        """Until the client has nothing more to say; then everything it asked for is stopped."""
        try:
            async for line in self._transport.lines():
                await self._heard(line)
                if self._gone:
                    break
        finally:
            self._leave()
            await self._finish()
            await self._transport.close()

    # ---- in -------------------------------------------------------------------------------

    async def _heard(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            text = "Invalid request: the message is too long"
            await self.send(wire.failure(None, Error(messages.INVALID_REQUEST, text)))
            return
        match messages.decode(line):
            case Request() as request:
                await self._asked_for(request)
            case Notification(method="notifications/cancelled", params=params):
                await self._cancelled(params)
            case Response(id=id_, result=result):
                self._answered(id_, result)
            case Failure(id=id_, message=text):
                self._answered(id_, NotAnsweredError(text))
            case Bad(code=code, message=text, id=id_):
                await self.send(wire.failure(id_, Error(code, text)))
            case Notification():
                return

    async def _asked_for(self, request: Request) -> None:
        try:
            if request.method == "tools/call":
                self._call(request)
                return
            line = wire.reply(request.id, self._method(request))
        except RefusedError as refused:
            line = wire.failure(request.id, refused.error)
        await self.send(line)

    def _method(self, request: Request) -> Json:
        match request.method:
            case "ping":
                return {}
            case "initialize":
                return self._initialize(parsed(request.params, Initialize))
            case "tools/list":
                self._greeted()
                return {"tools": offer.tools()}
            case name:  # no resources, no prompts: that is what our capabilities say
                text = f"method not found: {name}"
                raise RefusedError(messages.METHOD_NOT_FOUND, text, {"method": name})

    def _initialize(self, asked: Initialize) -> Json:
        if self._initialized:
            raise RefusedError(messages.INVALID_REQUEST, "already initialized")
        self._initialized = True
        able = asked.capabilities.get("elicitation")
        # an empty object is what clients say that know forms only
        self.elicits = isinstance(able, dict) and (not able or "form" in able)
        self.elicits_urls = isinstance(able, dict) and "url" in able
        wanted = asked.protocol_version
        return {
            "protocolVersion": wanted if wanted in REVISIONS else REVISIONS[-1],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {
                "name": "octavo-mcp-server",
                "title": "Octavo",
                "version": __version__,
                "user_agent": f"octavo_mcp_server/{__version__}",
            },
        }

    def _greeted(self) -> None:
        if not self._initialized:
            raise RefusedError(messages.INVALID_REQUEST, "not initialized: send initialize first")

    def _call(self, request: Request) -> None:
        self._greeted()
        asked = parsed(request.params, offer.CallTool)
        if request.id in self._running:
            raise RefusedError(messages.INVALID_REQUEST, "a request with this id is at work")
        if len(self._running) >= MOST_CALLS:
            text = f"{MOST_CALLS} calls are at work: wait for one of them to end"
            raise RefusedError(messages.INVALID_REQUEST, text)
        call = Call(request.id, None if asked.meta is None else asked.meta.progress_token)
        task = self._group.create_task(self._work(call, asked), name="call")
        self._running[request.id] = (call, task)

    async def _work(self, call: Call, asked: offer.CallTool) -> None:
        try:
            line = wire.reply(call.id, await self._calls.run(call, asked))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the server
            text = f"{type(error).__name__}: {error}"
            line = wire.failure(call.id, Error(messages.INTERNAL_ERROR, text))
        finally:
            self._running.pop(call.id, None)
        if not call.cancelled:  # MCP wants no answer then
            await self.send(line)

    async def _cancelled(self, params: Raw | None) -> None:
        with suppress(RefusedError):
            found = self._running.get(parsed(params, Cancelled).request_id)
            if found is not None:
                found[0].cancelled = True
                await found[0].stop()

    def _answered(self, id_: Id, answer: Raw | NotAnsweredError) -> None:
        future = self._asked.get(id_)
        if future is None or future.done():
            return  # an answer to nothing
        if isinstance(answer, NotAnsweredError):
            future.set_exception(answer)
        else:
            future.set_result(msgspec.json.decode(answer))

    # ---- out ------------------------------------------------------------------------------

    async def send(self, line: bytes) -> None:
        """One line, in order; waits while the client is slow."""
        if self._gone:
            return
        with suppress(Closed):
            await self._transport.write(line)
            return
        self._leave()

    async def tell(self, method: str, params: Json) -> None:
        """A notice."""
        await self.send(wire.notification(method, params))

    async def ask(self, method: str, params: Json) -> Any:  # noqa: ANN401 - JSON
        """A question; its answer. Raises GoneError, NotAnsweredError when it is an error."""
        id_, self._next_id = self._next_id, self._next_id + 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[id_] = future
        try:
            await self.send(wire.request(id_, method, params))
            if self._gone:
                raise GoneError
            return await future
        except asyncio.CancelledError:  # the turn was stopped: nobody needs the answer any more
            gone = {"requestId": id_, "reason": "the turn was stopped"}
            note = self.tell("notifications/cancelled", gone)
            self._group.create_task(note, name="withdraw")
            raise
        finally:
            del self._asked[id_]

    def _leave(self) -> None:
        self._gone = True
        for future in self._asked.values():
            if not future.done():
                future.set_exception(GoneError())

    async def _finish(self) -> None:
        running = list(self._running.values())
        for call, _ in running:
            call.cancelled = True
            await call.stop()
        tasks = [task for _, task in running]
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
        for task in tasks:
            task.cancel()


def parsed(params: Raw | None, kind: type[Any]) -> Any:  # noqa: ANN401 - a `kind`
    """The parameters of a method. Raises RefusedError."""
    try:
        return msgspec.json.decode(b"{}" if params is None else params, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RefusedError(messages.INVALID_PARAMS, f"Invalid params: {error}") from error


async def run(opened: Callable[[], Any], transport: Transport) -> None:
    """Open an engine and serve one client until it has gone. Raises OctavoError."""
    async with opened() as engine, asyncio.TaskGroup() as group:
        await Server(engine, transport, group).serve()
