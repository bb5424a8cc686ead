"""Whatever a client sends, each request gets one answer and the server lives on."""

import asyncio
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.appserver.server import TABLE
from octavo.appserver.within import serving
from octavo.rpc.memory import pair
from octavo.rpc.peer import Peer

HARMLESS = [
    name
    for name in sorted(TABLE.methods)
    if not name.startswith(("fs/", "command/", "config/", "skills/config", "account/"))
    and name not in ("initialize", "thread/start", "fuzzyFileSearch")
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=6,
)
PARAMS = st.dictionaries(
    st.sampled_from(["threadId", "turnId", "input", "cursor", "limit", "name", "status", "x"]), JSON
)
REQUEST = st.tuples(st.sampled_from(HARMLESS) | st.text(max_size=8), PARAMS | JSON)
GARBAGE = st.binary(min_size=1, max_size=60).filter(lambda data: b"\n" not in data)


async def play(home, sent):
    """Send these lines; the answers by id, after one more request that has to work."""
    here, there = pair()
    answers = {}
    async with serving(there, environ={"OCTAVO_HOME": str(home)}):
        about = {"clientInfo": {"name": "lab", "version": "1"}}
        first = json.dumps({"id": "hi", "method": "initialize", "params": about})
        last = json.dumps({"id": "last", "method": "thread/loaded/list"})
        for line in (first, *sent, last):
            await here.write(line if isinstance(line, bytes) else line.encode())
        async with asyncio.timeout(30):
            wanted = {"hi", "last", *(at for at, line in enumerate(sent) if isinstance(line, str))}
            async for line in here.lines():
                found = json.loads(line)
                if "method" not in found:
                    answers.setdefault(found["id"], []).append(found)
                if wanted <= answers.keys():
                    return answers
    raise AssertionError("the server has gone")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(REQUEST | GARBAGE, max_size=6))
def test_every_request_gets_one_answer(tmp_path, given_):
    sent = [
        one
        if isinstance(one, bytes)
        else json.dumps({"id": at, "method": one[0], "params": one[1]})
        .replace("NaN", "null")
        .replace("Infinity", "0")
        for at, one in enumerate(given_)
    ]
    answers = asyncio.run(play(tmp_path, sent))
    assert answers["last"][0]["result"] == {"data": [], "nextCursor": None}
    for at, line in enumerate(sent):
        if isinstance(line, str):
            (answer,) = answers[at]
            assert ("error" in answer) != ("result" in answer)
            if "error" in answer:
                assert answer["error"]["code"] in (-32600, -32601, -32603)


async def test_a_hundred_threads_and_twenty_turns_at_once(tmp_path):
    from octavo.testing import ModelServer

    async with ModelServer() as model:
        for _ in range(20):
            model.says("Hello.")
        config = (
            'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\n'
            f'base_url = "{model.url}"\n'
        )
        (tmp_path / "config.toml").write_text(config)
        here, there = pair()
        async with serving(there, environ={"OCTAVO_HOME": str(tmp_path)}), asyncio.timeout(60):
            peer = Peer(here)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(peer.run())
                listening = peer.listen()
                await peer.ask("initialize", {"clientInfo": {"name": "lab", "version": "1"}})
                threads = []
                for _ in range(100):
                    started = await peer.ask("thread/start", {"cwd": str(tmp_path)})
                    threads.append(started["thread"]["id"])
                text = [{"type": "text", "text": "Hi"}]
                for thread in threads[:20]:
                    await peer.ask("turn/start", {"threadId": thread, "input": text})
                over = set()
                async for method, params in listening:
                    if method == "turn/completed":
                        assert params["turn"]["status"] == "completed"
                        over.add(params["threadId"])
                    if len(over) == 20:
                        break
                assert over == set(threads[:20])
                loaded = await peer.ask("thread/loaded/list")
                assert len(loaded["data"]) == 100
                await peer.close()
                running.cancel()
