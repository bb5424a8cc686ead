"""The asking side of the app server's protocol: requests out, answers and notices in.

Whoever holds a `Peer` runs it in a task of its own; when the other side goes away every question
is answered with `GoneError` and every listener ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from octavo.rpc import messages
from octavo.rpc.lines import TooLong
from octavo.rpc.messages import Error, Failure, Id, Notification, Request, Response
from octavo.rpc.streams import Closed, Transport

MOST_WAITING: Final = 100_000
"""Notices that wait for one listener; one that is further behind is ended."""
Notice = tuple[str, Any]
Answer = Callable[[str, Any], Awaitable[Any]]
"""Answers a question of the other side: method and parameters in, the result out."""


class RpcError(Exception):
    """The other side answered with an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:  # noqa: ANN401 - JSON
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class GoneError(Exception):
    """The other side has gone away."""


class Listening:
    """Notices from now on, in order, until `close` or until the other side has gone."""

    def __init__(self, peer: "Peer") -> None:
        self._peer = peer
        self._queue: asyncio.Queue[Notice | None] = asyncio.Queue()

    def put(self, notice: Notice | None) -> None:
        """One more; None is the end."""
        if self._queue.qsize() > MOST_WAITING:
            self.close()
        self._queue.put_nowait(notice)

    async def __aiter__(self) -> AsyncIterator[Notice]:
        while (notice := await self._queue.get()) is not None:
            yield notice

    def close(self) -> None:
        """Hear no more."""
        self._peer.listeners.discard(self)
        self._queue.put_nowait(None)


async def refuse(method: str, params: Any) -> Any:  # noqa: ANN401 - JSON
    """Nobody answers questions here."""
    raise RpcError(messages.METHOD_NOT_FOUND, f"nobody answers {method} here")


class Peer:
    """One connection, from the client's end."""

    def __init__(self, transport: Transport, answer: Answer = refuse) -> None:
        self._transport = transport
        self._answer = answer
        self._asked: dict[Id, asyncio.Future[Any]] = {}
        self._next = 0
        self._gone = False
        self.listeners: set[Listening] = set()

    async def run(self) -> None:
        """Until the other side has gone, or cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                async for line in self._transport.lines():
                    if not isinstance(line, TooLong):
                        self._take(line, group)
        finally:
            self._leave()
            await self._transport.close()

    async def ask(self, method: str, params: Any = None) -> Any:  # noqa: ANN401 - JSON
        """A question; its answer. Raises RpcError, GoneError."""
        if self._gone:
            raise GoneError("the server has gone away")
        number, self._next = self._next, self._next + 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            await self._write(messages.request(number, method, {} if params is None else params))
            return await future
        finally:
            self._asked.pop(number, None)

    async def tell(self, method: str) -> None:
        """A notice without parameters. Raises GoneError."""
        await self._write(messages.notification(method, {}, 0))

    def listen(self) -> Listening:
        """Every notice from now on; close it."""
        listening = Listening(self)
        if self._gone:
            listening.put(None)
        else:
            self.listeners.add(listening)
        return listening

    async def close(self) -> None:
        """Let go; `run` ends."""
        self._leave()
        await self._transport.close()

    def _take(self, line: bytes, group: asyncio.TaskGroup) -> None:
        message = messages.decode(line)
        match message:
            case Notification(method=method, params=params):
                value = None if params is None else msgspec.json.decode(params)
                for listener in list(self.listeners):
                    listener.put((method, value))
            case Response(id=id_, result=result):
                future = self._asked.get(id_)
                if future is not None and not future.done():
                    future.set_result(msgspec.json.decode(result))
            case Failure(id=id_, code=code, message=text):
                future = self._asked.get(id_)
                if future is not None and not future.done():
                    future.set_exception(RpcError(code, text))
            case Request():
                group.create_task(self._respond(message), name=message.method)
            case _:
                return

    async def _respond(self, request: Request) -> None:
        params = None if request.params is None else msgspec.json.decode(request.params)
        try:
            line = messages.reply(request.id, await self._answer(request.method, params))
        except RpcError as error:
            line = messages.failure(request.id, Error(error.code, error.message))
        with suppress(GoneError):
            await self._write(line)

    async def _write(self, line: bytes) -> None:
        try:
            await self._transport.write(line)
        except Closed as error:
            self._leave()
            raise GoneError("the server has gone away") from error

    def _leave(self) -> None:
        if self._gone:
            return
        self._gone = True
        for future in self._asked.values():
            if not future.done():
                future.set_exception(GoneError("the server has gone away"))
        for listener in list(self.listeners):
            listener.close()
