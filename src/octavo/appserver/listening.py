"""The ways to a server: standard input and output, a socket on the file system, WebSocket."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from octavo.api.engine import Engine
from octavo.api.sandbox import state_home
from octavo.api.world import SystemClock
from octavo.appserver.greeting import Greeted
from octavo.appserver.server import Server, run
from octavo.protocol.errors import UsageError
from octavo.rpc.streams import Streams, stdio

Work = Callable[[Server], Awaitable[None]]


async def serve_started(overrides: tuple[str, ...], greeted: Greeted) -> int:
    """One client on standard input and output, until its input ends."""

    async def work(server: Server) -> None:
        await server.serve(await stdio(greeted.rest), greeted.asked)

    return await serving(work, overrides)


async def serve_stdio(engine: Engine) -> None:
    """Serve one client on standard input and output with an engine of your own, until its input
    ends."""
    home = state_home(os.environ)
    async with asyncio.TaskGroup() as group:
        server = Server(engine, group, SystemClock().now_ms, home)
        try:
            await server.serve(await stdio())
        finally:
            await server.close()


async def serve_socket(path: str, overrides: tuple[str, ...]) -> int:
    """Clients over a socket for this user alone, until somebody stops us."""

    async def work(server: Server) -> None:
        listen = getattr(asyncio, "start_unix_server", None)  # not on Windows
        if listen is None:
            raise UsageError("sockets on the file system are not served here: use stdio://")

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.serve(Streams(reader, writer))

        old = os.umask(0o077)  # the socket is for this user alone
        try:
            listening = await listen(connected, path)
        except OSError as error:
            raise UsageError(f"--listen unix://{path}: {error.strerror or error}") from error
        finally:
            os.umask(old)
        try:
            async with listening:
                await listening.serve_forever()
        finally:
            remove(path)

    return await serving(work, overrides)


def remove(path: str) -> None:
    """The socket's name goes with the server."""
    Path(path).unlink(missing_ok=True)


async def serve_websocket(
    url: str, overrides: tuple[str, ...], token: bytes | None, say: Callable[[str], None]
) -> int:
    """Clients over WebSocket, until somebody stops us; `say` is told the address."""
    from octavo.rpc import websocket  # noqa: PLC0415 - seldom used

    async def work(server: Server) -> None:
        def ready(found: str) -> None:
            say(f"listening on {found}")

        await websocket.serve(url, server.serve, token=token, ready=ready)

    return await serving(work, overrides)


async def serving(work: Work, overrides: tuple[str, ...]) -> int:
    """Do this with a server; the exit code."""
    clock = SystemClock()
    stopped = stoppable()
    try:
        await run(work, now_ms=clock.now_ms, home=state_home(os.environ), overrides=overrides)
    except asyncio.CancelledError:
        if not stopped:
            raise
        return 128 + stopped[0]
    return 0


def stoppable() -> list[int]:
    """SIGTERM and SIGINT end this task in good order from now on; the list gets the signal."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen: list[int] = []

    def stop(number: int) -> None:
        seen.append(number)
        if task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows: Ctrl-C is KeyboardInterrupt
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, int(number))
    return seen
