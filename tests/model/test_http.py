import asyncio
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from model.wire_room import items, request, said
from octavo.model.events import Done, ModelEvent, TextDelta
from octavo.model.http import HttpModelClient, is_loopback
from octavo.model.provider import BUILT_IN, Provider
from octavo.protocol.errors import ConfigError, ModelError
from octavo.testing import ModelServer
from octavo.testing.script import Cut, Fail, Garbage, Reply, Say, Slow, Stall

WIRES = pytest.mark.parametrize("wire", ["responses", "chat", "messages"])


class Waits:
    """A sleep that only notes how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def provider(server: ModelServer, wire: str = "responses", **more: object) -> Provider:
    return Provider(id="t", name="Test", base_url=server.url, wire_api=wire, **more)


def client(server: ModelServer, wire: str = "responses", **more: object) -> HttpModelClient:
    return HttpModelClient(
        provider(server, wire, **more), sleep=Waits(), jitter=lambda: 1.0, user_agent="test/1"
    )


async def ask(to: HttpModelClient) -> list[ModelEvent]:
    async with aclosing(to.stream(request(said("hi")))) as events:
        return [event async for event in events]


async def failure(to: HttpModelClient) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(to)
    return caught.value


@WIRES
async def test_the_same_script_means_the_same_on_every_wire(wire: str):
    script = (
        ModelServer()
        .thinks("let me see")
        .says("Looking.")
        .and_calls("exec_command", cmd="ls")
        .and_calls_custom("apply_patch", "*** B\nx")
    )
    async with script as server, client(server, wire) as to:
        found = await ask(to)
    thought, message, call, patch = items(found)
    assert "let me see" in (
        *(p.text for p in thought.summary),
        *(p.text for p in thought.content or ()),
    )
    assert message.text == "Looking."
    assert (call.name, call.arguments) == ("exec_command", '{"cmd":"ls"}')
    assert patch.input == "*** B\nx"
    assert found[-1].usage.total == 110


@WIRES
async def test_slow_bytes_and_garbage_change_nothing(wire: str):
    reply = Reply(
        steps=(Slow(size=3, delay_ms=0), Garbage(), Say(text="häßlich ✓"), Garbage(line=": hm"))
    )
    async with ModelServer(reply) as server, client(server, wire) as to:
        found = await ask(to)
    assert "".join(e.text for e in found if isinstance(e, TextDelta)) == "häßlich ✓"


@WIRES
async def test_a_cut_stream_is_a_failure_that_may_be_tried_again(wire: str):
    reply = Reply(steps=(Say(text="a"), Cut()))
    async with ModelServer(reply) as server, client(server, wire) as to:
        found = await failure(to)
        assert len(server.requests) == 1
    assert found.retryable
    assert str(found).startswith("stream disconnected before completion: Transport error:")


@WIRES
async def test_silence_has_a_limit(wire: str):
    reply = Reply(steps=(Say(text="a"), Stall()))
    async with (
        ModelServer(reply) as server,
        client(server, wire, stream_idle_timeout_ms=50) as to,
    ):
        assert "idle timeout waiting for SSE" in str(await failure(to))


async def test_server_errors_are_tried_again_quietly_and_then_raised():
    script = ModelServer().fails("server").fails("server").says("Hi.").fails("server").and_so_on()
    async with script as server, client(server) as to:
        assert isinstance((await ask(to))[-1], Done)
        assert to._sleep.seconds == [0.2, 0.4]
        found = await failure(to)
        assert len(server.requests) == 3 + 5
    assert str(found).startswith(
        "unexpected status 500 Internal Server Error: scripted failure, url: "
    )


async def test_a_rate_limit_is_the_callers_to_wait_for():
    async with (
        ModelServer().fails("rate_limited", retry_after_ms=1500) as server,
        client(server) as to,
    ):
        found = await failure(to)
        assert len(server.requests) == 1
    assert str(found) == "exceeded retry limit, last status: 429 Too Many Requests"
    assert found.retry_after_ms == 1500


@pytest.mark.parametrize("kind", ["quota", "usage_limit", "invalid_request", "overloaded", "auth"])
async def test_what_cannot_heal_is_asked_once(kind: str):
    async with ModelServer().fails(kind) as server, client(server) as to:
        assert (await failure(to)).kind == kind
        assert len(server.requests) == 1


async def test_a_missing_page_names_its_address():
    async with ModelServer(Reply(steps=(Fail(status=404, message="no"),))) as server:
        async with client(server) as to:
            found = str(await failure(to))
        assert found == f"unexpected status 404 Not Found: no, url: {server.url}/responses"


async def test_nobody_there_is_said_at_once():
    async with ModelServer() as server:
        pass
    async with client(server) as to:
        found = await failure(to)
    assert found.kind == "unreachable"
    assert found.hint


async def test_headers_query_and_key_go_along():
    async with ModelServer().says("a").says("b") as server:
        async with client(
            server, api_key="k", headers={"X-Mine": "1", "User-Agent": "own"}, query={"v": "2"}
        ) as to:
            await ask(to)
        async with client(server, "messages", api_key="k") as to:
            await ask(to)
    first, second = (got.headers for got in server.requests)
    assert first["authorization"] == "Bearer k"
    assert (first["x-mine"], first["user-agent"]) == ("1", "own")
    assert first["accept"] == "text/event-stream"
    assert second["x-api-key"] == "k"
    assert "authorization" not in second


async def test_a_refused_token_is_renewed_once():
    asked: list[bool] = []

    async def token(*, renew: bool) -> str:
        asked.append(renew)
        return "new" if renew else "old"

    async with ModelServer().fails("auth").says("Hi.").fails("auth").and_so_on() as server:
        async with HttpModelClient(provider(server), token=token, sleep=Waits()) as to:
            assert isinstance((await ask(to))[-1], Done)
            assert asked == [False, True]
            assert (await failure(to)).kind == "auth"
        assert [got.headers["authorization"] for got in server.requests[:2]] == [
            "Bearer old",
            "Bearer new",
        ]


async def test_cancelling_and_leaving_early_free_the_connection():
    script = ModelServer(Reply(steps=(Say(text="a"), Stall())), Reply(steps=(Stall(),))).says("Hi.")
    async with script as server, client(server) as to:
        async with aclosing(to.stream(request(said("x")))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(to)
        assert isinstance((await ask(to))[-1], Done)


async def test_a_certificate_file_that_holds_none_is_refused_before_any_traffic(tmp_path: Path):
    empty = tmp_path / "ca.pem"
    empty.write_text("")
    for file in (empty, tmp_path / "missing.pem"):
        to = HttpModelClient(
            Provider(id="t", name="t", base_url="https://127.0.0.1:1/v1"), ca_file=str(file)
        )
        with pytest.raises(ConfigError, match="cannot use the certificate file"):
            await ask(to)


def test_what_counts_as_this_machine():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.1.2.3", "::1", "a.localhost"]))
    assert not any(map(is_loopback, ["example.org", "10.0.0.1", "127.example.org", ""]))


async def test_a_local_server_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with ModelServer().says("Hi.") as server, client(server) as to:
        assert isinstance((await ask(to))[-1], Done)


def test_the_built_in_providers():
    assert {key: value.wire_api for key, value in BUILT_IN.items()} == {
        "openai": "responses",
        "anthropic": "messages",
        "ollama": "chat",
        "lmstudio": "chat",
    }


def test_the_http_library_is_loaded_with_the_first_request_only():
    code = "import octavo.model.http, sys; print([m for m in sys.modules if 'http' in m.split('.')[0]])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


class Counting(ModelServer):
    """Counts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.connected = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        await super()._serve(reader, writer)


@WIRES
async def test_requests_one_after_the_other_share_a_connection(wire: str):
    script = Counting().says("one").says("two").says("three")
    async with script as server, client(server, wire) as to:
        for _ in range(3):
            await ask(to)
        assert script.connected == 1


async def test_one_that_is_cancelled_at_its_last_event_leaves_nothing_behind():
    script = ModelServer()
    for _ in range(5):
        script.says("one")
    async with script as server, client(server) as to:

        async def until_done() -> None:
            async with aclosing(to.stream(request(said("hi")))) as events:
                async for event in events:
                    if isinstance(event, Done):
                        here.set()
                        await asyncio.Event().wait()

        for _ in range(5):
            here = asyncio.Event()
            task = asyncio.ensure_future(until_done())
            await here.wait()
            task.cancel()
            await asyncio.wait([task])
        assert to._client is not None
        assert to._client._transport._pool._requests == []  # type: ignore[attr-defined]
