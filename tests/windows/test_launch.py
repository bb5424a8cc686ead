"""Commands through the library's door, in both backends.

Wine keeps no access lists and restricts no token, so nothing here is about what is refused; the
other account is ours here, because Wine has no logon. All else is the real way.
"""

import asyncio
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from msgspec.structs import replace
    from programs import CMD, env, python
    from runners import gone

    from octavo.api.network import ManagedNetwork
    from octavo.policy.places import Places
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.child import StartError, end
    from octavo.process.run import run
    from octavo.process.spec import Pipes, ProcessSpec, Terminal
    from octavo.protocol.errors import SandboxUnavailable
    from octavo.protocol.permissions import Access, FileRule, NetworkRules, RuleRef
    from octavo.sandbox.launcher import Launcher, through_port
    from octavo.sandbox.prepare_windows import Accounts
    from octavo.sandbox.session import Session, WindowsChoice
    from octavo.sandbox.win32 import elevate, grants, own
    from octavo.sandbox.win32 import launch as launching
    from octavo.sandbox.win32 import programs as copies
    from octavo.sandbox.win32.logon import OurAccount
    from octavo.sandbox.win32.winapi import CallError
    from octavo.sandbox.windows import acl
    from octavo.sandbox.windows.acl import Target
    from octavo.sandbox.windows.retry import AttemptError
    from octavo.sandbox.windows.setup import PROXY_PORTS, Marker
    from octavo.sandbox.wish import Wish

S = 60.0


class Here(BaseHTTPRequestHandler):
    """A host that a rule lists."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture
def places(tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    return str(work), str(home)


def rule(path, access, *, protected=False):
    ref = RuleRef(text="a test", source="flag")
    return FileRule(path=path, access=access, ref=ref, protected=protected)


def profile_for(work, *more, network=False, unrestricted=False):
    return EffectiveProfile(
        name="test",
        mode=None,
        rules=(rule("/", Access.READ), rule(work, Access.WRITE), *more),
        deny_globs=(),
        network=NetworkRules(enabled=network),
        unrestricted=unrestricted,
        places=Places(cwd=work, home=""),
    )


def session_at(home, level="unelevated"):
    choice = WindowsChoice(home=home, environ=env(), level=level)
    return Session(journal=home, windows=choice)


class Pretend:
    """An account that is our own."""

    username = "nobody"
    password = "none"

    @property
    def sid(self):
        return own.user_sid()


if sys.platform == "win32":

    class HereElevated(launching.Elevated):
        """The elevated backend with the accounts taken for ours, and a logon that can fail first."""

        def __init__(self, *failures):
            self.failures = list(failures)
            self.started = []
            self.refreshed = []
            self.readable = []
            self.ports = (41280, 41281)
            self.launches = []
            self.logon = self

        def accounts(self):
            mine = own.user_sid()
            return Accounts("S-1-5-21-9-9-9-1001", mine, "S-1-5-21-9-9-9-1003")

        def load(self, home, launch):
            return Pretend()

        def refresh(self, home, environ, launch):
            self.refreshed.append(launch)
            return Pretend()

        def marker(self, home):
            return Marker(created_at="now", proxy_ports=self.ports) if self.ports else None

        def begin(self, choice, spec, profile, plan, *more, ports=()):
            self.launches.append((plan.network, plan.identity, ports))
            return super().begin(choice, spec, profile, plan, *more, ports=ports)

        def let_read(self, choice, plan, first):
            self.readable.append(first)
            return ("somebody may not read",)

        def runner(self, home, accounts):
            return copies.Runner((sys.executable, "-I", "-m", "octavo.sandbox.win32.runner"), ())

        def start(self, account, argv):
            self.started.append(argv)
            if self.failures:
                raise CallError("CreateProcessWithLogon", self.failures.pop(0))
            return OurAccount().start(account, argv)


def launched(
    places,
    words,
    *,
    level="unelevated",
    network=False,
    stdio=None,
    elevated=None,
    wish=None,
    **more,
):
    work, home = places
    spec = ProcessSpec(argv=tuple(words), env=env(), cwd=work, stdio=stdio or Pipes())

    async def once():
        platform = launching.Platform(session_at(home, level), elevated=elevated)
        confined = await platform.start(
            spec, profile_for(work, network=network), wish or Wish(), limits=()
        )
        return await run(confined.child, timeout_s=S, **more), confined

    return asyncio.run(once())


# Unelevated --------------------------------------------------------------------------------------


def test_a_confined_command_runs_in_its_folder_with_its_variables(places):
    code = (
        "import os; print(os.getcwd()); print(os.environ['SBX_NONET_ACTIVE'], os.environ['PAGER'])"
    )
    done, confined = launched(places, python(code))
    assert done.stderr.text() == ""
    folder, rest = done.stdout.text().splitlines()
    assert folder.lower() == places[0].lower()
    assert rest == "1 more.com"
    assert confined.rung == "unelevated"
    assert any("network is only discouraged" in each for each in confined.notes)


def test_with_the_network_on_nothing_is_rewritten(places):
    done, _ = launched(
        places, python("import os; print(os.environ.get('SBX_NONET_ACTIVE'))"), network=True
    )
    assert done.stdout.text() == "None\r\n"


def test_a_stub_takes_the_place_of_ssh_and_fails(places):
    done, _ = launched(places, (CMD, "/c", "ssh host"))
    assert done.status.code == 1
    assert "no network" in done.stderr.text()
    stub = os.path.join(places[1], ".sandbox-stubs", "ssh.bat")
    with open(stub, "rb") as file:
        assert file.read().endswith(b"exit /b 1\r\n")


def test_a_command_writes_reads_and_is_typed_to(places):
    code = "import sys; open('made', 'w').write(sys.stdin.read()); print(open('made').read())"
    done, _ = launched(places, python(code), stdio=Pipes(stdin=True), stdin=b"words")
    assert done.stdout.text() == "words\r\n"
    assert done.status.ok


def test_a_confined_command_has_a_terminal(places):
    done, _ = launched(
        places, (CMD, "/c", "echo on screen <CONIN$ >CONOUT$ 2>&1"), stdio=Terminal()
    )
    assert "on screen" in done.stdout.text()


def test_a_missing_program_is_the_users_error(places):
    with pytest.raises(StartError, match="no-such-program") as caught:
        launched(places, ("no-such-program",))
    assert caught.value.shell_code == 127


@pytest.mark.parametrize(
    ("level", "words"), [("disabled", "no Windows sandbox is chosen"), ("strong", "is no level")]
)
def test_without_a_level_nothing_runs(places, level, words):
    with pytest.raises(SandboxUnavailable, match=words):
        launched(places, (CMD, "/c", "echo > made"), level=level)
    assert os.listdir(places[0]) == []


def test_what_is_not_held_here_is_refused(places):
    work, home = places
    spec = ProcessSpec(argv=(CMD,), env=env(), cwd=work)

    async def ask(wish, limits):
        return await launching.Platform(session_at(home)).start(
            spec, profile_for(work), wish, limits=limits
        )

    for wish, limits, words in (
        (Wish(), (("memory", 1),), "limits"),
        (Wish(nested_namespaces=True), (), "namespaces"),
        (Wish(overlay=("a", "b", "c")), (), "overlays"),
        (Wish(strict_network=True), (), "network none"),
    ):
        with pytest.raises(SandboxUnavailable, match=words):
            asyncio.run(ask(wish, limits))


def test_the_launcher_starts_commands_with_and_without_a_sandbox(places):
    work, home = places
    spec = ProcessSpec(argv=(CMD, "/c", "echo hello"), env=env(), cwd=work)

    async def both():
        launcher = Launcher(session_at(home))
        try:
            found = []
            for unrestricted in (False, True):
                profile = profile_for(work, unrestricted=unrestricted)
                confined = await launcher.start(spec, profile, wish=Wish())
                done = await run(confined.child, timeout_s=S)
                found.append((confined.rung, done.stdout.text().strip()))
            return found
        finally:
            launcher.close()

    assert asyncio.run(both()) == [("unelevated", "hello"), ("none", "hello")]


def test_what_was_made_for_a_command_and_is_empty_goes_after_the_last_one(places):
    work, home = places
    closed, own_rule = os.path.join(work, ".codex"), os.path.join(work, "kept")
    profile = profile_for(
        work, rule(closed, Access.READ, protected=True), rule(own_rule, Access.READ)
    )
    spec = ProcessSpec(argv=python("input()"), env=env(), cwd=work, stdio=Pipes(stdin=True))

    async def two():
        platform = launching.Platform(session_at(home))
        starts = [platform.start(spec, profile, Wish(), limits=()) for _ in range(2)]
        first, second = [(await start).child for start in starts]
        first.close()
        assert os.listdir(work) == [".codex", "kept"]  # the second command needs it
        second.close()
        platform.close()

    asyncio.run(two())
    assert os.listdir(work) == ["kept"]


def test_what_somebody_put_there_in_the_meantime_stays(places):
    work, home = places
    closed = os.path.join(work, ".git")
    profile = profile_for(work, rule(closed, Access.READ, protected=True))
    spec = ProcessSpec(argv=python("input()"), env=env(), cwd=work, stdio=Pipes(stdin=True))

    async def once():
        platform = launching.Platform(session_at(home))
        child = (await platform.start(spec, profile, Wish(), limits=())).child
        os.close(os.open(os.path.join(closed, "HEAD"), os.O_CREAT | os.O_WRONLY))
        child.close()
        platform.close()

    asyncio.run(once())
    assert os.listdir(closed) == ["HEAD"]


# Elevated ----------------------------------------------------------------------------------------


def test_a_command_in_the_other_account_is_like_any_other(places):
    code = (
        "import os, sys; sys.stderr.write('err'); "
        "print(sys.stdin.read(), os.environ.get('SBX_NONET_ACTIVE')); sys.exit(5)"
    )
    done, confined = launched(
        places,
        python(code),
        level="elevated",
        elevated=HereElevated(),
        stdio=Pipes(stdin=True),
        stdin=b"typed",
    )
    assert done.stdout.text() == "typed None\r\n"
    assert done.stderr.text() == "err"
    assert done.status.code == 5
    assert not done.left_open
    assert confined.rung == "elevated"


def test_two_megabytes_go_there_and_come_back(places):
    data = bytes(range(256)) * 8192
    from octavo.process.spec import OutputCaps

    done, _ = launched(
        places,
        python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"),
        level="elevated",
        elevated=HereElevated(),
        stdio=Pipes(stdin=True, merge_stderr=True),
        stdin=data,
        caps=OutputCaps(head_bytes=4 << 20, tail_bytes=0),
    )
    assert done.stdout.head == data


def test_what_could_not_be_made_readable_is_told_and_stops_nothing(places):
    elevated = HereElevated()
    done, confined = launched(places, (CMD, "/c", "echo x"), level="elevated", elevated=elevated)
    assert done.stdout.text() == "x\r\n"
    assert len(elevated.readable) == 1
    assert "somebody may not read" in confined.notes


def test_the_accounts_are_to_read_the_system_the_folder_and_no_profile_as_such(places):
    work, home = places
    accounts = HereElevated().accounts()
    rules = [("/", "read", "x"), (home, "write", "x"), (work, "read", "x")]
    found = grants.reading_roots(rules, home=home, cwd=work, env=env(), accounts=accounts)
    folded = {path.lower() for path in found}
    assert {r"c:\windows", work.lower()} <= folded
    assert os.environ["USERPROFILE"].lower() not in folded
    assert home.lower() not in folded
    inside = [path for path in folded if path.startswith(os.environ["USERPROFILE"].lower())]
    assert inside


@pytest.mark.traced
def test_the_folder_of_a_command_is_made_readable_before_it_and_the_rest_is_left_to_others(
    places, trace
):
    work, home = places
    group = HereElevated().accounts().group
    # an entry of another kind: under Wine everybody may read already
    targets = [Target(path, (acl.deny_write(group),), "a test") for path in (work, home)]
    readers = grants.Readers()
    for _ in range(2):
        assert readers.let_read(targets, home=home, first=(work,), real_user=lambda: "D\\me") == ()
    written = [
        each.path for each in trace.written() if any(ace.sid == group for ace in each.explicit)
    ]
    assert {path.lower() for path in written} == {work.lower()}
    lines = [each for each in trace.asked("new_process") if "setup_helper" in each.arguments]
    assert len(lines) == 1


@pytest.mark.parametrize("code", [1326, 1312, 1331])
def test_stale_credentials_are_made_anew_once(places, code):
    elevated = HereElevated(code)
    done, _ = launched(places, (CMD, "/c", "echo x"), level="elevated", elevated=elevated)
    assert done.stdout.text().strip() == "x"
    assert len(elevated.started) == 2
    (launch,) = elevated.refreshed
    assert launch.identity == "offline"
    assert not launch.proxy_enforced


def test_a_second_failure_comes_out(places):
    elevated = HereElevated(1326, 1326)
    with pytest.raises(AttemptError, match="1326"):
        launched(places, (CMD, "/c", "echo x"), level="elevated", elevated=elevated)
    assert len(elevated.started) == 2
    assert len(elevated.refreshed) == 1


def test_another_failure_of_the_logon_is_not_tried_again(places):
    elevated = HereElevated(1385)
    with pytest.raises(AttemptError, match="1385"):
        launched(places, (CMD, "/c", "echo x"), level="elevated", elevated=elevated)
    assert len(elevated.started) == 1
    assert elevated.refreshed == []


def test_a_program_that_is_missing_there_is_the_users_error(places):
    with pytest.raises(StartError) as caught:
        launched(places, ("no-such-program",), level="elevated", elevated=HereElevated())
    assert caught.value.shell_code == 127


def test_a_deadline_ends_what_runs_there(places):
    work, home = places
    spec = ProcessSpec(
        argv=python("import time; print(1, flush=True); time.sleep(60)"), env=env(), cwd=work
    )

    async def once():
        platform = launching.Platform(session_at(home, "elevated"), elevated=HereElevated())
        confined = await platform.start(spec, profile_for(work), Wish(), limits=())
        return await run(confined.child, timeout_s=3.0)

    done = asyncio.run(once())
    assert done.timed_out
    assert done.stdout.text() == "1\r\n"


def test_output_nobody_reads_does_not_hold_up_the_end(places):
    work, home = places
    spec = ProcessSpec(
        argv=python("import os\nwhile True: os.write(1, b'x' * 65536)"), env=env(), cwd=work
    )

    async def once():
        platform = launching.Platform(session_at(home, "elevated"), elevated=HereElevated())
        confined = await platform.start(spec, profile_for(work), Wish(), limits=())
        try:
            return await end(confined.child)
        finally:
            confined.child.close()

    assert asyncio.run(once())


def test_a_terminal_there_prints_and_reads(places):
    with open(os.path.join(places[0], "ask.py"), "w") as file:
        file.write("print('got:' + input() + ':')")
    line = f'"{sys.executable}" -I -S ask.py <CONIN$ >CONOUT$ 2>&1'
    done, _ = launched(
        places,
        (CMD, "/c", line),
        level="elevated",
        elevated=HereElevated(),
        stdio=Terminal(rows=30, cols=90),
        stdin=b"hello\n",
    )
    assert "got:hello:" in done.stdout.text()


def test_without_set_up_the_elevated_backend_refuses(places):
    class Missing(HereElevated):
        def accounts(self):
            return None

    with pytest.raises(SandboxUnavailable, match="not set up"):
        launched(places, (CMD, "/c", "echo > made"), level="elevated", elevated=Missing())
    assert os.listdir(places[0]) == []


def test_a_start_nobody_waits_for_any_more_leaves_nothing_running(places):
    work, home = places
    spec = ProcessSpec(argv=python("import time; time.sleep(60)"), env=env(), cwd=work)
    begun = []

    class Watched(HereElevated):
        def start(self, account, argv):
            made = super().start(account, argv)
            begun.append(made.pid)
            return made

    async def once():
        platform = launching.Platform(session_at(home, "elevated"), elevated=Watched())
        start = asyncio.ensure_future(platform.start(spec, profile_for(work), Wish(), limits=()))
        while not begun:  # noqa: ASYNC110 - it happens in a thread
            await asyncio.sleep(0.01)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    asyncio.run(once())
    assert gone(begun[0])


# Held to a proxy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["disabled", "unelevated", "elevated"])
def test_a_command_with_a_proxy_is_always_in_the_account_that_has_no_other_way_out(places, level):
    elevated = HereElevated()
    bundle = os.path.join(places[1], "roots.pem")
    with open(bundle, "w") as file:
        file.write("x")
    done, confined = launched(
        places,
        python("import os; print(os.environ.get('SBX_NONET_ACTIVE'))"),
        level=level,
        network=True,
        elevated=elevated,
        wish=Wish(proxy_port=41281, readable=(bundle,)),
    )
    assert done.stdout.text() == "None\r\n"
    assert confined.rung == "elevated"
    assert elevated.launches == [("proxy", "offline", (41281,))]
    assert elevated.readable == [(places[0], bundle)]


@pytest.mark.parametrize(
    ("ports", "words"), [((), "it is not set up"), ((41290,), "port 41281 is not open")]
)
def test_without_an_open_port_a_command_with_a_proxy_does_not_run(places, ports, words):
    elevated = HereElevated()
    elevated.ports = ports
    with pytest.raises(SandboxUnavailable, match=words) as caught:
        launched(places, (CMD, "/c", "echo > made"), elevated=elevated, wish=Wish(proxy_port=41281))
    assert "octavo sandbox setup" in caught.value.hint
    assert os.listdir(places[0]) == []


def test_who_serves_hosts_is_told_which_ports_are_open(places):
    elevated = HereElevated()
    platform = launching.Platform(session_at(places[1]), elevated=elevated)
    profile = profile_for(places[0], network=True)
    assert asyncio.run(platform.ports(profile)) == (41280, 41281)
    elevated.ports = ()
    with pytest.raises(SandboxUnavailable, match="rules per host"):
        asyncio.run(platform.ports(profile))


def test_set_up_opens_ports_for_proxies(tmp_path):
    assert elevate.provision(str(tmp_path)).proxy_ports == PROXY_PORTS


SERVED = (
    "import os, urllib.request, urllib.error\n"
    "for host in (os.environ['HOST'], 'no.example'):\n"
    "    try: print(urllib.request.urlopen(f'http://{host}/', timeout=20).read().decode())\n"
    "    except urllib.error.HTTPError as error: print(error.code)\n"
)


def test_a_listed_host_is_reached_through_the_port_and_another_is_not(places):
    work, home = places
    server = HTTPServer(("127.0.0.1", 0), Here)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    host = f"127.0.0.1:{server.server_port}"
    network = NetworkRules(enabled=True, allow=(host,), on_denial="continue")
    profile = replace(profile_for(work), network=network)
    spec = ProcessSpec(argv=python(SERVED), env=env(HOST=host), cwd=work)

    async def once():
        gate = ManagedNetwork(os.path.join(home, "proxy"), {})
        platform = launching.Platform(session_at(home), elevated=HereElevated())
        try:
            ports = await platform.ports(profile)
            confined = await through_port(
                gate, platform, spec, profile, Wish(), (), None, ports=ports
            )
            done = await run(confined.child, timeout_s=S)
            return done, confined.denials()
        finally:
            gate.close()

    try:
        done, denials = asyncio.run(once())
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert done.stderr.text() == ""
    assert done.stdout.text().split() == ["here", "403"]
    assert [one.subject for one in denials] == ["no.example:80"]
