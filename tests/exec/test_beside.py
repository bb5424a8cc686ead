import asyncio

import pytest

from octavo.exec.beside import beside


async def test_the_work_ends_with_the_block():
    ended = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with beside(work()):
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_an_error_of_the_block_comes_out_as_it_is():
    with pytest.raises(BrokenPipeError):
        async with beside(asyncio.sleep(60)):
            raise BrokenPipeError


async def test_cancelling_the_block_cancels_it_all():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), beside(asyncio.sleep(60)):
            await asyncio.sleep(60)


async def test_a_defect_of_the_work_is_not_passed_over():
    async def work():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with beside(work()):
            await asyncio.sleep(60)
