"""Small work beside a block: a moving line, a watch on signals. It never outlives the block."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(*work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run these while the block runs. What the block raises comes out as it is, not in a group."""
    problem: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again below
            problem = error
        for task in tasks:
            task.cancel()
    if problem is not None:
        raise problem
