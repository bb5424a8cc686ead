"""Commands that try to get out by every trick: real programs, a real proxy, servers that remember."""

import asyncio
import base64
import gc
import os
import resource
import socket
import ssl
import sys
import time

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)
pytest.importorskip("cryptography")

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.network import ManagedNetwork
from octavo.policy.addresses import read_address
from octavo.policy.hosts import read_host
from octavo.policy.rules import RuleSet
from octavo.proxy.mitm import Interception
from octavo.proxy.resolve import ScriptedResolver
from octavo.sandbox.launcher import HOSTS_NOTE

HERE = "127.0.0.1"
SECRET = "s3cret-that-commands-never-have"
TABLE = {
    "ok.test": [[HERE]], "other.test": [[HERE]], "inside.test": [["10.0.0.7"]],
    "mixed.test": [[HERE, "10.0.0.7"]], "turns.test": [[HERE], ["10.0.0.7"]],
    "mapped.test": [["::ffff:10.0.0.7"]], "hop.test": [["169.254.169.254"]],
}  # fmt: skip

PRELUDE = """
import base64, os, socket, ssl, sys, time
def talk(host, port, *pieces, sni=None, tls=False, wait=10):
    found, said = None, b""
    try:
        found = socket.create_connection((host, port), 8)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            found = context.wrap_socket(found, server_hostname=sni)
        for piece in pieces:
            found.sendall(piece)
        if not tls:
            found.shutdown(socket.SHUT_WR)
        found.settimeout(wait)
        while data := found.recv(65536):
            said += data
            if wait > 1 and said.endswith(b"ok"):
                break
        return said
    except OSError as error:
        return said if said or isinstance(error, TimeoutError) else b"ended"
    finally:
        if found is not None:
            found.close()
def status(said):
    return [int(one[:3]) for one in said.split(b"HTTP/1.1 ")[1:]]
"""


class Origin:
    """A server that remembers every byte, and answers each head."""

    def __init__(self):
        self.seen = b""
        self.connections = 0

    async def __call__(self, reader, writer):
        self.connections += 1
        try:
            while data := await reader.read(65_536):
                self.seen += data
                for _ in range(data.count(b"\r\n\r\n")):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                if b"HTTP/1.0" in data or b"close" in data.lower():
                    break
        except OSError:
            pass
        finally:
            writer.close()


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.origin = Origin()
        self.issuer = Interception()  # whom the server has its certificate from
        trust = ssl.create_default_context(cadata=self.issuer.certificate.decode())
        self.networks = []
        self.environ = {**os.environ, "REAL_TOKEN": SECRET}

        def network():
            self.networks.append(
                ManagedNetwork(
                    str(folder / "proxy"),
                    self.environ,
                    resolver=ScriptedResolver(TABLE),
                    public=(read_address(HERE),),
                    interception=lambda: Interception(trust),
                )
            )
            return self.networks[-1]

        self.runner = CommandRunner(gate=network, environ=self.environ)
        (folder / "work").mkdir()

    async def __call__(self, code, *allow, argv=None, on_denial="continue", **network):
        rules = {"allow": list(allow), "on_denial": on_denial, **network}
        profile = PermissionProfile.from_mapping(
            {"filesystem": {":root": "read", ":cwd": "write"}, "network": rules}
        )
        done = await self.runner.run(
            argv or [sys.executable, "-IS", "-c", PRELUDE + code],
            sandbox=Sandbox.from_profile(profile), cwd=self.folder / "work", timeout=50,
        )  # fmt: skip
        if HOSTS_NOTE in done.notes:
            pytest.skip("commands get no network of their own here (no user namespaces)")
        return done


@pytest.fixture
async def lab(tmp_path):
    made = Lab(tmp_path)
    context = made.issuer.context(read_host("ok.test"))
    plain = await asyncio.start_server(made.origin, HERE, 0, backlog=2_048)
    secure = await asyncio.start_server(made.origin, HERE, 0, ssl=context)
    made.plain, made.secure = (one.sockets[0].getsockname()[1] for one in (plain, secure))
    async with made.runner:
        yield made
    plain.close()
    secure.close()


def own_address():
    """Of an interface of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "192.168.0.1"
        return probe.getsockname()[0]


WAYS = """
for host, port in {ways!r}:
    print(host, port, talk(host, port, b"GET / HTTP/1.0\\r\\n\\r\\n") in (b"", b"ended"))
"""


async def test_every_other_address_leads_nowhere_and_is_told(lab):
    port = lab.plain
    told = {
        "other.test": port, "ok.test": 443, "192.0.2.1": port, own_address(): port,
        "10.0.0.7": 80, "2600::1": 443, "64:ff9b::a00:7": 443,
    }  # fmt: skip
    own = [(HERE, port), ("127.64.9.9", 443), ("127.127.0.1", port), ("::1", port), ("0.0.0.0", port),
           ("::ffff:127.0.0.1", port), ("127.0.0.53", port)]  # fmt: skip
    done = await lab(WAYS.format(ways=[*told.items(), *own]), f"ok.test:{port}")
    assert "False" not in done.output.text, done.output.text
    assert lab.origin.connections == 0
    subjects = {one.subject for one in done.denials}
    for host, at in told.items():
        assert any(one.endswith(f":{at}") and host[:4] in one for one in subjects), (host, subjects)


CONNECTS = """
proxy = int(os.environ["HTTP_PROXY"].rpartition(":")[2])
for target in {targets!r}:
    head = f"CONNECT {{target}} HTTP/1.1\\r\\nHost: {{target}}\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n"
    print(target, status(talk("127.0.0.1", proxy, head.encode()))[:1])
"""


async def test_the_proxy_connects_to_nothing_else_however_it_is_written(lab):
    port = lab.plain
    hosts = ["localhost", HERE, "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "127.1",
             "2130706433", "0x7f.1", "017700000001", own_address(), "ok.test..", "ok.test@other.test",
             "other.test", "127.64.0.1", "[64:ff9b::7f00:1]", "inside.test", "mixed.test", "mapped.test",
             "hop.test", "ok.test\\tx", "x.localhost"]  # fmt: skip
    targets = [f"{host}:{port}" for host in hosts]
    targets += ["127.0.0.1:3128", "ok.test", f"ok.test:0{port}", "ok.test:0", f"ok.test:{port}/x"]
    listed = [
        f"{one}:{port}"
        for one in ("ok.test", "inside.test", "mixed.test", "mapped.test", "hop.test")
    ]
    done = await lab(CONNECTS.format(targets=targets), *listed)
    codes = dict(line.rsplit(" ", 1) for line in done.output.text.splitlines())
    assert set(codes.values()) <= {"[400]", "[403]"}, codes
    assert lab.origin.connections == 0


async def test_a_name_that_moves_to_a_private_address_is_cut_off_at_once(lab):
    code = (
        "for _ in range(3): print(talk('turns.test', {port}, b'GET / HTTP/1.0\\r\\n\\r\\n')[:12])"
    )
    done = await lab(code.format(port=lab.plain), f"turns.test:{lab.plain}")
    assert done.output.text.splitlines() == ["b'HTTP/1.1 200'", "b'ended'", "b'ended'"]
    assert [one.subject for one in done.denials] == [f"turns.test:{lab.plain}"]
    assert "10.0.0.7" not in str(done.denials)


async def test_the_names_of_another_command_are_nothing_here(lab):
    port = lab.plain
    hold = f"f = socket.create_connection(('ok.test', {port}), 8); print(f.getpeername()); time.sleep(1)"
    reach = f"time.sleep(0.3); print(talk('127.64.0.1', {port}, b'GET / HTTP/1.0\\r\\n\\r\\n'))"
    one, two = await asyncio.gather(  # noqa: TID251 - two commands at once are the point
        lab(hold, f"ok.test:{port}"), lab(reach, f"inside.test:{port}")
    )
    assert one.output.text == f"('127.64.0.1', {port})\n"
    assert two.output.text == "b'ended'\n"
    assert lab.origin.connections == 1


async def test_tls_that_names_another_host_is_cut_off(lab):
    port = lab.secure
    code = (
        f"print(status(talk('ok.test', {port}, b'GET /a HTTP/1.0\\r\\n\\r\\n', tls=True, sni='ok.test')))\n"
        f"print(status(talk('ok.test', {port}, b'GET /b HTTP/1.0\\r\\n\\r\\n', tls=True, sni='other.test')))\n"
    )
    done = await lab(code, f"ok.test:{port}")
    assert done.output.text == "[200]\n[]\n"
    assert lab.origin.seen == b"GET /a HTTP/1.0\r\n\r\n"
    (denial,) = done.denials
    assert denial.subject == f"ok.test:{port}"


HEAD = "Host: ok.test:{port}\r\n"
SMUGGLED = [
    # (what is sent, what may not arrive)
    "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc",
    "GET / HTTP/1.1\r\n{host}Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 0\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\n{host}\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET /\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET / HTTP/1.1\r\n{host}X: \x00\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "get / HTTP/1.1\r\n{host}\r\n",
    "GET http://other.test/evil HTTP/1.1\r\n{host}\r\n",
    "GET http://ok.test:{port}/evil HTTP/1.1\r\n{host}\r\n",
    "GET /evil HTTP/1.1\r\nHost: other.test\r\n\r\n",
    "GET /evil HTTP/1.1\r\nHost: ok.test:{port}\r\nHost: other.test\r\n\r\n",
    "GET /evil HTTP/1.1\r\nHost: ok.test\r\n\r\n",
    "GET /evil HTTP/1.1\r\n\r\n",
    "CONNECT ok.test:{port} HTTP/1.1\r\n{host}\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
    "GET /evil HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nevil",
    "GET / HTTP/1.1\r\n{host}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\nPOST /evil HTTP/1.1\r\n{host}\r\n",
]  # fmt: skip


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "encrypted"])
async def test_nothing_is_smuggled_past_limited_mode(lab, secure):
    port = lab.secure if secure else lab.plain
    host = HEAD.format(port=port)
    sent = [one.format(host=host, port=port).encode() for one in SMUGGLED]
    close = f"GET /last HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode()
    code = f"for one in {sent!r}: print(status(talk('ok.test', {port}, one, tls={secure}, sni='ok.test', wait=0.5)))\n"
    code += f"print(status(talk('ok.test', {port}, {close!r}, tls={secure}, sni='ok.test')))\n"
    done = await lab(code, f"ok.test:{port}", mode="limited")
    lines = done.output.text.splitlines()
    assert len(lines) == len(sent) + 1, done.output.text
    assert lines[-1] == "[200]"
    assert b"/last" in lab.origin.seen
    for bad in b"POST evil other.test CONNECT PRI pgrade chunked get".split():
        assert bad not in lab.origin.seen, (bad, lab.origin.seen)


def hooked(**more):
    token = {"name": "Authorization", "secret_env_var": "REAL_TOKEN", "prefix": "Bearer "}
    action = {"strip_request_headers": ["Cookie"], "inject_request_headers": [token]}
    hook = {
        "host": "ok.test", "methods": ["GET"], "path_prefixes": ["/mine"], "action": "auth", **more,
    }  # fmt: skip
    return {"mitm": {"hooks": {"mine": hook}, "actions": {"auth": action}}}


REFUSED = [
    "GET /minefield", "GET /mine/../evil", "GET /mine/./x", "GET /mine/..;/evil", "GET /mine/..;a=b/evil",
    "GET /mine/%2e%2e/evil", "GET /mine/%252e%252e/evil", "GET /mine/..%2fevil", "GET /mine/..%5cevil",
    "GET /mine/..%3b/evil", "GET /mine/%c0%ae%c0%ae/evil", "GET /mine\\..\\evil", "GET //mine", "GET /mine//x",
    "GET /Mine", "GET /%6dine", "GET mine", "GET *", "OPTIONS *", "HEAD /mine", "POST /mine", "TRACE /mine",
    "GET /mine#/x", "GET https://ok.test/mine", "GET http://ok.test/mine", "GET /mine\t/x", "GET ?/mine",
    "GET /;/mine", "GET /x?/mine",
]  # fmt: skip


async def test_a_secret_goes_to_requests_of_its_rule_and_nowhere_else(lab):
    port = lab.secure
    host = HEAD.format(port=port)
    sent = [f"{one} HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode() for one in REFUSED]
    sent += [
        one.replace("GET / ", "GET /mine ").format(host=host, port=port).encode()
        for one in SMUGGLED[2:6]
    ]
    sent += [
        f"GET /mine HTTP/1.1\r\n{host}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
    ]
    sent += [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /mine HTTP/1.1\r\nHost: other.test\r\n\r\n"]
    bare = f"GET /mine HTTP/1.1\r\n{host}\r\n".encode()
    code = (
        f"for one in {sent!r}:\n"
        f"    said = talk('ok.test', {port}, one, tls=True, sni='ok.test', wait=0.5)\n"
        "    print(status(said), b's3cret' in said)\n"
        f"print(status(talk('ok.test', {port}, {bare!r})))\n"
    )
    done = await lab(code, f"ok.test:{port}", "other.test", **hooked())
    lines = done.output.text.splitlines()
    for line, one in zip(lines[:-1], sent, strict=True):
        assert line in ("[403] False", "[400] False", "[505] False", "[] False"), one
    assert lab.origin.seen == b""
    assert lines[-1] == "[403]"
    decisions = lab.networks[0]._proxy.decisions
    told = (done.output.text, str(done.denials), str(done.notes), str(decisions))
    assert not any(SECRET in one for one in told)


async def test_what_goes_through_carries_the_secret_once_and_nothing_of_the_commands_own(lab):
    port = lab.secure
    host = HEAD.format(port=port)
    heads = [
        f"GET /mine HTTP/1.1\r\n{host}Authorization: a\r\naUTHORIZATION: b\r\nCOOKIE: c\r\n\r\n",
        f"GET /mine HTTP/1.1\r\n{host}Connection: Authorization, Cookie, Host\r\nAuthorization: d\r\n\r\n",
        f"GET /mine HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: e\r\n\r\n",
        "GET /mine HTTP/1.0\r\nAuthorization:\tf\r\nProxy-Authorization: g\r\n\r\n",
    ]
    sent = [one.encode() for one in heads]
    code = f"for one in {sent!r}: print(status(talk('ok.test', {port}, one, tls=True, sni='ok.test', wait=2)))"
    done = await lab(code, f"ok.test:{port}", **hooked())
    assert done.output.text == "[200]\n" * 4
    for one in lab.origin.seen.split(b"GET ")[1:]:
        fields = [line.partition(b":") for line in one.lower().split(b"\r\n")[1:]]
        values = [value.strip() for name, _, value in fields if name == b"authorization"]
        assert values == [b"bearer " + SECRET.encode()]
        assert not any(
            name in (b"cookie", b"proxy-authorization", b"trailer") for name, _, _ in fields
        )
        assert [value.strip() for name, _, value in fields if name == b"host"] == [
            b"ok.test:%d" % port
        ]


async def test_a_header_that_a_rule_wants_has_to_reach_the_server(lab):
    port = lab.secure
    head = f"GET /mine HTTP/1.1\r\n{HEAD.format(port=port)}X-Kind: test\r\n"
    sent = [f"{head}\r\n".encode(), f"{head}Connection: X-Kind\r\n\r\n".encode()]
    code = f"for one in {sent!r}: print(status(talk('ok.test', {port}, one, tls=True, sni='ok.test', wait=2)))"
    done = await lab(code, f"ok.test:{port}", **hooked(headers={"X-Kind": ["test"]}))
    assert done.output.text == "[200]\n[403]\n"


@pytest.mark.parametrize("broker", [False, True])
async def test_the_variable_with_the_secret_is_not_the_commands(lab, broker):
    code = "echo x$REAL_TOKEN; cat /proc/*/environ 2>/dev/null | grep -c s3cret"
    done = await lab("", "ok.test", argv=["sh", "-c", code], credential_broker=broker, **hooked())
    expected = "octavo-placeholder-not-a-secret" if broker else ""
    assert done.output.text.split("\n")[:2] == ["x" + expected, "0"]


TRUSTS = """
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
with socket.create_connection(("ok.test", {port}), 20) as raw:
    with context.wrap_socket(raw, server_hostname="ok.test") as found:
        found.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print(status(found.recv(1000)))
"""


async def test_twenty_first_commands_at_once_have_one_proxy_and_one_authority(lab):
    code = TRUSTS.format(port=lab.secure)
    many = [lab(code, f"ok.test:{lab.secure}", mode="limited") for _ in range(20)]
    done = await asyncio.gather(*many)  # noqa: TID251 - many at once are the point
    assert [each.output.text for each in done] == ["[200]\n"] * 20
    living = [task for task in asyncio.all_tasks() if "_live" in str(task.get_coro())]
    assert len(living) == 1


FLOOD = """
found, wrong, full = [], 0, open("filling", "w")
for _ in range(2000):
    try:
        found.append(socket.create_connection(("ok.test", {port}), 20))
    except OSError:
        wrong += 1
os.rename("filling", "full")
while not os.path.exists("stop"):
    time.sleep(0.05)
print(len(found) + wrong)
"""


async def test_a_command_with_two_thousand_connections_takes_nothing_from_others(lab):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, before[1]))
    work = lab.folder / "work"
    try:
        flood = asyncio.ensure_future(lab(FLOOD.format(port=lab.plain), f"ok.test:{lab.plain}"))
        while not (work / "full").exists() and not flood.done():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
        used = len(os.listdir("/proc/self/fd"))
        other = await lab(WAYS.format(ways=[("ok.test", lab.plain)]), f"ok.test:{lab.plain}")
        (work / "stop").touch()
        done = await flood
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert used < 700
    assert other.output.text == f"ok.test {lab.plain} False\n"
    assert done.output.text == "2000\n"


async def test_a_refusal_ends_a_command_with_many_connections_at_once(lab):
    code = (
        f"found = [socket.create_connection(('ok.test', {lab.plain}), 20) for _ in range(150)]\n"
        "print('before', flush=True)\ntalk('other.test', 443)\ntime.sleep(60)"
    )
    began = time.monotonic()
    done = await lab(code, f"ok.test:{lab.plain}", on_denial="cancel")
    assert time.monotonic() - began < 25
    assert (done.output.text, done.limit) == ("before\n", None)
    proxy = lab.networks[0]._proxy
    async with asyncio.timeout(10):
        while proxy.connections:  # noqa: ASYNC110 - the end is under way
            await asyncio.sleep(0.01)


async def test_what_a_command_leaves_behind_reaches_nobody(lab):
    code = (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(0.5)\n"
        f"        talk('ok.test', {lab.plain}, b'late')\n    os._exit(0)\nos.wait()\nprint('gone')"
    )
    done = await lab(code, f"ok.test:{lab.plain}")
    assert done.output.text == "gone\n"
    await asyncio.sleep(0.8)
    assert lab.origin.connections == 0


async def test_a_command_with_thousands_of_refusals_is_told_of_two_hundred(lab):
    code = "for n in range(600): talk(f'10.1.{n // 250}.{n % 250}', 443)"
    done = await lab(code, "ok.test")
    assert len(done.denials) == 200


async def test_two_hundred_commands_leave_nothing_open(lab):
    await lab("", "ok.test", argv=["true"])
    gc.collect()
    files, tasks = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    for _ in range(200):
        await lab("", "ok.test", argv=["true"])
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - the last end is under way
            await asyncio.sleep(0.01)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= files + 4
    assert not lab.networks[0]._outlets


async def test_malformed_questions_break_nothing(lab):
    junk = [base64.b64encode(os.urandom(n)).decode() for n in (1, 11, 12, 13, 40, 200, 512, 600)]
    code = (
        "server = '127.0.0.1'\n"
        "for line in open('/etc/resolv.conf'):\n"
        "    if line.startswith('nameserver') and ':' not in line:\n"
        "        server = line.split()[1]\n        break\n"
        "found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "head = b'\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0'\n"
        f"for one in {junk!r}:\n"
        "    for data in (base64.b64decode(one), head + base64.b64decode(one)):\n"
        "        found.sendto(data, (server, 53))\n"
        "for tail in (b'\\xc0\\x0c\\0\\1\\0\\1', b'\\0\\0\\1\\0\\1', b'\\3a.b\\0\\0\\1\\0\\1', b'\\x3f', b'\\1\\xff\\0\\0\\1\\0\\1'):\n"
        "    found.sendto(head + tail, (server, 53))\n"
        f"print(status(talk('ok.test', {lab.plain}, b'GET / HTTP/1.0\\r\\n\\r\\n')))"
    )
    done = await lab(code, f"ok.test:{lab.plain}")
    assert done.output.text == "[200]\n"


class Nobody:
    """A child that cannot be ended."""

    def terminate(self):
        """Nothing."""

    kill = terminate


async def test_what_is_looked_up_before_a_command_starts_holds_when_it_runs(lab):
    profile = PermissionProfile.from_mapping({"network": {"allow": ["ok.test"], **hooked()}})
    settled = Sandbox.from_profile(profile).profile.settled(str(lab.folder), {})
    environ = {"REAL_TOKEN": SECRET}
    network = ManagedNetwork(str(lab.folder / "proxy"), environ)
    await network.offer(settled, {})
    environ.clear()
    listening = socket.create_server((HERE, 0))
    network.serve((listening.detach(),), settled, Nobody()).end()
    network.close()


async def test_a_start_that_was_given_up_leaves_no_second_proxy(lab):
    profile = PermissionProfile.from_mapping({"network": {"allow": ["ok.test"]}})
    settled = Sandbox.from_profile(profile).profile.settled(str(lab.folder), {})
    network = ManagedNetwork(str(lab.folder / "proxy"), {})
    for waits in range(4):
        offering = asyncio.ensure_future(network.offer(settled, {}))
        for _ in range(waits):
            await asyncio.sleep(0)
        offering.cancel()
        await asyncio.wait([offering])
    await network.offer(settled, {})
    living = [task for task in asyncio.all_tasks() if "_live" in str(task.get_coro())]
    assert len([one for one in living if not one.cancelling()]) == 1
    network.close()


class Counts:
    """An asker that only counts."""

    asks = False
    lines = 0

    def rules(self):
        return RuleSet()

    def noted(self, _decided, _failure):
        self.lines += 1


async def test_an_audit_does_not_grow_without_end(lab, monkeypatch):
    monkeypatch.setattr("octavo.api.network.MOST_RECORDED", 5)
    profile = PermissionProfile.from_mapping({"network": {"allow": ["ok.test"]}})
    settled = Sandbox.from_profile(profile).profile.settled(str(lab.folder), {})
    network, asker = ManagedNetwork(str(lab.folder / "proxy"), {}), Counts()
    await network.offer(settled, {}, asker)
    listening = socket.create_server((HERE, 0))
    port = listening.getsockname()[1]
    network.serve((listening.detach(),), settled, Nobody(), asker).cancels = False
    reader, writer = await asyncio.open_connection(HERE, port)
    for _ in range(8):
        writer.write(b"CONNECT other.test:1 HTTP/1.1\r\nHost: other.test:1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0)
    writer.close()
    assert asker.lines == 5
    network.close()
