"""Commands through the library's door, in both backends.

Wine keeps no access lists and restricts no token, so nothing here is about what is refused; the
other account is ours here, because Wine has no logon. All else is the real way.
"""

import asyncio
import os
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import CMD, env, python
    from runners import gone

    from octavo.policy.places import Places
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.child import StartError, end
    from octavo.process.run import run
    from octavo.process.spec import Pipes, ProcessSpec, Terminal
    from octavo.protocol.errors import SandboxUnavailable
    from octavo.protocol.permissions import Access, FileRule, NetworkRules, RuleRef
    from octavo.sandbox.launcher import Launcher
    from octavo.sandbox.prepare_windows import Accounts
    from octavo.sandbox.session import Session, WindowsChoice
    from octavo.sandbox.win32 import launch as launching
    from octavo.sandbox.win32 import own
    from octavo.sandbox.win32 import programs as copies
    from octavo.sandbox.win32.logon import OurAccount
    from octavo.sandbox.win32.winapi import CallError
    from octavo.sandbox.windows.retry import AttemptError
    from octavo.sandbox.wish import Wish

S = 60.0


@pytest.fixture
def places(tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    return str(work), str(home)


def rule(path, access):
    return FileRule(path=path, access=access, ref=RuleRef(text="a test", source="flag"))


def profile_for(work, *, network=False, unrestricted=False):
    return EffectiveProfile(
        name="test",
        mode=None,
        rules=(rule("/", Access.READ), rule(work, Access.WRITE)),
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
            self.logon = self

        def accounts(self):
            mine = own.user_sid()
            return Accounts("S-1-5-21-9-9-9-1001", mine, "S-1-5-21-9-9-9-1003")

        def load(self, home, launch):
            return Pretend()

        def refresh(self, home, environ, launch):
            self.refreshed.append(launch)
            return Pretend()

        def runner(self, home, accounts):
            return copies.Runner((sys.executable, "-I", "-m", "octavo.sandbox.win32.runner"), ())

        def start(self, account, argv):
            self.started.append(argv)
            if self.failures:
                raise CallError("CreateProcessWithLogon", self.failures.pop(0))
            return OurAccount().start(account, argv)


def launched(
    places, words, *, level="unelevated", network=False, stdio=None, elevated=None, **more
):
    work, home = places
    spec = ProcessSpec(argv=tuple(words), env=env(), cwd=work, stdio=stdio or Pipes())

    async def once():
        platform = launching.Platform(session_at(home, level), elevated=elevated)
        confined = await platform.start(spec, profile_for(work, network=network), Wish(), limits=())
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
