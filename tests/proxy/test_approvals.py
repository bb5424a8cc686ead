"""Questions about hosts that are not listed: asked once, answered for everybody who waits."""

import asyncio
import socket

import pytest

from octavo.policy.network import amendments
from octavo.proxy.approvals import Answer
from octavo.proxy.limits import Limits
from proxy.world import HERE, OK, answer, answering, policy, server, until, world


class Asked:
    """Somebody who is asked, and answers when told to."""

    def __init__(self):
        self.questions = []
        self.answers = asyncio.Queue()

    async def __call__(self, execution, decision):
        self.questions.append((execution, decision.host, decision.port))
        found = await self.answers.get()
        if isinstance(found, Exception):
            raise found
        return found

    def say(self, kind, scope="port"):
        self.answers.put_nowait(Answer(kind=kind, scope=scope))


def second(w, name="x2"):
    """Another execution of the same session, with a listener of its own; its port."""
    w.proxy.open(name)
    listener = socket.create_server((HERE, 0))
    w.proxy.listen(listener, name)
    return listener.getsockname()[1]


@pytest.fixture
async def place():
    asked = Asked()
    async with (
        server(answering(OK)) as port,
        world("listed.test", on_miss=asked, hosts=["new.test"]) as w,
    ):
        yield w, asked, f"http://new.test:{port}/", port


async def status(w, url, port=None):
    w.port = port or w.port
    return (await w.get(url))[0]


async def test_once_holds_for_the_execution_and_the_port(place):
    w, asked, url, port = place
    asked.say("once")
    assert await status(w, url) == 200
    assert await status(w, url) == 200
    assert asked.questions == [("x1", "new.test", port)]
    assert w.proxy.decisions[0].decision.override
    assert w.proxy.decisions[0].decision.source == "decider"
    asked.say("no")
    assert await status(w, "http://new.test:1/") == 403
    asked.say("no")
    assert await status(w, url, second(w)) == 403
    assert [one[0] for one in asked.questions] == ["x1", "x1", "x2"]


@pytest.mark.parametrize("kind", ["session", "always"])
async def test_for_the_session_holds_for_every_execution(place, kind):
    w, asked, url, _ = place
    asked.say(kind)
    assert await status(w, url) == 200
    assert await status(w, url, second(w)) == 200
    assert len(asked.questions) == 1
    asked.say("no")
    assert await status(w, "http://new.test:1/") == 403


async def test_a_whole_host_may_be_answered_for(place):
    w, asked, url, _ = place
    asked.say("session", "host")
    assert await status(w, url) == 200
    assert await status(w, "http://new.test:1/") == 502  # nobody listens there, but it may be tried
    assert len(asked.questions) == 1


async def test_no_holds_for_the_execution_and_says_so(place):
    w, asked, url, _ = place
    asked.say("no")
    status_, _, body = await w.get(url)
    assert status_ == 403
    assert b"said no" in body
    assert await status(w, url) == 403
    assert len(asked.questions) == 1
    assert w.denied[0][1].source == "decider"


async def test_never_holds_for_the_session(place):
    w, asked, url, _ = place
    asked.say("never", "host")
    assert await status(w, url) == 403
    assert await status(w, "http://new.test:1/", second(w)) == 403
    assert len(asked.questions) == 1


async def test_many_who_wait_share_one_question(place):
    w, asked, url, port = place
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(w.get(url)) for _ in range(10)]
        await until(lambda: w.proxy.connections == 10)
        asked.say("once")
    assert [task.result()[0] for task in tasks] == [200] * 10
    assert asked.questions == [("x1", "new.test", port)]


async def test_two_executions_get_two_questions(place):
    w, asked, url, _ = place
    other = second(w)
    async with asyncio.TaskGroup() as group:
        one = group.create_task(w.get(url))
        await until(lambda: len(asked.questions) == 1)
        w.port = other
        two = group.create_task(w.get(url))
        await until(lambda: len(asked.questions) == 2)
        asked.say("once")
        asked.say("no")
    assert (one.result()[0], two.result()[0]) == (200, 403)


async def test_a_sessions_never_beats_a_yes_on_its_way(place):
    w, asked, url, port = place
    async with asyncio.TaskGroup() as group:
        task = group.create_task(w.get(url))
        await until(lambda: asked.questions)
        w.proxy.remember("new.test", port, Answer(kind="never", scope="host"))
        asked.say("session")
    assert task.result()[0] == 403
    assert await status(w, url) == 403


async def test_a_later_never_takes_a_yes_back(place):
    w, asked, url, port = place
    asked.say("session")
    assert await status(w, url) == 200
    w.proxy.remember("NEW.test.", port, Answer(kind="never"))
    assert await status(w, url) == 403
    w.proxy.remember("new.test", port, Answer(kind="session"))
    assert await status(w, url) == 403


async def test_a_new_policy_that_denies_beats_a_yes_on_its_way(place):
    w, asked, url, _ = place
    async with asyncio.TaskGroup() as group:
        task = group.create_task(w.get(url))
        await until(lambda: asked.questions)
        w.proxy.reload(policy("listed.test", deny=["new.test"]))
        asked.say("session")
    assert task.result()[1][b"x-proxy-error"] == b"blocked-by-denylist"


async def test_a_new_policy_that_allows_needs_no_answer(place):
    w, asked, url, _ = place
    async with asyncio.TaskGroup() as group:
        task = group.create_task(w.get(url))
        await until(lambda: asked.questions)
        w.proxy.reload(policy("new.test"))
        asked.say("no")
    assert task.result()[0] == 200


async def test_when_the_execution_ends_its_questions_end(place):
    w, asked, url, _ = place
    reader, writer = await w.open()
    writer.write(f"GET {url} HTTP/1.0\r\n\r\n".encode())
    await until(lambda: asked.questions)
    await w.proxy.end("x1")
    assert await reader.read() == b""
    writer.close()
    assert w.proxy.connections == 0


async def test_an_asker_that_fails_is_a_no(place):
    w, asked, url, _ = place
    asked.answers.put_nowait(RuntimeError("broken"))
    assert await status(w, url) == 403
    assert len(asked.questions) == 1


async def test_a_question_has_a_deadline():
    async with world(on_miss=Asked(), limits=Limits(ask_s=0.05)) as w:
        status_, _, body = await w.get("http://new.test/")
        assert status_ == 403
        assert b"in time" in body


async def test_only_so_many_questions_are_open():
    asked = Asked()
    async with world(on_miss=asked, limits=Limits(questions=2)) as w, asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(w.get(f"http://h{number}.test/"))
            await until(lambda number=number: len(asked.questions) == number + 1)
        assert (await w.get("http://h2.test/"))[0] == 403
        asked.say("no")
        asked.say("no")


async def test_what_is_denied_or_local_is_not_asked_about():
    asked = Asked()
    async with world(on_miss=asked, deny=["denied.test"]) as w:
        for host in ("denied.test", "localhost", "127.0.0.2", "169.254.169.254"):
            assert (await w.get(f"http://{host}/"))[0] == 403
        assert asked.questions == []


async def test_a_yes_does_not_open_a_private_address(place):
    w, asked, _, _ = place
    asked.say("session")
    w.resolver._left["inside.test"] = [[]]
    assert await status(w, "http://inside.test/") == 502
    from octavo.policy.addresses import read_address

    w.resolver._left["inside.test"] = [[read_address("10.0.0.1")]]
    assert await status(w, "http://inside.test/") == 403
    assert w.denied[-1][1].reason == "not_allowed_local"


async def test_a_denial_is_heard_of_before_the_answer_is_read():
    loop = asyncio.get_running_loop()
    heard = loop.create_future()
    async with world(on_denied=None) as w:
        w.proxy._ledger._on_denied = lambda *_: heard.set_result(loop.time())
        async with w.client() as (reader, writer):
            sent = loop.time()
            writer.write(b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n")
            assert await heard - sent < 0.2
            assert (await answer(reader))[0] == 403


async def test_what_is_offered_as_a_rule_fits_the_question():
    seen = []

    async def on_miss(execution, decision):
        seen.extend(one.line for one in amendments(decision))
        return Answer(kind="always")

    async with world(on_miss=on_miss) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, "new.test:8443")
    assert seen == [
        'network_rule(host="new.test", protocol="https", decision="allow", port=8443)',
        'network_rule(host="new.test", protocol="https", decision="allow")',
    ]
