"""Limited mode with TLS that is looked into."""

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from octavo.policy.hosts import read_host
from octavo.proxy.mitm import Interception, bundles, system_roots, write_bundle
from proxy.test_hello import hello
from proxy.world import HERE, OK, answer, answering, echo, server, world

HOST = "ok.test"
LIMITED = {"mode": "limited"}


@pytest.fixture(scope="module")
def world_authority():
    """Whom servers have their certificates from."""
    return Interception()


@asynccontextmanager
async def tls_server(handler, authority, host=HOST):
    context = authority.context(read_host(host))
    made = await asyncio.start_server(handler, HERE, 0, ssl=context)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()


def quiet(handler):
    async def guarded(reader, writer):
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return guarded


def interception(authority):
    return Interception(ssl.create_default_context(cadata=authority.certificate.decode()))


def trusting(made):
    return ssl.create_default_context(cadata=made.certificate.decode())


@asynccontextmanager
async def place(authority, handler, *, host=HOST, allow=(HOST,)):
    """A server behind TLS, a proxy that looks into it, and a client inside a tunnel."""
    made = interception(authority)
    async with (
        tls_server(quiet(handler), authority, host) as port,
        world(*allow, network=LIMITED, interceptor=made) as w,
        w.client() as (reader, writer),
    ):
        yield w, made, port, reader, writer


async def inside(w, made, port, reader, writer, host=HOST):
    assert await w.connect(reader, writer, f"{host}:{port}") == 200
    await writer.start_tls(trusting(made), server_hostname=host.strip("[]"))


def request(port, method="GET", path="/", more=""):
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{more}\r\n".encode()


async def test_requests_are_judged_one_by_one(world_authority):
    seen = []
    async with place(world_authority, answering(OK, seen=seen)) as (w, made, port, reader, writer):
        await inside(w, made, port, reader, writer)
        for method, expected in (("GET", 200), ("GET", 200), ("DELETE", 403), ("GET", 200)):
            writer.write(request(port, method, f"/{method}?secret"))
            status, fields, body = await answer(reader)
            assert status == expected
            if status == 403:
                assert fields[b"x-proxy-error"] == b"blocked-by-method-policy"
                assert b"GET, HEAD and OPTIONS" in body
        assert [one.split()[0] for one in seen] == [b"GET"] * 3
        assert seen[0] == f"GET /GET?secret HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        assert [one.decision.method for one in w.proxy.decisions] == [
            None,
            "GET",
            "GET",
            "DELETE",
            "GET",
        ]
        assert "secret" not in repr(w.proxy.decisions)
        ((_, what),) = w.denied
        assert (what.method, what.protocol) == ("DELETE", "https_connect")


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: ok.test\n\n",
     b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n",
     b"GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n"],
)  # fmt: skip
async def test_a_bad_request_inside_is_a_bad_request(world_authority, data):
    async with place(world_authority, answering(OK)) as (w, made, port, reader, writer):
        await inside(w, made, port, reader, writer)
        writer.write(data)
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""


async def test_large_answers_come_through_whole(world_authority):
    data = bytes(range(256)) * 12_000
    framed = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)
    async with place(world_authority, answering(framed)) as (w, made, port, reader, writer):
        await inside(w, made, port, reader, writer)
        for _ in range(2):
            writer.write(request(port))
            assert (await answer(reader))[2] == data


async def test_what_is_not_tls_is_cut_off(world_authority):
    async with place(world_authority, answering(OK)) as (w, _, port, reader, writer):
        assert await w.connect(reader, writer, f"{HOST}:{port}") == 200
        writer.write(b"SSH-2.0-x\r\n")
        assert (await reader.read()).startswith(b"\x15\x03\x03")
        assert w.denied[0][1].reason == "mitm_required"


async def test_another_servers_name_is_cut_off(world_authority):
    async with place(world_authority, answering(OK)) as (w, _, port, reader, writer):
        assert await w.connect(reader, writer, f"{HOST}:{port}") == 200
        writer.write(hello("other.test"))
        assert (await reader.read()).startswith(b"\x15\x03\x03")
        assert w.denied[0][1].reason == "server_name_mismatch"


async def test_a_server_that_cannot_prove_itself_is_a_bad_gateway(world_authority):
    other = Interception()
    async with (
        tls_server(quiet(answering(OK)), other) as wrong_authority,
        tls_server(quiet(answering(OK)), world_authority, "other.test") as wrong_name,
        world(HOST, network=LIMITED, interceptor=interception(world_authority)) as w,
    ):
        for port in (wrong_authority, wrong_name):
            async with w.client() as (reader, writer):
                writer.write(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                status, _, body = await answer(reader)
                assert status == 502
                assert b"prove" in body
        assert w.denied == []


async def test_a_server_without_tls_is_a_bad_gateway(world_authority):
    async with (
        server(echo) as port,
        world(HOST, network=LIMITED, interceptor=interception(world_authority)) as w,
        w.client() as (reader, writer),
    ):
        assert await w.connect(reader, writer, f"{HOST}:{port}") == 502


async def test_socks_is_looked_into_as_well(world_authority):
    async with place(world_authority, answering(OK)) as (_, made, port, reader, writer):
        writer.write(b"\5\1\0\5\1\0\3\7ok.test" + port.to_bytes(2))
        assert (await reader.readexactly(12))[3] == 0
        await writer.start_tls(trusting(made), server_hostname=HOST)
        writer.write(request(port, "PUT", more="Content-Length: 0\r\n"))
        assert (await answer(reader))[0] == 403


async def test_a_client_that_does_not_trust_us_gets_nothing(world_authority):
    async with place(world_authority, answering(OK)) as (w, _, port, reader, writer):
        await w.connect(reader, writer, f"{HOST}:{port}")
        with pytest.raises(ssl.SSLCertVerificationError):
            await writer.start_tls(ssl.create_default_context(), server_hostname=HOST)
        assert (await w.get("http://no.test/"))[0] == 403


def test_certificates_are_made_once_for_each_host():
    made = Interception()
    assert made.context(read_host("a.test")) is made.context(read_host("A.test."))
    assert made.context(read_host("a.test")) is not made.context(read_host("b.test"))


def test_bundles_are_named_by_content_and_hold_no_key(tmp_path):
    made = Interception()
    mine = tmp_path / "mine.pem"
    mine.write_bytes(Interception().certificate)
    own = [("SSL_CERT_FILE", str(mine)), ("PIP_CERT", str(tmp_path / "none.pem"))]
    common, merged = bundles(made, str(tmp_path / "proxy"), own)
    assert bundles(made, str(tmp_path / "proxy"), own) == (common, merged)
    assert list(merged) == ["SSL_CERT_FILE"]
    assert made.certificate.strip() in Path(common).read_bytes()
    assert mine.read_bytes().strip() in Path(merged["SSL_CERT_FILE"]).read_bytes()
    for path in Path(tmp_path, "proxy").iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
        assert b"PRIVATE" not in path.read_bytes()
    ssl.create_default_context(cafile=common)


def test_a_bundle_that_was_changed_is_written_again(tmp_path):
    path = Path(write_bundle(str(tmp_path), (b"a", b"", b"b")))
    assert path.read_bytes() == b"a\nb\n"
    path.write_bytes(b"evil")
    assert write_bundle(str(tmp_path), (b"a", b"b")) == str(path)
    assert path.read_bytes() == b"a\nb\n"


def test_the_systems_roots_are_pem():
    roots = system_roots()
    assert roots == b"" or roots.startswith(b"-----BEGIN CERTIFICATE-----")


def test_bundles_nobody_used_for_long_are_removed(tmp_path):
    old = Path(write_bundle(str(tmp_path), [b"old"]))
    used = Path(write_bundle(str(tmp_path), [b"used"]))
    for one in (old, used):
        os.utime(one, (1, 1))
    write_bundle(str(tmp_path), [b"used"])  # a command was started with it again
    write_bundle(str(tmp_path), [b"new"])
    assert not old.exists()
    assert used.exists()
