"""Limited mode: what is inside encrypted connections is looked at, and only reading goes through."""

import functools
import http.server
import shutil
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)
pytest.importorskip("cryptography")

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.network import ManagedNetwork
from octavo.policy.addresses import read_address
from octavo.policy.hosts import read_host
from octavo.proxy.mitm import Interception
from octavo.proxy.resolve import ScriptedResolver
from octavo.sandbox.launcher import HOSTS_NOTE

HERE = "127.0.0.1"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Answer(http.server.BaseHTTPRequestHandler):
    """Says how it was asked."""

    def do_GET(self):
        body = f"{self.command} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815 - the names http.server looks for

    def log_message(self, *_words):
        """Quiet."""


@contextmanager
def serving(context=None):
    """A web server; its port."""
    with http.server.ThreadingHTTPServer((HERE, 0), Answer) as found:
        if context is not None:
            found.socket = context.wrap_socket(found.socket, server_side=True)
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found.server_port
        found.shutdown()
        thread.join()


@pytest.fixture
async def run(tmp_path):
    origin = Interception()  # whom the server has its certificate from
    trust = ssl.create_default_context(cadata=origin.certificate.decode())
    gate = functools.partial(
        ManagedNetwork,
        str(tmp_path / "proxy"),
        resolver=ScriptedResolver({"ok.test": [[HERE]]}),
        public=(read_address(HERE),),
        interception=lambda: Interception(trust),
    )
    folder = tmp_path / "work"
    folder.mkdir()

    async def runs(runner, script, port, files=None):
        profile = PermissionProfile.from_mapping(
            {
                "filesystem": files or {":root": "read", ":cwd": "write"},
                "network": {
                    "allow": [f"ok.test:{port}"], "mode": "limited", "on_denial": "continue",
                },
            }
        )  # fmt: skip
        done = await runner.run(
            ["sh", "-c", script], sandbox=Sandbox.from_profile(profile), cwd=folder, timeout=50
        )
        if HOSTS_NOTE in done.notes:
            pytest.skip("commands get no network of their own here (no user namespaces)")
        return done

    with serving(origin.context(read_host("ok.test"))) as secure, serving() as plain:
        async with CommandRunner(gate=gate) as runner:
            yield functools.partial(runs, runner), secure, plain


NO_SETTINGS = (
    "env -u HTTPS_PROXY -u https_proxy -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy "
)
WAYS = pytest.mark.parametrize("way", ["", NO_SETTINGS], ids=["with settings", "without settings"])


@WAYS
async def test_reading_over_tls_goes_through(run, way):
    runs, secure, _ = run
    done = await runs(f"{way}curl -sS -m 20 https://ok.test:{secure}/a/b", secure)
    assert done.output.text == "GET /a/b\n"
    assert done.denials == ()


@WAYS
async def test_writing_over_tls_is_refused_and_says_why(run, way):
    runs, secure, _ = run
    line = f"{way}curl -s -m 20 -o /dev/null -w '%{{http_code}}' -d x https://ok.test:{secure}/a"
    done = await runs(line, secure)
    assert done.output.text == "403"
    (denial,) = done.denials
    assert (denial.subject, denial.grant) == (f"ok.test:{secure}", 'mode = "full"')


@WAYS
@pytest.mark.parametrize(("method", "code"), [("GET", "200"), ("POST", "403"), ("DELETE", "403")])
async def test_the_same_without_encryption(run, way, method, code):
    runs, _, plain = run
    line = (
        f"{way}curl -s -m 20 -o /dev/null -w '%{{http_code}}' -X {method} http://ok.test:{plain}/"
    )
    done = await runs(line, plain)
    assert done.output.text == code
    assert bool(done.denials) == (code == "403")


@pytest.mark.parametrize("first", ["SSH-2.0-x", "\\\\005\\\\001\\\\000", "\\\\000\\\\001"])
async def test_what_cannot_be_looked_into_is_refused_with_a_record(run, first):
    runs, _, plain = run
    code = (
        "import socket\n"
        f"found = socket.create_connection(('ok.test', {plain}), 10)\n"
        f"found.sendall(b'{first}'.decode('unicode_escape').encode('latin-1') + b' and more words')\n"
        "try:\n    print(found.recv(100)[:2] in (b'', bytes((21, 3))))\nexcept OSError:\n    print(True)\n"
    )
    done = await runs(f"{sys.executable} -IS -c \"$(cat <<'X'\n{code}\nX\n)\"", plain)
    assert done.output.text == "True\n"
    (denial,) = done.denials
    assert denial.grant == 'mode = "full"'


async def test_roots_that_a_command_had_set_are_kept_beside_ours(run, tmp_path):
    runs, secure, _ = run
    line = "grep -c BEGIN $SSL_CERT_FILE $CURL_CA_BUNDLE | cut -d: -f2"
    done = await runs(line, secure)
    system, _ = (int(one) for one in done.output.text.split())
    assert system >= 1


async def test_the_key_of_the_authority_is_in_no_file(run, tmp_path):
    runs, secure, _ = run
    await runs("true", secure)
    files = list((tmp_path / "proxy").iterdir())
    assert files
    for file in files:
        assert b"PRIVATE" not in file.read_bytes()


async def test_the_roots_can_be_read_where_little_else_can(run):
    runs, secure, _ = run
    files = {":minimal": "read", ":cwd": "write"}
    done = await runs(f"curl -sS -m 20 https://ok.test:{secure}/a", secure, files)
    assert done.output.text == "GET /a\n"


MISSING = """
import sys
sys.modules["cryptography"] = None
import octavo
profile = octavo.PermissionProfile.from_mapping({"filesystem": {":root": "read"},
    "network": {"allow": ["ok.test"], "mode": "limited"}})
try:
    octavo.run_command(["touch", sys.argv[1]], sandbox=octavo.Sandbox.from_profile(profile))
except octavo.SandboxUnavailable as refused:
    print(refused.hint)
"""


def test_without_the_library_nothing_runs_and_the_advice_names_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MISSING, str(tmp_path / "made")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "install octavo[mitm], or set the network's mode to full\n", done.stderr
    assert not (tmp_path / "made").exists()
