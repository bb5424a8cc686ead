"""One client: its requests become calls, notices go out in order, a slow one costs bounded memory.

Notices wait in a queue of their own; neighbouring deltas of one item are joined when the client
is behind, items never are dropped. A reply that has to come before the notices it causes holds
the queue until it is out.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from octavo.appserver.errors import MethodError, from_error
from octavo.appserver.narrator import DELTAS
from octavo.protocol.errors import OctavoError
from octavo.rpc import messages
from octavo.rpc.lines import TooLong
from octavo.rpc.messages import Bad, Error, Failure, Id, Notification, Request, Response
from octavo.rpc.streams import Closed, Transport

if TYPE_CHECKING:
    from octavo.process.control import Control

MERGE_FROM: Final = 64
MOST_MERGED: Final = 1 << 20
LAST_WORDS_S: Final = 2.0
"""At the end of input: this long for answers to what was asked before."""
MOST_RUNNING: Final = 256
"""Requests of one client at work at once; more wait unread."""

REPLY_FIRST: Final = frozenset(
    {"thread/start", "thread/resume", "thread/fork", "turn/start", "review/start",
     "thread/goal/set", "thread/goal/clear",
     "thread/compact/start", "thread/name/set", "thread/archive", "thread/unarchive"}
)  # fmt: skip
"""Methods whose reply comes before the notices they cause."""

REPLY_LAST: Final = frozenset({"command/exec"})
"""Methods whose reply comes after the notices they caused."""

Call = Callable[["Connection", Request], Awaitable[Any]]


class GoneError(Exception):
    """The client has gone before it answered."""


class Connection:
    """A client. `call` carries out a request; `now_ms` is the time for notices."""

    def __init__(self, transport: Transport, call: Call, now_ms: Callable[[], int]) -> None:
        self._transport = transport
        self._call = call
        self._now_ms = now_ms
        self.client: str | None = None
        """The name it gave; None until `initialize`."""
        self.experimental = False
        self.unwanted: frozenset[str] = frozenset()
        self.processes: dict[str, Control] = {}
        """Commands it started and can type into, by the id it gave."""
        self.watches: dict[str, asyncio.Task[None]] = {}
        """Paths it hears of."""
        self.searches: dict[str, tuple[str, ...]] = {}
        """Where its searches look."""
        self.closing: list[Callable[[], None]] = []
        """Called when it has gone."""
        self._notices: deque[tuple[str, dict[str, Any], int] | bytes] = deque()
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._holds = 0
        self._asked: dict[Id, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._gone = False
        self._running = asyncio.Semaphore(MOST_RUNNING)

    async def serve(self) -> None:
        """Until the client has gone and everything it asked for is done or stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump(), name="notices")
                calls = group.create_task(self._listen(group), name="requests")
                await calls
                self._leave()
                pump.cancel()
        finally:
            self._leave()
            await self._transport.close()

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """A notice for this client; returns at once."""
        if self._gone or method in self.unwanted or self.client is None:
            return
        if len(self._notices) >= MERGE_FROM and method in DELTAS and self._merged(method, params):
            return
        self._notices.append((method, params, self._now_ms()))
        self._news.set()

    async def ask(self, method: str, params: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """A question to this client; its answer. Raises GoneError, MethodError for a refusal."""
        if self._gone:
            raise GoneError
        id_, self._next_id = self._next_id, self._next_id + 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[id_] = future
        self._notices.append(messages.request(id_, method, params))  # after the item it is about
        self._news.set()
        try:
            return await future
        finally:
            self._asked.pop(id_, None)

    @property
    def last_question(self) -> int:
        """The id of the question that was asked last."""
        return self._next_id - 1

    # ---- in -------------------------------------------------------------------------------

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        tasks: set[asyncio.Task[None]] = set()
        async for line in self._transport.lines():
            message = (
                Bad(messages.INVALID_REQUEST, "Invalid request: the message is too long")
                if isinstance(line, TooLong)
                else messages.decode(line)
            )
            match message:
                case Request():
                    await self._running.acquire()
                    task = group.create_task(self._handle(message), name=message.method)
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    task.add_done_callback(lambda _: self._running.release())
                case Response(id=id_, result=result):
                    self._answered(id_, msgspec.json.decode(result))
                case Failure(id=id_, code=code, message=text):
                    self._answered(id_, MethodError(code, text))
                case Bad(code=code, message=text, id=id_):
                    await self._send(messages.failure(id_, Error(code, text)))
                case Notification():
                    continue
            if self._gone:
                break
        if tasks:  # what was asked before the end of input is answered
            await asyncio.wait(tasks, timeout=LAST_WORDS_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self._notices and not self._gone:
                    self._news.set()
                    await self._told.wait()
        for task in tasks:
            task.cancel()

    async def _handle(self, request: Request) -> None:
        first = request.method in REPLY_FIRST
        self._holds += first
        try:
            try:
                line = messages.reply(request.id, await self._call(self, request))
            except MethodError as error:
                data = msgspec.UNSET if error.data is None else error.data
                line = messages.failure(request.id, Error(error.code, str(error), data))
            except OctavoError as error:
                known = from_error(error)
                line = messages.failure(request.id, Error(known.code, str(known)))
            if request.method in REPLY_LAST:
                self._notices.append(line)
            else:
                await self._send(line)
        finally:
            self._holds -= first
            self._news.set()

    def _answered(self, id_: Id, answer: Any) -> None:  # noqa: ANN401 - any JSON value
        future = self._asked.get(id_)
        if future is None or future.done():
            return  # an answer to nothing
        if isinstance(answer, MethodError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    # ---- out ------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self._told.clear()
            while self._notices and not self._holds:
                one = self._notices.popleft()
                line = one if isinstance(one, bytes) else messages.notification(*one)
                await self._send(line)
            self._told.set()

    async def _send(self, line: bytes) -> None:
        with suppress(Closed):
            await self._transport.write(line)
            return
        self._leave()

    def _merged(self, method: str, params: dict[str, Any]) -> bool:
        newest = self._notices[-1]
        if isinstance(newest, bytes):
            return False
        last_method, last, at = newest
        same = last_method == method and all(
            last.get(key) == params.get(key) for key in params if key != "delta"
        )
        if not same or len(last["delta"]) > MOST_MERGED:
            return False
        self._notices.pop()
        self._notices.append((method, {**last, "delta": last["delta"] + params["delta"]}, at))
        return True

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        for future in self._asked.values():
            if not future.done():
                future.set_exception(GoneError())
        for called in self.closing:
            called()
        self.closing.clear()
        for control in self.processes.values():
            control.terminate()
        for watching in self.watches.values():
            watching.cancel()
