"""A server inside the program that uses it, for one client over a transport in memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from octavo.api.sandbox import state_home
from octavo.api.world import SystemClock
from octavo.appserver.server import Server, run
from octavo.rpc.streams import Transport


@asynccontextmanager
async def serving(
    transport: Transport,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[None]:
    """Serve this client while the block runs. `environ` adds to the program's own."""
    outside = {**os.environ, **(environ or {})}

    async def serve(server: Server) -> None:
        await server.serve(transport)

    async with asyncio.TaskGroup() as group:
        work = run(
            serve,
            now_ms=SystemClock().now_ms,
            home=state_home(outside),
            overrides=overrides,
            environ=outside,
        )
        task = group.create_task(work, name="app server in process")
        try:
            yield
        finally:
            await transport.close()
            await asyncio.wait([task], timeout=10.0)
            task.cancel()
