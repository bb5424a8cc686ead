"""Commands that reach the hosts of their profile and nothing else, whatever they do."""

import http.server
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)

from octavo import Decision, PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.engine import Engine
from octavo.protocol.errors import UsageError
from octavo.sandbox.launcher import HOSTS_NOTE
from octavo.testing import ScriptedModel

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Answer(http.server.BaseHTTPRequestHandler):
    """Says what it is."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"here\n")

    def log_message(self, *_words):
        """Quiet."""


@contextmanager
def server():
    """A web server on loopback; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield found.server_port
        finally:
            found.shutdown()
            thread.join()


def profile(*allow, **more):
    return PermissionProfile.from_mapping(
        {
            "filesystem": {":root": "read", ":cwd": "write"},
            "network": {"allow": list(allow), **more},
        }
    )


async def run(script, given, tmp_path, **more):
    async with CommandRunner() as runner:
        done = await runner.run(
            ["sh", "-c", script], sandbox=Sandbox.from_profile(given), cwd=tmp_path, **more
        )
    if HOSTS_NOTE in done.notes:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    return done


def fetch(port, host="127.0.0.1"):
    return f"curl -sS -m 10 http://{host}:{port}/"


def refusals(done):
    return {(one.operation, one.subject) for one in done.denials}


@needs_curl
async def test_an_allowed_host_is_reached(tmp_path):
    with server() as port:
        done = await run(fetch(port), profile(f"127.0.0.1:{port}"), tmp_path)
    assert (done.exit_code, done.output.text) == (0, "here\n")
    assert done.denials == ()


@needs_curl
async def test_hosts_can_be_named_with_the_command(tmp_path):
    with server() as port:
        plain = PermissionProfile.from_mapping({"filesystem": {":root": "read"}})
        done = await run(fetch(port), plain, tmp_path, network=[f"127.0.0.1:{port}"])
        off = await run(fetch(port), profile(f"127.0.0.1:{port}"), tmp_path, network=False)
    assert done.output.text == "here\n"
    assert off.exit_code != 0
    assert "here" not in off.output.text


@pytest.mark.parametrize(
    ("sandbox", "network"),
    [
        (Sandbox.danger_full_access(), ["a.example"]),
        (Sandbox.danger_full_access(), False),
        (Sandbox.read_only(network=True), ["a.example"]),
        (Sandbox.read_only(), "a.example"),
    ],
)
def test_hosts_that_cannot_be_meant_are_refused(sandbox, network):
    with pytest.raises(UsageError):
        sandbox.with_network(network)


@needs_curl
async def test_another_port_of_the_same_host_is_refused_and_named(tmp_path):
    with server() as port, server() as other:
        done = await run(fetch(other), profile(f"127.0.0.1:{port}"), tmp_path)
    (denial,) = done.denials
    assert denial.subject == f"127.0.0.1:{other}"
    assert denial.grant == f"--allow 127.0.0.1:{other}"
    assert "here" not in done.output.text


@needs_curl
async def test_a_refusal_ends_a_long_command_at_once_and_keeps_its_output(tmp_path):
    script = (
        "echo before; (curl -sS -m 10 https://elsewhere.example/ || true); sleep 60; echo after"
    )
    began = time.monotonic()
    done = await run(script, profile("allowed.example"), tmp_path, timeout=50)
    assert time.monotonic() - began < 20
    assert done.output.text.startswith("before\n")
    assert "after" not in done.output.text
    assert done.limit is None
    assert ("connect", "elsewhere.example:443") in refusals(done)
    (denial,) = done.denials
    assert done.duration_ms - denial.at_ms < 1_000  # what the machine allows; usually 20


@needs_curl
async def test_a_refused_command_is_over_within_200_ms(tmp_path):
    """On a machine that does other things as well: the best of a few."""
    script = "echo before; curl -s -m 10 https://elsewhere.example/ ; sleep 60"
    took = []
    for _ in range(5):
        done = await run(script, profile("allowed.example"), tmp_path, timeout=50)
        assert done.output.text == "before\n"
        (denial,) = done.denials
        took.append(done.duration_ms - denial.at_ms)
    assert min(took) < 200


@needs_curl
async def test_it_may_be_told_and_go_on(tmp_path):
    script = "curl -s -m 10 http://elsewhere.example/; curl -s -m 10 http://third.example/; echo on"
    given = profile("allowed.example", on_denial="continue")
    done = await run(script, given, tmp_path)
    assert done.output.text.endswith("on\n")
    assert done.exit_code == 0
    assert refusals(done) == {("connect", "elsewhere.example:80"), ("connect", "third.example:80")}


DIRECT = """
import socket
for address in (("127.0.0.1", PORT), ("192.0.2.1", 80), ("2001:db8::1", 80), ("192.0.2.1", 81)):
    try:
        found = socket.create_connection(address, 3)
        found.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print("reached" if found.recv(100) else "no")
    except OSError:
        print("no")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    s.sendto(b"x", ("127.0.0.1", DATAGRAMS))
except OSError:
    pass
"""


async def test_there_is_no_way_around_the_proxy(tmp_path):
    with server() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        datagrams.settimeout(0)
        code = DIRECT.replace("PORT", str(port))
        code = code.replace("DATAGRAMS", str(datagrams.getsockname()[1]))
        (tmp_path / "direct.py").write_text(code)
        given = profile(f"127.0.0.1:{port}", on_denial="continue")
        done = await run(f"env -i {sys.executable} -S direct.py", given, tmp_path)
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
    assert done.output.text == "no\n" * 4
    # who knows of no proxy is refused as clearly as who does
    assert ("connect", "192.0.2.1:80") in refusals(done)


async def test_each_command_has_a_network_of_its_own(tmp_path):
    script = (
        f"{sys.executable} -S -c \"import socket; s=socket.socket(); s.bind(('127.0.0.1', 8765)); "
        "s.listen(); print('bound')\""
    )
    given = profile("allowed.example")
    async with CommandRunner() as runner:
        for _ in range(3):
            done = await runner.run(
                ["sh", "-c", script], sandbox=Sandbox.from_profile(given), cwd=tmp_path
            )
            assert done.output.text == "bound\n"


async def test_our_own_socket_is_not_the_commands_to_reuse(tmp_path):
    """Nobody but the command reaches its way out: outside nothing listens on that port."""
    async with CommandRunner() as runner:
        running = runner.run(
            ["sleep", "0.2"], sandbox=Sandbox.from_profile(profile("a.example")), cwd=tmp_path
        )
        done = await running
    assert done.exit_code == 0
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex(("127.0.0.1", 3128)) != 0


@needs_curl
async def test_the_model_is_told_host_rule_and_grant(tmp_path, monkeypatch):
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    with server() as port:
        model = ScriptedModel().calls("exec_command", cmd=fetch(port), login=False)
        model.calls(
            "exec_command", cmd=f"echo seen; {fetch(1, 'other.example')}; sleep 30", login=False
        )
        model.says("ok")
        async with Engine.open(model=model, home=tmp_path / "home") as engine:
            thread = await engine.start_thread(
                cwd=tmp_path / "work",
                sandbox=Sandbox.from_profile(profile(f"127.0.0.1:{port}")),
            )
            await thread.run("go")
    reached, refused = model.requests[-1].tool_outputs
    if "here" not in reached:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert "seen" in refused
    assert "other.example:1" in refused
    assert "--allow other.example:1" in refused


@needs_curl
@pytest.mark.parametrize("answer", ["deny", "once", "session"])
async def test_somebody_is_asked_about_a_host_that_is_not_listed(tmp_path, monkeypatch, answer):
    """An allowed name that does not exist is a 502 of the proxy: it was let through."""
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    asked = []

    async def approve(request):
        asked.append(request.argv)
        kinds = {"once": Decision.allow_once, "session": Decision.allow_for_session}
        return kinds.get(answer, Decision.deny)()

    script = "curl -s -o /dev/null -w '%{http_code}' http://elsewhere.example/"
    model = ScriptedModel()
    for _ in range(2):
        model.calls("exec_command", cmd=script, login=False)
    model.says("ok")
    async with Engine.open(model=model, home=tmp_path / "home") as engine:
        thread = await engine.start_thread(
            cwd=tmp_path / "work",
            sandbox=Sandbox.from_profile(profile("allowed.example", on_denial="continue")),
            approver=approve,
        )
        await thread.run("go")
    outputs = model.requests[-1].tool_outputs
    if not asked:
        assert any("000" in one for one in outputs)
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert set(asked) == {("network-access", "http://elsewhere.example:80")}
    assert len(asked) == (1 if answer == "session" else 2)
    assert all(("403" if answer == "deny" else "502") in one for one in outputs)


@needs_curl
@pytest.mark.parametrize(
    ("answer", "codes", "line"),
    [
        (Decision.allow_always(("network-access", "http://elsewhere.example:80")), "502 502",
         'network_rule(host="elsewhere.example", protocol="http", decision="allow", port=80)'),
        (Decision.allow_always(("network-access", "http://elsewhere.example")), "502 502",
         'network_rule(host="elsewhere.example", protocol="http", decision="allow")'),
        (Decision.deny_always(("network-access", "http://elsewhere.example:80")), "403 403",
         'network_rule(host="elsewhere.example", protocol="http", decision="deny", port=80)'),
    ],
    ids=["this port", "this host", "never"],
)  # fmt: skip
async def test_an_answer_for_ever_is_written_down_and_holds(
    tmp_path, monkeypatch, answer, codes, line
):
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    asked = []

    async def approve(request):
        asked.append(request.scope)
        return answer

    script = "curl -s -o /dev/null -w '%{http_code}' http://elsewhere.example/"
    outputs = []
    for _ in range(2):  # two threads: the second knows the answer from the file
        model = ScriptedModel().calls("exec_command", cmd=script, login=False)
        model.calls("exec_command", cmd=script, login=False).says("ok")
        async with Engine.open(model=model, home=tmp_path / "home") as engine:
            thread = await engine.start_thread(
                cwd=tmp_path / "work",
                sandbox=Sandbox.from_profile(profile("allowed.example", on_denial="continue")),
                approver=approve,
            )
            await thread.run("go")
        outputs += model.requests[-1].tool_outputs
    if not asked:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert asked == [
        "connections to http://elsewhere.example:80, in every folder and thread, without asking"
    ]
    for output, code in zip(outputs, codes.split() * 2, strict=True):
        assert code in output
    assert (tmp_path / "home" / "rules" / "default.rules").read_text() == line + "\n"


async def test_a_rule_file_allows_a_host(tmp_path, monkeypatch):
    for name in ("OCTAVO_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home" / "rules").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    rule = 'network_rule(host="elsewhere.example", protocol="http", decision="allow")\n'
    (tmp_path / "home" / "rules" / "mine.rules").write_text(rule)
    code = (
        "import urllib.request, urllib.error\n"
        "for name in ('elsewhere', 'third'):\n"
        "    try: urllib.request.urlopen(f'http://{name}.example/', timeout=20)\n"
        "    except urllib.error.HTTPError as error: print(name, error.code)\n"
        "    except OSError as error: print(name, 'no way out')\n"
    )
    (tmp_path / "work" / "ask.py").write_text(code)
    model = ScriptedModel().calls("exec_command", cmd=f"{sys.executable} ask.py", login=False)
    model.says("ok")
    async with Engine.open(model=model, home=tmp_path / "home") as engine:
        thread = await engine.start_thread(
            cwd=tmp_path / "work",
            sandbox=Sandbox.from_profile(profile("allowed.example", on_denial="continue")),
        )
        await thread.run("go")
    (output,) = model.requests[-1].tool_outputs
    audits = "".join(file.read_text() for file in (tmp_path / "home").rglob("audit*/**/*.jsonl"))
    if "no way out" in output:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert "elsewhere 502" in output
    assert "third 403" in output
    assert '"host":"elsewhere.example"' in audits
    assert '"host":"third.example"' in audits
