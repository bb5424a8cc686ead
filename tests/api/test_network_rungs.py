"""Rules per host on each mechanism: held, or refused, and never wider."""

import http.server
import shutil
import sys
import threading

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)

from octavo import PermissionProfile, Sandbox, SandboxUnavailable
from octavo.api.commands import CommandRunner
from octavo.sandbox.launcher import HOSTS_NOTE
from octavo.sandbox.linux import bubblewrap


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"here\n")

    def log_message(self, *_words):
        """Quiet."""


@pytest.fixture
def port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found.server_port
        found.shutdown()
        thread.join()


ASK = """
import socket, urllib.error, urllib.request
for port in (PORT, 9):
    try:
        print(urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read().decode().strip())
    except urllib.error.HTTPError as refused:
        print(refused.code)
    except OSError:
        print("no way out")
for address in (("127.0.0.1", PORT), ("192.0.2.1", 443)):
    try:
        found = socket.create_connection(address, 3)
        found.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print("around" if found.recv(9) else "no")
    except OSError:
        print("no")
"""


async def ask(rung, port, folder):
    profile = PermissionProfile.from_mapping(
        {
            "filesystem": {":root": "read"},
            "network": {"allow": [f"127.0.0.1:{port}"], "on_denial": "continue"},
        }
    )
    async with CommandRunner(rungs=(rung,)) as runner:
        return await runner.run(
            [sys.executable, "-ISc", ASK.replace("PORT", str(port))],
            sandbox=Sandbox.from_profile(profile),
            cwd=folder,
            timeout=50,
        )


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
async def test_bubblewrap_leads_to_the_proxy_and_nowhere_else(tmp_path, port):
    if not bubblewrap.find():
        pytest.skip("the installed bubblewrap is not used here")
    done = await ask("bubblewrap", port, tmp_path)
    if HOSTS_NOTE in done.notes:
        pytest.skip("bubblewrap makes no networks here")
    assert done.rung == "bubblewrap"
    assert done.output.text.split("\n")[:4] == ["here", "403", "no", "no"]
    assert "127.0.0.1:9" in {one.subject for one in done.denials}


async def test_landlock_alone_reaches_nobody_and_says_so(tmp_path, port):
    try:
        done = await ask("landlock", port, tmp_path)
    except SandboxUnavailable as refused:
        pytest.skip(f"no Landlock here: {refused}")
    assert HOSTS_NOTE in done.notes
    assert done.output.text.split("\n")[:4] == ["no way out", "no way out", "no", "no"]
