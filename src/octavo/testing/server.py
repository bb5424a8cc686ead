"""A model server on the loopback that follows a script, on all three wires at once.

For tests that want real sockets or a real process, and for benchmarks:
`python -m octavo.testing.server SCRIPT.json` prints its address and serves until it is ended.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from octavo.model.provider import WireApi
from octavo.protocol.errors import UsageError
from octavo.testing.script import Cut, Fail, Hold, Reply, Script, Slow, Stall, outputs_of
from octavo.testing.wires import Piece, refusal, render

PATHS: Final[dict[str, WireApi]] = {
    "/responses": "responses",
    "/chat/completions": "chat",
    "/messages": "messages",
}
"""How a path ends, whatever stands before it."""
MOST_HEAD: Final = 64 * 1024
START_S: Final = 10.0


class Received(Struct, frozen=True, kw_only=True):
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes
    at_s: float
    """On the monotonic clock of this process, when the request was complete."""

    @property
    def json(self) -> dict[str, Any]:
        """The body, parsed."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def tool_outputs(self) -> list[str]:
        """The words of all tool answers, oldest first (Responses wire)."""
        return outputs_of(self.json)


class ModelServer(Script):
    """A `Script` behind a socket.

    `async with ModelServer().says("Hi.") as server:` in a test of one process; plain `with` runs
    it in a thread of its own, for tests that start programs. `server.url` is a `base_url`.
    """

    def __init__(self, *replies: Reply, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(*replies)
        self.requests: list[Received] = []
        """Requests for an answer, in the order they came."""
        self.models: list[str] = ["scripted"]
        """What `GET /models` lists."""
        self.url = ""
        self._host, self._port = host, port
        self._items = 0
        self._server: asyncio.Server | None = None
        self._over = asyncio.Event()
        self._connections: set[asyncio.Task[Any]] = set()
        self._gates: dict[str, asyncio.Event] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def release(self, gate: str) -> None:
        """Let the reply that stands at `Hold(gate=…)` go on. From any thread."""
        opened = self._gate(gate)
        if self._loop is None:
            opened.set()
        else:
            self._loop.call_soon_threadsafe(opened.set)

    def listen_on(self, port: int) -> None:
        """Use this port instead of a free one; before it starts."""
        self._port = port

    async def serve_forever(self, say: Callable[[str], None]) -> None:
        """Start, say the address, and stay."""
        async with self:
            say(self.url)
            await self._over.wait()

    # in this loop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, self._host, self._port, limit=MOST_HEAD)
        self._server = server
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()  # ends every connection that stalls
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._connections:  # Python 3.11 does not wait for them above
            await asyncio.wait(self._connections)

    # in a thread

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(ready)), name="model server", daemon=True
        )
        self._thread.start()
        if not ready.wait(START_S):
            raise TimeoutError("the model server did not start")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        if self._thread is not None:
            self._thread.join(START_S)

    async def _live(self, ready: threading.Event) -> None:
        async with self:
            ready.set()
            await self._over.wait()

    # one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (got := await self._until_over(_read(reader))) is not None:
                if not await self._answer(got, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side has gone, which is its right
        finally:
            self._connections.discard(task)
            writer.close()

    async def _until_over(self, work: Any) -> Any:  # noqa: ANN401 - a coroutine and its result
        """The result, or None when the server ends first."""
        task = asyncio.ensure_future(work)
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            for one in (task, over):
                if not one.done():
                    one.cancel()
            await asyncio.wait({task, over})

    async def _answer(self, got: Received, writer: asyncio.StreamWriter) -> bool:
        """False: the connection is used up."""
        wire = next((wire for end, wire in PATHS.items() if got.path.endswith(end)), None)
        if wire is None:
            return await _plain(writer, *self._other(got))
        number = len(self.requests)
        self.requests.append(got)
        reply = self.reply_to(number, None)
        if reply is None:
            text = f"the script has {len(self.replies)} replies; this is request {number + 1}"
            body = msgspec.json.encode({"error": {"message": text, "type": "script_over"}})
            return await _plain(writer, 400, body)
        if reply.steps and isinstance(fail := reply.steps[0], Fail):
            answer = refusal(fail)
            if answer is not None:
                headers = _retry_after(fail)
                return await _plain(writer, *answer, headers=headers)
        return await self._stream(render(wire, reply, number, self._next_id), writer)

    def _other(self, got: Received) -> tuple[int, bytes]:
        if got.path.endswith("/models"):
            listed = [{"id": name, "object": "model"} for name in self.models]
            return 200, msgspec.json.encode({"object": "list", "data": listed})
        return 404, b'{"error":{"message":"no such path"}}'

    async def _stream(self, pieces: list[Piece], writer: asyncio.StreamWriter) -> bool:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\ncache-control: no-store\r\n\r\n"
        )
        slow: Slow | None = None
        for piece in pieces:
            match piece:
                case bytes():
                    await _send(writer, piece, slow)
                case Slow():
                    slow = piece
                case Cut():
                    writer.write(_chunk(b'data: {"type":"resp'))
                    await writer.drain()
                    writer.transport.abort()
                    return False
                case Stall():
                    await writer.drain()
                    await self._over.wait()
                    return False
                case Hold(gate=gate):
                    await self._until_over(self._gate(gate).wait())
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    def _next_id(self, prefix: str) -> str:
        self._items += 1
        return f"{prefix}_{self._items}"


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """The next request on a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path = first.split(" ")[1].partition("?")[0]
    return Received(path=path, headers=headers, body=body, at_s=time.monotonic())


def _retry_after(fail: Fail) -> dict[str, str]:
    if fail.retry_after_ms is None:
        return {}
    return {"retry-after": f"{fail.retry_after_ms / 1000:g}"}


async def _plain(
    writer: asyncio.StreamWriter, status: int, body: bytes, *, headers: dict[str, str] | None = None
) -> bool:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    lines += ["content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return True


REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _send(writer: asyncio.StreamWriter, data: bytes, slow: Slow | None) -> None:
    if slow is None:
        writer.write(_chunk(data))
        await writer.drain()
        return
    for at in range(0, len(data), slow.size):
        writer.write(_chunk(data[at : at + slow.size]))
        await writer.drain()
        await asyncio.sleep(slow.delay_ms / 1000)


def main(argv: list[str], say: Callable[[str], None]) -> int:
    """`SCRIPT.json [PORT]`: serve until ended."""
    if not 1 <= len(argv) <= 2:
        say("usage: python -m octavo.testing.server SCRIPT.json [PORT]")
        return 2
    try:
        script = ModelServer.from_json(Path(argv[0]).read_bytes())
    except (OSError, UsageError) as wrong:
        say(f"{argv[0]}: {wrong}")
        return 2
    script.listen_on(int(argv[1]) if len(argv) == 2 else 0)
    asyncio.run(script.serve_forever(say))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], lambda line: print(line, flush=True)))  # noqa: T201 - a command
    except KeyboardInterrupt:
        sys.exit(130)
