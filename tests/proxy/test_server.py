"""The proxy, with real sockets: what gets through, what does not, and who hears of it."""

import asyncio
import base64
import socket

import pytest

from octavo.policy.network import host_policy
from octavo.protocol.errors import UsageError
from octavo.protocol.permissions import NetworkRules
from octavo.proxy.limits import Limits
from proxy.test_hello import hello
from proxy.world import HERE, OK, answer, answering, blocked, echo, policy, server, until, world

LISTED = "ok.test"


async def upload(reader, writer):
    """Answers with how many bytes of a body came, however they came."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"100-continue" in head:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    count = 0
    if b"chunked" in head:
        while size := int(await reader.readline(), 16):
            count += len((await reader.readexactly(size + 2))[:-2])
    else:
        length = next(one for one in head.split(b"\r\n") if one.startswith(b"Content-Length"))
        count = len(await reader.readexactly(int(length.split(b":")[1])))
    text = str(count).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
    await writer.drain()
    await reader.read()


# ---- requests -----------------------------------------------------------------------------------


async def test_a_listed_host_is_reached():
    seen = []
    async with server(answering(OK, seen=seen)) as port, world(LISTED) as w:
        status, fields, body = await w.get(f"http://{LISTED}:{port}/x?y")
        assert (status, body) == (200, b"ok")
        assert fields.keys() == {b"content-length"}
        assert seen == [f"GET /x?y HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()]
        assert w.reasons == ["allowed"]
        assert w.denied == []


async def test_a_host_that_is_not_listed_is_refused_and_its_execution_known():
    async with world(LISTED) as w:
        status, fields, body = await w.get("http://other.test/secret?token=1")
        assert status == 403
        assert fields[b"x-proxy-error"] == b"blocked-by-allowlist"
        assert fields[b"content-type"] == b"application/json"
        said = blocked(body)
        assert said.pop("message").startswith("This host is not on the allowlist.")
        assert said == {
            "status": "blocked", "host": "other.test", "reason": "not_allowed", "decision": "deny",
            "source": "baseline_policy", "protocol": "http", "port": 80,
        }  # fmt: skip
        ((who, what),) = w.denied
        assert (who, what.host, what.port, what.grant) == (
            "x1",
            "other.test",
            80,
            "--allow other.test:80",
        )
        assert w.resolver.asked == []  # nobody learns the names of hosts that are not listed
        assert not any("secret" in repr(one) for one in w.records)


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("http://denied.test/", b"blocked-by-denylist"),
        ("http://127.0.0.2/", b"blocked-by-local-address"),
        ("http://localhost/", b"blocked-by-local-address"),
        ("http://[::1]/", b"blocked-by-local-address"),
        ("http://[::ffff:127.0.0.2]/", b"blocked-by-local-address"),
        ("http://private.test/", b"blocked-by-local-address"),
        ("http://mixed.test/", b"blocked-by-local-address"),
        ("http://93.184.216.34/", b"blocked-by-allowlist"),
    ],
)
async def test_each_refusal_has_its_label(url, label):
    hosts = {"private.test": [["10.0.0.1"]], "mixed.test": [[HERE, "192.168.0.1"]]}
    async with world("**.test", deny=["denied.test"], hosts=hosts) as w:
        status, fields, body = await w.get(url)
        assert (status, fields[b"x-proxy-error"]) == (403, label)
        assert b"192.168" not in body
        assert b"10.0.0.1" not in body


async def test_a_name_without_addresses_is_not_a_matter_of_rules():
    async with world("**.test") as w:
        assert (await w.get("http://none.test/"))[0] == 502
        assert w.denied == []
        assert [one.failure for one in w.proxy.decisions] == ["dns"]


async def test_a_server_that_refuses_is_a_bad_gateway():
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
    async with world(LISTED) as w:
        status, _, body = await w.get(f"http://{LISTED}:{port}/")
        assert status == 502
        assert HERE.encode() not in body
        async with w.client() as (reader, writer):
            assert await w.connect(reader, writer, f"{LISTED}:{port}") == 502


async def test_a_second_look_up_cannot_move_a_connection():
    hosts = {"rebinds.test": [[HERE], ["10.0.0.1"]]}
    async with server(answering(OK)) as port, world("rebinds.test", hosts=hosts) as w:
        async with w.client() as (reader, writer):
            for _ in range(3):
                writer.write(
                    f"GET http://rebinds.test:{port}/ HTTP/1.1\r\nHost: rebinds.test:{port}\r\n\r\n".encode()
                )
                assert (await answer(reader))[0] == 200
        assert w.resolver.asked == ["rebinds.test"]


async def test_one_connection_serves_many_requests_in_order():
    async with server(answering(OK)) as port, world(LISTED) as w, w.client() as (reader, writer):
        line = f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()
        refused = b"GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n"
        writer.write(line + refused + line + line)
        assert [(await answer(reader))[0] for _ in range(4)] == [200, 403, 200, 200]


async def test_a_kept_connection_is_judged_anew_for_each_request():
    async with server(answering(OK)) as port, world(LISTED) as w, w.client() as (reader, writer):
        line = f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()
        writer.write(line)
        assert (await answer(reader))[0] == 200
        w.proxy.reload(policy("other.test"))
        writer.write(line)
        assert (await answer(reader))[0] == 403


async def test_a_kept_connection_that_the_server_closed_is_made_again():
    asked = []

    async def once(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        if len(asked) == 2:
            return
        await reader.readuntil(b"\r\n\r\n")  # the second request gets no answer

    async with server(once) as port, world(LISTED) as w, w.client() as (reader, writer):
        line = f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()
        for _ in range(2):
            writer.write(line)
            assert (await answer(reader))[0] == 200
        assert len(asked) == 2


@pytest.mark.parametrize("size", [1, 10_000, 3_000_000])
async def test_a_body_with_a_length_goes_up(size):
    async with server(upload) as port, world(LISTED) as w:
        more = b"Content-Length: %d\r\n" % size
        assert (await w.get(f"http://{LISTED}:{port}/", "POST", more, b"x" * size))[2] == str(
            size
        ).encode()


async def test_a_chunked_body_goes_up():
    async with server(upload) as port, world(LISTED) as w:
        body = (
            b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in (1, 70_000, 5))
            + b"0\r\nX-T: 1\r\n\r\n"
        )
        status, _, count = await w.get(
            f"http://{LISTED}:{port}/", "PUT", b"Transfer-Encoding: chunked\r\n", body
        )
        assert (status, count) == (200, b"70006")


async def test_the_server_says_when_to_send_a_body():
    async with server(upload) as port, world(LISTED) as w, w.client() as (reader, writer):
        writer.write(
            f"POST http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n".encode()
            + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await answer(reader))[2] == b"4"


async def test_a_chunked_body_that_is_none_is_a_bad_request():
    async with server(upload) as port, world(LISTED) as w:
        said = await w.say(
            f"POST http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n".encode()
            + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n"
        )
        assert said.startswith(b"HTTP/1.1 400 ")


async def test_answers_in_chunks_and_until_the_end_come_down():
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    async def until_close(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"y" * 500_000)

    async with server(answering(chunked)) as one, server(until_close) as two, world(LISTED) as w:
        async with w.client() as (reader, writer):
            writer.write(
                f"GET http://{LISTED}:{one}/ HTTP/1.1\r\nHost: {LISTED}:{one}\r\n\r\n".encode()
            )
            assert (await reader.readuntil(b"0\r\n\r\n")).endswith(
                b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
        old = await w.say(f"GET http://{LISTED}:{one}/ HTTP/1.0\r\n\r\n".encode())
        assert old == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"
        said = await w.say(
            f"GET http://{LISTED}:{two}/ HTTP/1.1\r\nHost: {LISTED}:{two}\r\n\r\n".encode()
        )
        assert said.endswith(b"y" * 500_000)
        assert b"Connection: close" in said


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", 502), (b"SSH-2.0-x\r\n\r\n", 502), (b"HTTP/1.1 200 OK\nX: y\n\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_framed_is_a_bad_gateway(said, status):
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with server(handler) as port, world(LISTED) as w:
        assert (await w.get(f"http://{LISTED}:{port}/"))[0] == status


async def test_a_server_that_never_answers_is_given_up():
    async with server(echo_nothing) as port, world(LISTED, limits=Limits(body_s=0.05)) as w:
        assert (await w.get(f"http://{LISTED}:{port}/"))[0] == 504


async def echo_nothing(reader, writer):
    await reader.read()


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked", b"X: y"]
)
async def test_an_answer_cut_short_never_looks_whole(framing):
    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        start = b"a\r\n" if b"chunked" in framing else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + start + b"abc")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with server(handler) as port, world(LISTED) as w:
        said = await w.say(
            f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()
        )
        assert said == b"reset"


async def test_a_web_socket_gets_its_tunnel():
    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"
        )
        await echo(reader, writer)

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        writer.write(
            f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n".encode()
            + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(b" late")
        assert await reader.readexactly(12) == b"hiearly late"


async def test_no_other_protocol_is_switched_to():
    seen = []
    async with server(answering(OK, seen=seen)) as port, world(LISTED) as w:
        await w.get(
            f"http://{LISTED}:{port}/",
            more=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
        )
        assert b"pgrade" not in seen[0]


# ---- limited mode -------------------------------------------------------------------------------


async def test_limited_mode_lets_nothing_through_that_could_change_something():
    async with server(answering(OK)) as port, world(LISTED, network={"mode": "limited"}) as w:
        url = f"http://{LISTED}:{port}/"
        assert (await w.get(url))[0] == 200
        for method, more in (
            ("POST", b"Content-Length: 0\r\n"),
            ("GET", b"Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ):
            status, fields, _ = await w.get(url, method, more)
            assert (status, fields[b"x-proxy-error"]) == (403, b"blocked-by-method-policy")
        async with w.client() as (reader, writer):
            assert await w.connect(reader, writer, f"{LISTED}:{port}") == 403
        assert w.denied[-1][1].reason == "mitm_required"


# ---- tunnels ------------------------------------------------------------------------------------


async def test_a_tunnel_carries_bytes_both_ways():
    async with server(echo) as port, world(f"{LISTED}:*") as w, w.client() as (reader, writer):
        assert await w.connect(reader, writer, f"{LISTED}:{port}") == 200
        data = bytes(range(256)) * 20_000
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(send_all(writer, data))
            assert await reader.readexactly(len(data)) == data
        assert sent.done()
        assert (
            await reader.read() == b""
        )  # the end of one direction ended the other through the echo


async def send_all(writer, data):
    writer.write(data)
    await writer.drain()
    writer.write_eof()


async def test_bytes_behind_the_request_are_the_tunnels_first():
    async with server(echo) as port, world(LISTED) as w, w.client() as (reader, writer):
        writer.write(f"CONNECT {LISTED}:{port} HTTP/1.1\r\nHost: {LISTED}\r\n\r\nearly".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"early"


async def test_a_server_may_speak_first():
    async def handler(reader, writer):
        writer.write(b"SSH-2.0-x\r\n")
        await echo(reader, writer)

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        assert await reader.readline() == b"SSH-2.0-x\r\n"
        writer.write(b"SSH-2.0-y\r\n")
        assert await reader.readline() == b"SSH-2.0-y\r\n"


async def test_half_a_tunnel_may_end_before_the_other():
    async def handler(reader, writer):
        data = await reader.read()  # until the client has said everything
        writer.write(data[::-1])

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        writer.write(b"abc")
        writer.write_eof()
        assert await reader.read() == b"cba"


async def test_the_servers_end_may_come_first():
    got = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        writer.write(b"bye")
        writer.write_eof()
        got.set_result(await reader.read())

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        assert await reader.read() == b"bye"
        writer.write(b"still here")
        writer.write_eof()
        assert await got == b"still here"


async def test_a_broken_server_breaks_the_tunnel():
    async def handler(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_refused_tunnel_leaves_the_connection_open():
    async with world(LISTED) as w, w.client() as (reader, writer):
        for _ in range(3):
            writer.write(b"CONNECT no.test:443 HTTP/1.1\r\nHost: no.test\r\n\r\n")
            status, fields, body = await answer(reader)
            assert status == 403
            assert fields[b"content-type"].startswith(b"text/plain")
            assert b"allowlist" in body
        assert w.proxy.refusals == 3


# ---- the name inside TLS ------------------------------------------------------------------------


async def test_tls_that_names_the_host_goes_through():
    async with server(echo) as port, world(LISTED) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        data = hello(LISTED)
        for at in range(0, len(data), 50):
            writer.write(data[at : at + 50])
            await writer.drain()
        assert await reader.readexactly(len(data)) == data


@pytest.mark.parametrize(
    "data", [hello("other.test"), b"\x16\x03\x01\x00\x01\x02", hello("a." + LISTED)]
)
async def test_tls_that_names_another_host_is_cut_off(data):
    got = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        got.set_result(await reader.read())

    async with server(handler) as port, world(LISTED) as w, w.client() as (reader, writer):
        assert await w.connect(reader, writer, f"{LISTED}:{port}") == 200
        writer.write(data)
        assert await reader.read() == b"\x15\x03\x03\x00\x02\x02\x70"
        assert await got == b""
        ((_, what),) = w.denied
        assert what.reason == "server_name_mismatch"


async def test_the_name_inside_tls_may_be_left_to_a_host():
    made = host_policy(NetworkRules(enabled=True, allow=(LISTED,)), any_server_name=[LISTED])
    async with server(echo) as port, world(policy=made) as w, w.client() as (reader, writer):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        data = hello("other.test")
        writer.write(data)
        assert await reader.readexactly(len(data)) == data


async def test_a_hello_that_never_ends_is_cut_off():
    async with (
        server(echo) as port,
        world(LISTED, limits=Limits(hello_s=0.05)) as w,
        w.client() as (reader, writer),
    ):
        await w.connect(reader, writer, f"{LISTED}:{port}")
        writer.write(hello(LISTED)[:20])
        assert (await reader.read()).startswith(b"\x15\x03\x03")


# ---- SOCKS --------------------------------------------------------------------------------------


def socks_request(host, port):
    return b"\5\1\0\3" + bytes((len(host),)) + host.encode() + port.to_bytes(2)


async def test_socks_reaches_a_listed_host():
    async with server(echo) as port, world(LISTED) as w, w.client() as (reader, writer):
        writer.write(b"\5\1\0" + socks_request(LISTED, port) + b"early")
        assert await reader.readexactly(2) == b"\5\0"
        assert (await reader.readexactly(10))[:2] == b"\5\0"
        assert await reader.readexactly(5) == b"early"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\5\1\0" + socks_request("no.test", 443), b"\5\0\5\2"),
        (b"\5\1\0" + socks_request("localhost", 443), b"\5\0\5\2"),
        (b"\5\1\0" + socks_request("none.ok.test", 443), b"\5\0\5\4"),
        (b"\5\1\0\5\2\0\1\1\1\1\1\0\1", b"\5\0\5\7"),
        (b"\5\1\0\5\3\0\1\1\1\1\1\0\1", b"\5\0\5\7"),
        (b"\5\1\1", b"\5\xff"),
        (b"\5\0", b"\5\xff"),
        (b"\5\1\0\5\1\0\7", b"\5\0"),
        (b"\4\1\0\x50\1\1\1\1\0", b"\0\x5b"),
    ],
)
async def test_socks_says_no_in_its_own_way(data, said):
    async with world("**.ok.test", limits=Limits(head_s=0.2)) as w:
        got = await w.say(data + bytes(20) if data.endswith(b"\7") else data)
        assert got.startswith(said)


# ---- junk and time ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0",
        b"\x16\x03\x01\x00\x05hello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\xff" * 100,
        b"{}",
    ],
)
async def test_what_is_no_protocol_of_ours_is_closed(data):
    async with world(LISTED) as w:
        assert not (await w.say(data)).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET http://ok.test/ HTTP/1.1\nHost: ok.test\n\n", 400),
        (b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n folded\r\n\r\n", 400),
        (b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"CONNECT ok.test:0 HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
        (b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nX: " + b"y" * 600_000, 431),
        (b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET http://ok.test/" + b"y" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
    ],
)  # fmt: skip
async def test_a_bad_request_is_answered_and_ends_the_connection(data, status):
    async with world(LISTED) as w:
        said = await w.say(data)
        assert said.startswith(f"HTTP/1.1 {status} ".encode())
        assert said.count(b"HTTP/1.1") == 1


async def test_a_silent_client_is_given_up():
    async with world(LISTED, limits=Limits(first_byte_s=0.05)) as w:
        assert await w.say(b"") == b""


async def test_a_head_that_drips_has_one_deadline():
    async with world(LISTED, limits=Limits(head_s=0.1)) as w, w.client() as (reader, writer):
        loop = asyncio.get_running_loop()
        started = loop.time()
        answered = loop.create_task(reader.read())
        writer.write(b"GET http://ok.test/ HTTP/1.1\r\n")
        while not answered.done() and loop.time() - started < 5:
            writer.write(b"X: y\r\n")
            await asyncio.wait([answered], timeout=0.02)
        assert (await answered).startswith(b"HTTP/1.1 408 ")
        assert loop.time() - started < 2


async def test_an_idle_client_is_given_up():
    async with server(answering(OK)) as port, world(LISTED, limits=Limits(idle_s=0.05)) as w:
        said = await w.say(
            f"GET http://{LISTED}:{port}/ HTTP/1.1\r\nHost: {LISTED}:{port}\r\n\r\n".encode()
        )
        assert said.endswith(b"ok")


async def test_a_name_that_is_not_answered_is_given_up():
    async def hangs(name):
        await asyncio.Event().wait()
        return []

    async with world("**.test", limits=Limits(dns_s=0.05)) as w:
        w.proxy._gate._resolver = hangs
        assert (await w.get("http://slow.test/"))[0] == 502


async def test_too_many_connections_are_turned_away():
    async with world(LISTED, limits=Limits(connections=3)) as w:
        held = [await w.open() for _ in range(3)]
        await until(lambda: w.proxy.connections == 3)
        assert (await w.say(b"")).startswith(b"HTTP/1.1 503 ")
        for _, writer in held:
            writer.close()
        await until(lambda: w.proxy.connections == 0)
        assert (await w.get("http://no.test/"))[0] == 403


async def test_many_idle_tunnels_cost_little_and_end_with_their_execution():
    count = 100
    async with server(echo) as port, world(LISTED) as w:
        opened = []
        for _ in range(count):
            reader, writer = await w.open()
            assert await w.connect(reader, writer, f"{LISTED}:{port}") == 200
            opened.append((reader, writer))
        assert w.proxy.connections == count
        await w.proxy.end("x1")
        assert w.proxy.connections == 0
        async with asyncio.timeout(5):
            for reader, writer in opened:
                assert await reader.read() == b""
                writer.close()


# ---- whose it is --------------------------------------------------------------------------------


def basic(execution):
    return base64.b64encode(f"{execution.user}:{execution.password}".encode())


async def test_credentials_say_whose_a_connection_is():
    async with server(echo) as port, world(LISTED, listen=False) as w:
        one, two = w.proxy.open("one"), w.proxy.open("two")
        assert (await w.get("http://no.test/"))[0] == 407
        for execution in (one, two, one):
            assert (
                await w.get(
                    "http://no.test/",
                    more=b"Proxy-Authorization: Basic " + basic(execution) + b"\r\n",
                )
            )[0] == 403
        assert [who for who, _ in w.denied] == ["one", "two", "one"]
        wrong = base64.b64encode(f"{one.user}:{two.password}".encode())
        for value in (
            b"Basic " + wrong,
            b"Basic !",
            b"Basic",
            b"Bearer x",
            b"Basic " + base64.b64encode(b"x"),
        ):
            status, fields, _ = await w.get(
                "http://no.test/", more=b"Proxy-Authorization: " + value + b"\r\n"
            )
            assert (status, fields[b"proxy-authenticate"]) == (407, b'Basic realm="octavo"')
        async with w.client() as (reader, writer):
            user, password = two.user.encode(), two.password.encode()
            writer.write(b"\5\2\0\2")
            assert await reader.readexactly(2) == b"\5\2"
            writer.write(bytes((1, len(user))) + user + bytes((len(password),)) + password)
            assert await reader.readexactly(2) == b"\1\0"
            writer.write(socks_request(LISTED, port))
            assert (await reader.readexactly(10))[1] == 0
        assert w.proxy.decisions[-1].execution == "two"
        assert (await w.say(b"\5\1\2\1\1a\1b")).endswith(b"\1\1")
        assert await w.say(b"\5\1\0") == b"\5\xff"


async def test_credentials_are_not_passed_on_and_end_with_the_execution():
    seen = []
    async with server(answering(OK, seen=seen)) as port, world(LISTED, listen=False) as w:
        one = w.proxy.open("one")
        more = b"Proxy-Authorization: Basic " + basic(one) + b"\r\n"
        assert (await w.get(f"http://{LISTED}:{port}/", more=more))[0] == 200
        assert b"uthorization" not in seen[0]
        await w.proxy.end("one")
        assert (await w.get(f"http://{LISTED}:{port}/", more=more))[0] == 407


async def test_a_listener_of_one_command_may_ask_for_its_password():
    async with world(LISTED, listen=False) as w:
        one, two = w.proxy.open("one"), w.proxy.open("two")
        listener = socket.create_server((HERE, 0))
        w.port = listener.getsockname()[1]
        w.proxy.listen(listener, "one", credential=True)
        for execution, status in ((one, 403), (two, 407)):
            more = b"Proxy-Authorization: Basic " + basic(execution) + b"\r\n"
            assert (await w.get("http://no.test/", more=more))[0] == status


async def test_each_execution_has_its_own_denials_and_may_have_its_own_policy():
    async with world(LISTED) as w:
        w.proxy.open("strict", policy(deny=["denied.test"]))
        listener = socket.create_server((HERE, 0))
        w.proxy.listen(listener, "strict")
        for _ in range(3):
            await w.get("http://no.test/")
        w.port = listener.getsockname()[1]
        assert (await w.get("http://denied.test/"))[0] == 403
        assert [who for who, _ in w.denied] == ["x1", "x1", "x1", "strict"]


async def test_names_of_executions_are_checked():
    async with world(LISTED) as w:
        for name in ("x1", "", "a b", "a'", "x" * 200):
            with pytest.raises(UsageError):
                w.proxy.open(name)
        with socket.socket() as sock, pytest.raises(UsageError):
            w.proxy.listen(sock, "nobody")


async def test_a_connection_that_was_caught_is_decided_by_its_name():
    from octavo.policy.hosts import read_target

    async with server(echo) as port, world(LISTED) as w:
        for target, allowed in ((f"{LISTED}:{port}", True), ("no.test:443", False)):
            ours, theirs = tcp_pair()
            w.proxy.serve(theirs, "x1", read_target(target))
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(b"hi")
            async with asyncio.timeout(5):
                if allowed:
                    assert await reader.readexactly(2) == b"hi"
                else:
                    with pytest.raises(ConnectionResetError):
                        await reader.read()
            writer.close()
        assert w.denied[0][1].protocol == "tcp"


def tcp_pair():
    with socket.create_server((HERE, 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


# ---- policy at work -----------------------------------------------------------------------------


async def test_a_new_policy_cuts_tunnels_it_denies_and_keeps_the_others():
    b = "b.test"
    async with (
        server(echo) as port,
        world("**.test", hosts=[b]) as w,
        w.client() as (r1, w1),
        w.client() as (r2, w2),
    ):
        await w.connect(r1, w1, f"{LISTED}:{port}")
        await w.connect(r2, w2, f"{b}:{port}")
        w.proxy.reload(policy("**.test", deny=[LISTED]))
        assert await r1.read() == b""
        w2.write(b"hi")
        assert await r2.readexactly(2) == b"hi"
        assert (await w.get(f"http://{LISTED}:{port}/"))[0] == 403


async def test_the_last_decisions_are_kept():
    async with world(LISTED, limits=Limits(kept=5)) as w:
        for number in range(8):
            await w.get(f"http://h{number}.test/")
        assert [one.decision.host for one in w.proxy.decisions] == [
            f"h{n}.test" for n in range(3, 8)
        ]
        assert w.proxy.refusals == 8
        assert len(w.records) == 8


async def test_with_the_network_off_everything_is_refused():
    async with world(policy=host_policy(NetworkRules())) as w:
        status, fields, _ = await w.get("http://ok.test/")
        assert (status, fields[b"x-proxy-error"]) == (403, b"blocked-by-policy")


async def test_a_local_service_is_reached_when_it_is_listed_with_its_port():
    async with server(answering(OK)) as port, world(f"{HERE}:{port}", public=()) as w:
        assert (await w.get(f"http://{HERE}:{port}/"))[0] == 200
        assert (await w.get(f"http://{HERE}:{port + 1}/"))[0] == 403
        assert (await w.get(f"http://{LISTED}:{port}/"))[0] == 403


async def test_leaving_ends_everything():
    async with server(echo) as port:
        async with world(LISTED) as w:
            reader, writer = await w.open()
            await w.connect(reader, writer, f"{LISTED}:{port}")
            listening = w.port
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HERE, listening)
