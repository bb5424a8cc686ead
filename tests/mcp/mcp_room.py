"""Waiting in tests."""

import asyncio


async def until(happened):
    """Look again until it has; the test's own deadline ends this."""
    while not happened():  # noqa: ASYNC110 - files and other people's servers tell nobody
        await asyncio.sleep(0.001)
