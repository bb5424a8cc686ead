"""Listeners hear everything in order; slow ones get fewer, longer deltas."""

import asyncio

from octavo.engine.bus import MERGE_FROM, Bus
from octavo.protocol.events import AgentMessageDelta, ReasoningDelta, Warned


def delta(text, item="m"):
    return AgentMessageDelta(item_id=item, text=text)


async def heard(listener):
    return [event async for event in listener]


async def test_everybody_hears_everything_in_order():
    bus = Bus()
    one, two = bus.listen(), bus.listen()
    said = [Warned(message=str(n)) for n in range(5)]
    for event in said:
        bus.publish(event)
    bus.close()
    assert await heard(one) == said == await heard(two)


async def test_a_reader_may_wait_for_what_comes():
    bus = Bus()
    listener = bus.listen()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(heard(listener))
        await asyncio.sleep(0)
        bus.publish(Warned(message="late"))
        bus.close()
    assert task.result() == [Warned(message="late")]


async def test_a_slow_reader_loses_no_word_and_costs_little():
    bus = Bus()
    listener = bus.listen()
    for n in range(10_000):
        bus.publish(delta(f"{n} "))
    bus.close()
    got = await heard(listener)
    assert len(got) == MERGE_FROM
    assert "".join(event.text for event in got) == "".join(f"{n} " for n in range(10_000))


async def test_deltas_of_different_items_stay_apart():
    bus = Bus()
    listener = bus.listen()
    for _ in range(MERGE_FROM):
        bus.publish(Warned(message="x"))
    bus.publish(delta("a", "1"))
    bus.publish(delta("b", "2"))
    bus.publish(ReasoningDelta(item_id="2", text="c"))
    bus.publish(ReasoningDelta(item_id="2", text="d", part=1))
    bus.close()
    assert len(await heard(listener)) == MERGE_FROM + 4


async def test_who_stops_listening_hears_no_more():
    bus = Bus()
    listener = bus.listen()
    bus.forget(listener)
    bus.publish(Warned(message="x"))
    assert await heard(listener) == []
