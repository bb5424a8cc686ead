"""The proxy by itself, as a program; and whatever bytes it gets."""

import json
import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.proxy.standalone import main, read_policy
from proxy.world import HERE, answering, server, world

ENV = {"PYTHONPATH": os.pathsep.join(sys.path)}


def start(tmp_path, *more, policy=None):
    path, names = tmp_path / "policy.json", tmp_path / "names.json"
    path.write_text(json.dumps(policy or {"allow": ["ok.test"]}))
    names.write_text(json.dumps({"hosts": {"ok.test": [[HERE]]}}))
    argv = [sys.executable, "-m", "octavo.proxy.standalone", "--policy", str(path), *more]
    return subprocess.Popen(
        argv, stdin=-1, stdout=-1, stderr=-1, text=True, env={**os.environ, **ENV}
    )


@pytest.mark.slow
def test_it_says_where_it_listens_and_ends_with_its_input(tmp_path):
    with start(tmp_path, "--credentials") as process:
        word, http, socks, auth = process.stdout.readline().split()
        assert (word, http.partition("=")[2]) == ("READY", socks.partition("=")[2])
        assert auth.startswith("auth=octavo.standalone:")
        with socket.create_connection((HERE, int(http.partition("=")[2])), 5) as sock:
            sock.sendall(b"GET http://no.test/ HTTP/1.0\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 407 ")
        said = process.communicate("", timeout=20)
    assert process.returncode == 0, said


def test_the_settings_for_tests_need_the_word(tmp_path, capsys):
    path = tmp_path / "policy.json"
    path.write_text("{}")
    for more in (["--public", HERE], ["--resolver", "x"]):
        assert main(["--policy", str(path), *more]) == 2
        assert "add --test" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"allow": "x"}',
        '{"alow": []}',
        '{"mode": "half"}',
        '{"allow": ["127.1"]}',
        '{"deny": ["*"]}',
    ],
)
def test_a_bad_policy_is_one_error(tmp_path, text, capsys):
    path = tmp_path / "policy.json"
    path.write_text(text)
    assert main(["--policy", str(path)]) == 3
    assert str(path) in capsys.readouterr().err


def test_a_policy_is_read(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"allow": ["a.test"], "mode": "limited", "allow_local_binding": true}')
    policy = read_policy(str(path))
    assert (policy.limited, policy.local_binding) == (True, True)


JUNK = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"GET ", b"CONNECT ", b"http://ok.test/", b" HTTP/1.1\r\n", b"Host: ok.test\r\n", b"\r\n",
                         b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\5\1\0", b"\5\1\0\3\7ok.test\0\x50",
                         b"0\r\n\r\n"]),
    ),
    max_size=12,
)  # fmt: skip


@given(st.lists(JUNK.map(b"".join), min_size=1, max_size=8))
@settings(max_examples=40)
def test_no_bytes_break_the_proxy(many):
    import asyncio

    async def play():
        loop, wrong = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: wrong.append(context))
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        async with server(answering(ok)), world("ok.test") as w:
            for data in many:
                reader, writer = await w.open()
                writer.write(data)
                writer.write_eof()
                try:
                    async with asyncio.timeout(8):
                        await reader.read()
                except ConnectionError:
                    pass
                writer.close()
            assert (await w.get("http://no.test/"))[0] == 403
        assert wrong == []

    asyncio.run(play())
