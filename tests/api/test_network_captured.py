"""Programs that know nothing of proxies reach the hosts of their profile by name, and no other."""

import asyncio
import shutil
import socket
import sys
import time

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.network import ManagedNetwork
from octavo.policy.addresses import read_address
from octavo.proxy.resolve import ScriptedResolver
from octavo.sandbox.launcher import HOSTS_NOTE

HERE = "127.0.0.1"
TABLE = {"ok.test": [[HERE]], "other.test": [[HERE]], "deep.sub.test": [[HERE]]}


def network():
    """Names of a table, which all are on this machine and count as public."""
    return ManagedNetwork(
        "/nowhere", resolver=ScriptedResolver(TABLE), public=(read_address(HERE),)
    )


async def says_who(reader, writer):
    """Greets first, as a server of SSH does, then answers one line."""
    writer.write(b"hello\n")
    line = await reader.readline()
    writer.write(b"you said " + line)
    await writer.drain()
    writer.close()


class Run:
    """Runs Python programs without any setting for proxies."""

    def __init__(self, folder, runner):
        self._folder = folder
        self._runner = runner

    async def __call__(self, code, *allow, **more):
        (self._folder / "program.py").write_text(code)
        profile = PermissionProfile.from_mapping(
            {
                "filesystem": {":root": "read", ":cwd": "write"},
                "network": {"allow": list(allow), "on_denial": "continue", **more},
            }
        )
        done = await self._runner.run(
            ["env", "-i", sys.executable, "-IS", "program.py"],
            sandbox=Sandbox.from_profile(profile),
            cwd=self._folder,
            timeout=50,
        )
        if HOSTS_NOTE in done.notes:
            pytest.skip("commands get no network of their own here (no user namespaces)")
        return done


@pytest.fixture
async def run(tmp_path):
    async with CommandRunner(gate=network) as runner:
        yield Run(tmp_path, runner)


@pytest.fixture
async def port():
    made = await asyncio.start_server(says_who, HERE, 0)
    yield made.sockets[0].getsockname()[1]
    made.close()


TALK = """
import socket
with socket.create_connection(("{host}", {port}), 20) as found:
    stream = found.makefile("rwb")
    print(stream.readline().decode().strip())
    stream.write(b"it works\\n")
    stream.flush()
    print(stream.readline().decode().strip())
"""


async def test_a_plain_connection_to_a_listed_name_and_port_arrives(run, port):
    done = await run(TALK.format(host="ok.test", port=port), f"ok.test:{port}")
    assert done.output.text == "hello\nyou said it works\n"
    assert done.denials == ()


async def test_two_names_with_the_same_port_are_told_apart(run, port):
    code = TALK.format(host="ok.test", port=port) + TALK.format(host="other.test", port=port)
    done = await run(code, f"ok.test:{port}", f"other.test:{port}")
    assert done.output.text == "hello\nyou said it works\n" * 2


LOOK = """
import socket
for name in {names!r}:
    try:
        print(name, socket.gethostbyname(name))
    except OSError as error:
        print(name, "none")
"""


async def test_names_get_addresses_that_stay_and_addresses_stay_what_they_are(run):
    names = ["a.test", "b.test", "a.test", "192.0.2.7", "x_y.test", "-no-.test", "single"]
    done = await run(LOOK.format(names=names), "ok.test")
    lines = dict(line.split(" ", 1) for line in done.output.text.splitlines())
    assert lines["a.test"].startswith("127.64.0.")
    assert lines["b.test"] != lines["a.test"]
    assert lines["192.0.2.7"] == "192.0.2.7"
    assert lines["x_y.test"].startswith("127.64.0.")
    assert (lines["-no-.test"], lines["single"]) == ("none", "none")


TRY = """
import socket
for host, port in {ways!r}:
    try:
        with socket.create_connection((host, port), 10) as found:
            found.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print("reached" if found.recv(100) else "closed")
    except OSError:
        print("refused")
"""


async def test_a_name_that_is_not_listed_is_refused_with_a_record(run, port):
    second = port - 1
    ways = [("elsewhere.test", 443), ("192.0.2.1", 80), ("192.0.2.1", 81), ("ok.test", second)]
    done = await run(TRY.format(ways=ways), f"ok.test:{port}")
    assert "reached" not in done.output.text
    found = {one.subject: one for one in done.denials}
    assert set(found) == {
        "elsewhere.test:443", "192.0.2.1:80", "192.0.2.1:81", f"ok.test:{second}"
    }  # fmt: skip
    assert found[f"ok.test:{second}"].grant == f"--allow ok.test:{second}"
    assert found["elsewhere.test:443"].grant == "--allow elsewhere.test:443"


async def test_a_refused_connection_ends_the_command_at_once(run, port):
    code = (
        "import socket, time\nprint('before', flush=True)\n"
        "try:\n    socket.create_connection(('elsewhere.test', 443), 10).recv(1)\nexcept OSError: pass\n"
        "time.sleep(60)\nprint('after')\n"
    )
    began = time.monotonic()
    done = await run(code, f"ok.test:{port}", on_denial="cancel")
    assert time.monotonic() - began < 25
    assert done.output.text == "before\n"
    assert [one.subject for one in done.denials] == ["elsewhere.test:443"]


OWN = """
import socket
own = socket.socket()
own.bind(("127.0.0.1", {port}))
own.listen()
with socket.create_connection(("localhost", {port}), 5) as found:
    conn, _ = own.accept()
    conn.sendall(b"mine")
    print(found.recv(10).decode())
try:
    socket.create_connection(("127.0.0.1", 443), 5).recv(1)
    print("somebody answers")
except OSError:
    print("nobody else")
"""


async def test_the_commands_own_loopback_stays_its_own(run, port):
    done = await run(OWN.format(port=port), f"ok.test:{port}")
    assert done.output.text == "mine\nnobody else\n"
    assert done.denials == ()


FLOOD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in open("/etc/resolv.conf"):
    if line.startswith("nameserver"):
        server = line.split()[1]
        break
else:
    server = "127.0.0.1"
for n in range(30000):
    try:
        s.sendto(bytes([n & 255]) * (n % 600), (server, 53))
    except OSError:
        pass
print("sent")
"""


async def test_a_flood_of_questions_stops_nobody_else(run, port):
    flood, talk = await asyncio.gather(  # noqa: TID251 - two commands at once are the point
        run(FLOOD, f"ok.test:{port}"), CommandRunner.run(run._runner, ["true"])
    )
    assert (flood.output.text, talk.exit_code) == ("sent\n", 0)
    again = await run(TALK.format(host="ok.test", port=port), f"ok.test:{port}")
    assert again.output.text.startswith("hello")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_without_settings_reaches_a_web_server(tmp_path, port):
    async with CommandRunner(gate=network) as runner:
        profile = PermissionProfile.from_mapping(
            {"filesystem": {":root": "read"}, "network": {"allow": [f"ok.test:{port}"]}}
        )
        done = await runner.run(
            ["env", "-i", "curl", "-s", "-m", "10", f"telnet://ok.test:{port}"],
            sandbox=Sandbox.from_profile(profile),
            cwd=tmp_path,
            input="a line\n",
            timeout=30,
        )
    if HOSTS_NOTE in done.notes:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert done.output.text == "hello\nyou said a line\n"


def test_this_machine_says_whom_it_asks():
    assert socket.gethostbyname("localhost") == HERE  # else nothing here means anything
