"""The same small promises on every rung this machine has, and honest refusals where one ends."""

import asyncio
import os
import shutil
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the ladder is Linux's", allow_module_level=True)

from octavo import CommandRunner, PermissionProfile, Sandbox, SandboxUnavailable
from octavo.sandbox import ladder
from octavo.sandbox.linux import landlock, status
from octavo.sandbox.linux.status import Record
from octavo.sandbox.session import RUNGS
from octavo.sandbox.spec import Command, Host, Plan, Policy

pytestmark = pytest.mark.linux

ROOT = os.getuid() == 0


def usable(rung):
    if rung == "native-root":
        return pytest.param(rung, marks=pytest.mark.skipif(not ROOT, reason="needs uid 0"))
    if rung == "bubblewrap":
        missing = shutil.which("bwrap") is None
        return pytest.param(
            rung, marks=pytest.mark.skipif(missing, reason="bubblewrap is not installed")
        )
    if rung == "landlock":
        old = landlock.abi() < 3
        return pytest.param(
            rung, marks=pytest.mark.skipif(old, reason="this kernel's Landlock is too old")
        )
    return pytest.param(rung)


EVERY = pytest.mark.parametrize("rung", [usable(rung) for rung in RUNGS])
WITH_A_VIEW = pytest.mark.parametrize("rung", [usable(r) for r in RUNGS if r != "landlock"])


@pytest.fixture
def run(octavo_home, workspace):
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(octavo_home),
        "OCTAVO_HOME": str(octavo_home),
    }

    def once(rung, argv, **more):
        async def body():
            async with CommandRunner(environ=environ, rungs=(rung,)) as runner:
                return await runner.run(argv, cwd=workspace, timeout=20, **more)

        try:
            return asyncio.run(body())
        except SandboxUnavailable as problem:
            if rung.startswith("native") and (
                "making namespaces" in str(problem) or "identity" in str(problem)
            ):
                pytest.skip(f"this machine refuses it: {problem}")
            raise

    return once


OPEN = {"filesystem": {":root": "read", ":cwd": "write"}, "protect_metadata": False}


def workspace_alone():
    return Sandbox.from_profile(PermissionProfile.from_mapping(OPEN))


@EVERY
def test_the_rung_is_named_and_writes_stay_in_the_workspace(run, rung, workspace, tmp_path):
    script = f"echo in > made; echo out > {tmp_path}/made; cat made"
    done = run(rung, ["sh", "-c", script], sandbox=workspace_alone())
    assert done.rung == rung
    assert done.output.text.endswith("in\n")
    assert (workspace / "made").exists()
    assert not (tmp_path / "made").exists()


@EVERY
@pytest.mark.parametrize("code", [0, 3, 143])
def test_exit_codes_and_signals_come_through(run, rung, code):
    script = f"exit {code}" if code < 128 else f"kill -{code - 128} $$"
    assert run(rung, ["sh", "-c", script]).exit_code == code


@EVERY
def test_input_output_and_errors_come_through(run, rung):
    done = run(rung, ["sh", "-c", "cat; echo err >&2"], input="in\n", merge_stderr=False)
    assert (done.output.text, done.stderr.text) == ("in\n", "err\n")


@EVERY
def test_what_a_command_leaves_running_ends_with_it(run, rung):
    marker = f"51.{os.getpid()}{RUNGS.index(rung)}"
    run(rung, ["sh", "-c", f"setsid sleep {marker} >/dev/null 2>&1 & sleep {marker} & true"])
    assert all(marker not in line for line in command_lines())


def command_lines():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    yield file.read().decode(errors="replace")
            except OSError:
                continue


@EVERY
def test_no_host_is_reached_without_the_network(run, rung):
    body = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 9), 5)\nexcept OSError as e:\n    print(e.errno)"
    done = run(rung, [sys.executable, "-I", "-S", "-B", "-c", body])
    assert done.output.text.strip() in ("1", "101")  # EPERM, ENETUNREACH


@WITH_A_VIEW
def test_other_processes_cannot_be_seen(run, rung):
    done = run(rung, ["sh", "-c", "ls -d /proc/[0-9]* | wc -l"])
    assert int(done.output.text) < 8


@WITH_A_VIEW
def test_a_hidden_folder_is_empty_of_news(run, rung, workspace):
    (workspace / "secret").mkdir()
    (workspace / "secret/key").write_text("key")
    mapping = {"filesystem": {":root": "read", ":cwd": "write", "./secret": "none"}}
    sandbox = Sandbox.from_profile(PermissionProfile.from_mapping(mapping, cwd=workspace))
    done = run(rung, ["sh", "-c", "cat secret/key; ls secret; echo end"], sandbox=sandbox)
    assert "key\n" not in done.output.text.replace("secret/key", "")
    assert done.output.text.endswith("end\n")


@WITH_A_VIEW
def test_protected_names_are_made_and_removed(run, rung, workspace):
    done = run(
        rung,
        ["sh", "-c", "mkdir .codex/x; echo x > .git; ls -A"],
        sandbox=Sandbox.workspace_write(),
    )
    assert {".git", ".codex", ".agents", ".octavo"} <= set(done.output.text.split())
    assert list(workspace.iterdir()) == []


MINIMAL = {"filesystem": {":minimal": "read", ":cwd": "write"}}


@pytest.mark.parametrize("watch", [False, True], ids=["plain", "watched"])
@pytest.mark.parametrize("rung", [usable(name) for name in ("native", "native-root", "bubblewrap")])
def test_a_minimal_view_holds_what_programs_need_and_nothing_else(run, rung, workspace, watch):
    sandbox = Sandbox.from_profile(PermissionProfile.from_mapping(MINIMAL, cwd=workspace))
    argv = ["sh", "-c", "ls /; ls /proc | head -1; echo x > made && cat made"]
    done = run(rung, argv, sandbox=sandbox, watch_denials=watch)
    assert done.exit_code == 0
    listed = set(done.output.text.split())
    assert {"usr", "proc", "dev", "x"} <= listed
    # through bubblewrap our own Python starts inside; wherever it is installed is then there
    own = {path.split("/")[1] for path in (sys.base_prefix, __file__) if rung == "bubblewrap"}
    assert not ({"home", "root", "var", "boot"} - own) & listed


@pytest.mark.parametrize("rung", [usable(name) for name in ("native", "native-root", "bubblewrap")])
def test_rules_inside_a_minimal_view_stay_where_they_are(run, rung, workspace):
    (workspace / "a" / "kept").mkdir(parents=True)
    (workspace / ".git").mkdir()
    table = {":minimal": "read", ":cwd": "write", "./a/kept": "read"}
    profile = PermissionProfile.from_mapping({"filesystem": table}, cwd=workspace)
    script = "echo x > a/new; echo x > a/kept/no; echo x > .git/no; mv a b; find . | sort"
    done = run(rung, ["sh", "-c", script], sandbox=Sandbox.from_profile(profile))
    assert {"./a/new", "./a/kept", "./.git"} <= set(done.output.text.split())
    assert not {"./b", "./a/kept/no", "./.git/no"} & set(done.output.text.split())
    assert not (workspace / "b").exists()


@pytest.mark.parametrize("rung", [usable(name) for name in ("native", "native-root", "bubblewrap")])
def test_a_minimal_view_has_no_file_that_no_rule_names(run, rung, workspace):
    secret = workspace.parent / "secret"
    secret.write_text("canary")
    home = os.path.expanduser("~")
    sandbox = Sandbox.from_profile(PermissionProfile.from_mapping(MINIMAL, cwd=workspace))
    done = run(
        rung,
        ["sh", "-c", f"cat {secret}; ls -A {home} /var/log; cat /proc/1/root{secret}"],
        sandbox=sandbox,
    )
    assert "canary" not in done.output.text
    assert done.exit_code != 0
    assert not set(os.listdir("/var/log")) & set(done.output.text.split())


@EVERY
def test_limits_hold(run, rung):
    from octavo import Limits

    done = run(rung, ["sh", "-c", "ulimit -n"], limits=Limits(open_files=19))
    assert done.output.text == "19\n"


# the decision, on paper --------------------------------------------------------------------------

STEPS = (("identity", 1, 1), ("hold", "/work", "dir"), ("seal", True), ("write", "/work"))


def paper(rung="native"):
    host = Host(uid=1, gid=1, machine="x86_64", abi=7)
    return Plan(rung, STEPS, (), Policy(()), host)


@pytest.mark.parametrize(("index", "errno", "condemned"), [
    (0xFFFF, 1, True),  # the namespaces themselves
    (0, 1, True), (2, 22, True), (2, 38, True),  # a step of the mechanism
    (1, 2, False), (1, 20, False), (3, 16, False),  # a path that changed
    (1, 1, True), (1, 13, False),
    (0xFFFF, 11, False), (0xFFFF, 12, False),  # too many processes, no memory: not the mechanism
])  # fmt: skip
def test_a_rung_is_given_up_only_for_the_mechanism_itself(index, errno, condemned):
    record = Record(status.STEP_FAILED, index=index, errno=errno)
    assert ladder.condemned(paper(), record) is condemned
    assert ladder.failure(paper(), record)


@pytest.mark.parametrize(("index", "errno", "again"), [
    (1, 2, True), (1, 20, True),  # it was there when it was planned
    (1, 13, False), (3, 2, False), (0xFFFF, 2, False), (0, 2, False),
])  # fmt: skip
def test_a_path_that_moved_is_planned_again(index, errno, again):
    assert ladder.moved(paper(), Record(status.STEP_FAILED, index=index, errno=errno)) is again
    assert not ladder.moved(paper(), None)


@pytest.mark.parametrize("phase", status.PHASES)
def test_a_failed_phase_is_named(phase):
    record = Record(status.CONFINE_FAILED, index=status.PHASES.index(phase), errno=13)
    called = {"cwd": "the working folder of the command"}.get(phase, phase)
    assert ladder.failure(paper(), record).startswith(f"{called}: ")


@pytest.mark.parametrize("kind", [status.EXITED, status.SPAWN_FAILED])
def test_a_command_that_was_started_is_no_failure_of_the_rung(kind):
    assert ladder.failure(paper(), Record(kind, errno=2)) is None


def test_the_environment_says_where_the_command_is():
    off = ladder.environment({"A": "1"}, Policy((), network="off"))
    on = ladder.environment({"A": "1"}, Policy((), network="on"))
    assert off == {"A": "1", "CODEX_SANDBOX_NETWORK_DISABLED": "1", "OCTAVO_SANDBOX": "1"}
    assert on == {"A": "1", "OCTAVO_SANDBOX": "1"}


def test_a_command_is_plain_data():
    command = Command(("true",), "/", {}, limits=(("cpu", 1),))
    assert (command.argv, command.cwd, command.limits, command.terminal) == (
        ("true",),
        "/",
        (("cpu", 1),),
        False,
    )
