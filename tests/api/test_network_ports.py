"""The way out through a port of this machine, as on macOS: one for each command, with its password.

The commands here are not confined; what the system adds there is in tests/sandbox/test_macos_*.
"""

import http.server
import shutil
import sys
import threading

import pytest

if sys.platform == "win32":
    pytest.skip("ports for commands: macOS, and tried on Linux", allow_module_level=True)

from octavo import PermissionProfile
from octavo.api.network import ManagedNetwork
from octavo.process import pipes
from octavo.process.run import run
from octavo.process.spec import ProcessSpec
from octavo.sandbox.confined import Confined
from octavo.sandbox.launcher import through_port
from octavo.sandbox.wish import Wish

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"here\n")

    def log_message(self, *_words):
        """Quiet."""


class Plain:
    """Starts commands without any sandbox, and remembers what it was asked for."""

    async def start(self, spec, profile, wish, *, limits):
        self.wish = wish
        return Confined(await pipes.start(spec), rung="none")


class Broken:
    """Cannot start anything."""

    async def start(self, spec, profile, wish, *, limits):
        raise OSError("no")


@pytest.fixture
def port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found.server_port
        found.shutdown()
        thread.join()


@pytest.fixture
async def gate(tmp_path):
    made = ManagedNetwork(str(tmp_path / "proxy"))
    yield made
    made.close()


def profile_for(port, folder, **more):
    rules = PermissionProfile.from_mapping(
        {
            "filesystem": {":root": "read"},
            "network": {"allow": [f"127.0.0.1:{port}"], "on_denial": "continue", **more},
        }
    )
    return rules.settled(str(folder), {"HOME": "/root"})


async def start(gate, platform, script, port, folder, **more):
    profile = profile_for(port, folder, **more)
    env = {"PATH": "/usr/bin:/bin"}
    spec = ProcessSpec(argv=("sh", "-c", script), cwd=str(folder), env=env)
    return await through_port(gate, platform, spec, profile, Wish(), (), None)


async def test_the_listed_host_is_reached_and_another_is_refused_and_named(gate, port, tmp_path):
    script = f"curl -sS -m 10 http://127.0.0.1:{port}/; curl -s -m 10 -w '%{{http_code}}' -o /dev/null http://no.example/"
    platform = Plain()
    confined = await start(gate, platform, script, port, tmp_path)
    done = await run(confined.child)
    assert done.stdout.text() == "here\n403"
    assert [one.subject for one in confined.denials()] == ["no.example:80"]
    assert platform.wish.proxy_port > 0


async def test_a_port_serves_nobody_without_the_commands_password(gate, port, tmp_path):
    script = f"curl -s -m 10 -x http://127.0.0.1:$CLOUDSDK_PROXY_PORT -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}/"
    confined = await start(gate, Plain(), script, port, tmp_path)
    assert (await run(confined.child)).stdout.text() == "407"


async def test_a_refusal_ends_the_command_that_made_it(gate, port, tmp_path):
    script = "echo before; curl -s -o /dev/null http://no.example/; sleep 30; echo after"
    confined = await start(gate, Plain(), script, port, tmp_path, on_denial="cancel")
    done = await run(confined.child, timeout_s=25)
    assert done.stdout.text() == "before\n"
    assert not done.timed_out


async def test_the_port_closes_with_the_command(gate, port, tmp_path):
    confined = await start(gate, Plain(), "echo $CLOUDSDK_PROXY_PORT", port, tmp_path)
    number = int((await run(confined.child)).stdout.text())
    script = f"curl -s -m 5 http://127.0.0.1:{number}/; echo $?"
    probe = await run(
        await pipes.start(
            ProcessSpec(argv=("sh", "-c", script), cwd="/", env={"PATH": "/usr/bin:/bin"})
        )
    )
    assert probe.stdout.text() == "7\n"


async def test_a_command_that_does_not_start_leaves_no_port(gate, port, tmp_path):
    with pytest.raises(OSError, match="no"):
        await start(gate, Broken(), "true", port, tmp_path)
    assert not gate._outlets
