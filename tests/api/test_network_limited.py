"""What is inside encrypted connections is looked at: limited mode, and rules about single requests."""

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
from octavo.protocol.errors import ConfigError
from octavo.proxy.mitm import Interception
from octavo.proxy.resolve import ScriptedResolver
from octavo.sandbox.launcher import HOSTS_NOTE

HERE = "127.0.0.1"
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Answer(http.server.BaseHTTPRequestHandler):
    """Says how it was asked, and which token came along."""

    def do_GET(self):
        body = f"{self.command} {self.path}\n"
        if self.headers["Authorization"]:
            body += f"{self.headers['Authorization']} {self.headers['Cookie']}\n"
        body = body.encode()
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
        {"REAL_TOKEN": "s3cret"},
        resolver=ScriptedResolver({"ok.test": [[HERE]]}),
        public=(read_address(HERE),),
        interception=lambda: Interception(trust),
    )
    folder = tmp_path / "work"
    folder.mkdir()

    async def runs(runner, script, port, files=None, network=None):
        profile = PermissionProfile.from_mapping(
            {
                "filesystem": files or {":root": "read", ":cwd": "write"},
                "network": {
                    "allow": [f"ok.test:{port}"], "on_denial": "continue",
                    **(network or {"mode": "limited"}),
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


def hooked(**more):
    """One host, of which one folder is open, with a token that the command does not have."""
    token = {"name": "Authorization", "secret_env_var": "REAL_TOKEN", "prefix": "Bearer "}
    action = {"strip_request_headers": ["Cookie"], "inject_request_headers": [token]}
    hook = {
        "host": "ok.test", "methods": ["GET"], "path_prefixes": ["/mine"], "action": "auth",
    }  # fmt: skip
    return {"mitm": {"hooks": {"mine": hook}, "actions": {"auth": action}}, **more}


@WAYS
async def test_a_secret_is_put_in_where_the_command_has_none(run, way):
    runs, secure, _ = run
    line = f"{way}curl -sS -m 20 -H 'Authorization: mine' -H 'Cookie: c' https://ok.test:{secure}/mine/a"
    done = await runs(line, secure, network=hooked())
    assert done.output.text == "GET /mine/a\nBearer s3cret None\n"
    assert done.denials == ()


@WAYS
@pytest.mark.parametrize(
    ("path", "more"), [("/other", ""), ("/mine/../other", "--path-as-is"), ("/mine", "-X POST")]
)
async def test_every_other_request_to_the_host_is_refused(run, way, path, more):
    runs, secure, _ = run
    line = f"{way}curl -s -m 20 {more} -w ' %{{http_code}}' https://ok.test:{secure}{path}"
    done = await runs(line, secure, network=hooked())
    assert done.output.text.endswith(" 403")
    assert "s3cret" not in done.output.text
    (denial,) = done.denials
    assert "mitm hook mine" in str(denial.rule)


async def test_without_encryption_the_host_gets_nothing(run):
    runs, _, plain = run
    line = f"curl -s -m 20 -o /dev/null -w '%{{http_code}}' http://ok.test:{plain}/mine"
    done = await runs(line, plain, network=hooked())
    assert done.output.text == "403"


async def test_the_command_finds_a_placeholder_where_the_secret_would_be(run):
    runs, secure, _ = run
    line = f'echo $REAL_TOKEN; curl -sS -m 20 -H "Authorization: Bearer $REAL_TOKEN" https://ok.test:{secure}/mine'
    done = await runs(line, secure, network=hooked(credential_broker=True))
    assert done.output.text == ("octavo-placeholder-not-a-secret\nGET /mine\nBearer s3cret None\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"secret_env_var": "GONE"}, "the variable GONE is empty or missing"),
        ({"secret_file": "/nowhere/at/all"}, "cannot be read"),
    ],
)
async def test_a_secret_that_is_missing_keeps_the_command_from_running(run, given, words, tmp_path):
    runs, secure, _ = run
    network = hooked()
    network["mitm"]["actions"]["auth"]["inject_request_headers"] = [{"name": "X-Key", **given}]
    with pytest.raises(ConfigError, match=words):
        await runs(f"touch {tmp_path}/work/made", secure, network=network)
    assert not (tmp_path / "work" / "made").exists()


async def test_a_secret_comes_from_a_file_as_well(run, tmp_path):
    runs, secure, _ = run
    (tmp_path / "token").write_text("from-a-file\n")
    network = hooked()
    network["mitm"]["actions"]["auth"]["inject_request_headers"] = [
        {"name": "Authorization", "secret_file": str(tmp_path / "token")}
    ]
    line = f"curl -sS -m 20 https://ok.test:{secure}/mine; cat {tmp_path}/token"
    done = await runs(line, secure, network=network)
    assert done.output.text.startswith("GET /mine\nfrom-a-file None\n")
    assert done.output.text.count("from-a-file") == 1
