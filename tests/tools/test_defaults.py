"""The usual tools, in an order that never changes, small enough to be sent with every request."""

import msgspec

from octavo.tools.defaults import bounded, default_registry
from octavo.tools.sessions import Sessions
from octavo.tools.web_search import web_search

MOST_BYTES = 8_000


async def test_names_stand_in_their_order():
    async with Sessions() as sessions:
        tools = default_registry(sessions, plan=True, search=web_search("live"))
        named = [getattr(spec, "name", "search") for spec in tools.specs()]
    assert named == [
        "exec_command", "write_stdin", "update_plan", "apply_patch", "view_image", "search",
    ]  # fmt: skip


async def test_all_of_it_is_small():
    async with Sessions() as sessions:
        specs = default_registry(sessions, plan=True).specs()
    assert len(msgspec.json.encode(specs)) < MOST_BYTES


def test_the_longest_wait_can_be_set():
    yields = bounded(60_000)
    assert [yields("poll", wanted) for wanted in (None, 1, 10**9)] == [5_000, 5_000, 60_000]
    assert yields("start", None) == 10_000
    assert bounded(None)("poll", 10**9) == 300_000
