"""Starting and ending a command: the POSIX part anywhere, the sandbox itself on macOS."""

import os
import select
import signal
import socket
import sys
from pathlib import Path

import pytest

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.plan_macos import plan_macos
from octavo.sandbox.presets import PROTECTED, read_only, workspace_write

if sys.platform == "win32":
    pytest.skip("process groups are POSIX", allow_module_level=True)

from octavo.sandbox.macos import launch
from octavo.sandbox.macos.denials import LogStream
from octavo.sandbox.macos.denials import select as selected

DEADLINE_S = 20


def run(start, *argv, cwd="/", env=None, stdin=""):
    """(exit code, output) of a command with its output in a pipe."""
    reading, writing = os.pipe()
    source, feed = os.pipe()
    os.write(feed, stdin.encode())
    os.close(feed)
    try:
        with start(
            argv,
            env=env or {"PATH": "/usr/bin:/bin"},
            cwd=cwd,
            stdin=source,
            stdout=writing,
            stderr=writing,
        ) as running:
            os.close(writing)
            code = running.wait(DEADLINE_S)
            with os.fdopen(reading, errors="replace") as pipe:
                return code, pipe.read()
    finally:
        os.close(source)


# POSIX -------------------------------------------------------------------------------------------


def test_a_program_gets_its_folder_environment_input_and_output(tmp_path):
    code, output = run(
        launch.spawn,
        "/bin/sh",
        "-c",
        'pwd -P; echo "$GREETING"; cat; exit 3',
        cwd=str(tmp_path),
        env={"GREETING": "hello", "PATH": "/bin:/usr/bin"},
        stdin="typed\n",
    )
    assert (code, output) == (3, f"{os.path.realpath(tmp_path)}\nhello\ntyped\n")


def test_a_signal_shows_in_the_exit_code():
    assert run(launch.spawn, "/bin/sh", "-c", "kill -TERM $$")[0] == 128 + signal.SIGTERM


@pytest.mark.parametrize("new_session", [True, False])
def test_the_command_leads_its_own_group(new_session):
    def start(argv, **more):
        return launch.spawn(argv, new_session=new_session, **more)

    code, output = run(
        start,
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import os; print(os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid())",
    )
    assert (code, output.split()) == (0, ["True", str(new_session)])


def ends(reading):
    """Does the pipe end, because every process that held it is gone?"""
    with os.fdopen(reading) as pipe:
        ready, _, _ = select.select([pipe], [], [], DEADLINE_S)
        return bool(ready) and pipe.read() == ""


@pytest.mark.parametrize("way", ["wait", "kill", "end", "leave"])
def test_nothing_of_the_group_survives(way):
    reading, writing = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    stays = "(trap '' TERM; exec sleep 60) & " * 2
    script = stays + ("exit 0" if way == "wait" else "echo ready; wait")
    with launch.spawn(
        ["/bin/sh", "-c", script], env={}, cwd="/", stdin=null, stdout=writing, stderr=null
    ) as running:
        os.close(writing)
        os.close(null)
        if way == "wait":
            assert running.wait(DEADLINE_S) == 0
        else:
            assert os.read(reading, 6) == b"ready\n"
            assert running.wait(0) is None
        if way == "kill":
            assert running.kill() == 128 + signal.SIGKILL
        if way == "end":
            assert running.end(0.05) in (128 + signal.SIGTERM, 128 + signal.SIGKILL)
    assert ends(reading)
    assert not running.signal(signal.SIGTERM)


def test_a_missing_program_and_a_missing_folder_are_told_apart(tmp_path):
    null = os.open(os.devnull, os.O_RDWR)
    rest = {"env": {}, "stdin": null, "stdout": null, "stderr": null}
    try:
        with pytest.raises(SandboxUnavailable, match="/nonexistent/program"):
            launch.spawn(["/nonexistent/program"], cwd="/", **rest)
        with pytest.raises(FileNotFoundError):
            launch.spawn(["/bin/sh"], cwd=str(tmp_path / "gone"), **rest)
        with pytest.raises(SandboxUnavailable) as caught:
            launch.spawn(["/bin/sh", *("x" * 100_000 for _ in range(100))], cwd="/", **rest)
        assert caught.value.hint == launch.TOO_LONG
    finally:
        os.close(null)


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (0, "", None),
        (71, "sandbox-exec: sandbox_apply: Operation not permitted\n", "do not nest"),
        (
            65,
            "\nsandbox-exec: unbound variable: x\n",
            "failed with code 65: sandbox-exec: unbound variable: x",
        ),
        (1, "", "failed with code 1: no message"),
    ],
)
def test_a_trial_run_is_explained(code, words, expected):
    found = launch.why_unusable(code, words)
    assert found is None if expected is None else found is not None and expected in found


# macOS -------------------------------------------------------------------------------------------

macos = pytest.mark.skipif(
    sys.platform != "darwin", reason="Seatbelt is part of macOS: only its runners can try it"
)


@pytest.fixture
def workspace(tmp_path):
    found = tmp_path.resolve() / "ws"
    (found / ".git" / "hooks").mkdir(parents=True)
    (found / "deep" / "keep").mkdir(parents=True)
    return found


@pytest.fixture
def outside(tmp_path):
    found = tmp_path.resolve() / "outside"
    found.mkdir()
    return found


def inside(rules, script, *, cwd, **more):
    plan = plan_macos(
        rules, canonical=os.path.realpath, missing=lambda path: not os.path.lexists(path), **more
    )

    def start(argv, **rest):
        return launch.start(plan, argv, **rest)

    return run(start, "/bin/sh", "-c", script, cwd=str(cwd))


def writing(workspace, **more):
    return workspace_write(str(workspace), slash_tmp=False, **more)


@macos
@pytest.mark.macos
def test_macos_the_probe_finds_seatbelt():
    assert launch.probe() is None


GOLDEN = Path(__file__).parent.parent / "golden" / "macos"


@macos
@pytest.mark.macos
@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.sb")), ids=lambda path: path.stem)
def test_macos_accepts_every_golden_profile(golden):
    text = golden.read_text(encoding="utf-8")
    values = [line[2:] for line in text.splitlines() if line.startswith("; -D")]
    argv = ("/usr/bin/sandbox-exec", "-p", text, *values, "--", "/usr/bin/true")
    assert run(launch.spawn, *argv) == (0, "")


@macos
@pytest.mark.macos
def test_macos_writes_inside_work_and_writes_outside_do_not(workspace, outside):
    code, output = inside(
        writing(workspace), f"echo in > made && echo out > {outside}/made", cwd=workspace
    )
    assert (workspace / "made").read_text() == "in\n", output
    assert code != 0
    assert not (outside / "made").exists()


@macos
@pytest.mark.macos
@pytest.mark.parametrize(
    "attempt",
    [
        "echo x > .git/hooks/pre-commit",
        "mv .git moved",
        "rm -rf .git",
        "mkdir .codex",
        "mkdir .CODEX",
        "mkdir .agents && touch .agents/x",
        "ln -s /etc .octavo",
        "mv deep moved",
        "rmdir deep/keep; mkdir deep/keep/x",
        "mv ../ws ../elsewhere",
    ],
)
def test_macos_protected_folders_stay_as_they_are(workspace, attempt):
    before = sorted(str(path) for path in workspace.rglob("*"))
    rules = [*writing(workspace), (f"{workspace}/deep/keep", "read", "settings")]
    code, output = inside(rules, attempt, cwd=workspace)
    assert sorted(str(path) for path in workspace.rglob("*")) == before, output
    assert code != 0


@macos
@pytest.mark.macos
def test_macos_without_the_sandbox_the_same_attempts_succeed(workspace):
    assert (
        run(launch.spawn, "/bin/sh", "-c", "mkdir .codex && mv deep moved", cwd=str(workspace))[0]
        == 0
    )


@macos
@pytest.mark.macos
def test_macos_read_only_reads_everything_and_writes_nothing(workspace):
    (workspace / "text").write_text("words")
    code, output = inside(
        read_only(), "cat text && echo > /dev/null && echo x > made", cwd=workspace
    )
    assert output.startswith("words")
    assert code != 0
    assert not (workspace / "made").exists()


@macos
@pytest.mark.macos
def test_macos_closed_paths_and_patterns_cannot_be_read_or_moved_out(workspace):
    (workspace / "sub").mkdir()
    (workspace / "sub" / "a.env").write_text("SECRET")
    (workspace / "deep" / "keep" / "b").write_text("SECRET")
    rules = [*writing(workspace), (f"{workspace}/deep/keep", "none", "settings")]
    script = "cat sub/a.env; cat deep/keep/b; mv sub/a.env x; cat x; mv deep y; cat y/keep/b; ln sub/a.env z; cat z; cp -c sub/a.env w; cat w; echo over"
    _, output = inside(
        rules, script, cwd=workspace, deny_globs=[(f"{workspace}/**/*.env", "settings")]
    )
    assert "SECRET" not in output
    assert output.endswith("over\n")


@macos
@pytest.mark.macos
def test_macos_with_restricted_reads_programs_run_and_other_files_stay_closed(workspace, outside):
    (outside / "secret").write_text("SECRET")
    code, output = inside(
        [(str(workspace), "write", "ws")],
        f"cat {outside}/secret; ls / > listing; echo done",
        cwd=workspace,
        minimal=True,
    )
    assert code == 0, output
    assert output.endswith("done\n")
    assert "SECRET" not in output


@macos
@pytest.mark.macos
@pytest.mark.parametrize(
    ("more", "reached"),
    [
        ({}, False),
        ({"loopback": True}, True),
        ({"network": "on"}, True),
        ({"network": "none", "loopback": True}, False),
    ],
)
def test_macos_a_server_on_this_machine_is_reached_only_when_allowed(workspace, more, reached):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_S)
        port = server.getsockname()[1]
        code, output = inside(
            writing(workspace), f"/usr/bin/nc -z -G 5 127.0.0.1 {port}", cwd=workspace, **more
        )
    assert (code == 0) == reached, output


@macos
@pytest.mark.macos
def test_macos_the_proxy_port_is_the_only_way_out(workspace):
    with (
        socket.create_server(("127.0.0.1", 0)) as proxy,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        ports = [one.getsockname()[1] for one in (proxy, other)]
        script = f"/usr/bin/nc -z -G 5 127.0.0.1 {ports[0]}; echo $?; /usr/bin/nc -z -G 5 127.0.0.1 {ports[1]}; echo $?"
        _, output = inside(
            writing(workspace), script, cwd=workspace, network="proxy", ports=[ports[0]]
        )
    codes = [line for line in output.splitlines() if line.isdigit()]
    assert codes[0] == "0"
    assert codes[1] != "0"


@macos
@pytest.mark.macos
def test_macos_the_command_learns_of_its_sandbox(workspace):
    _, output = inside(
        read_only(), "echo $CODEX_SANDBOX $CODEX_SANDBOX_NETWORK_DISABLED", cwd=workspace
    )
    assert output == "seatbelt 1\n"


@macos
@pytest.mark.macos
def test_macos_a_refusal_is_found_in_the_log_with_its_rule(workspace):
    plan = plan_macos(writing(workspace), canonical=os.path.realpath, tag=f"octavo-{os.getpid()}")

    def start(argv, **rest):
        return launch.start(plan, argv, **rest)

    with LogStream() as log:
        assert log.problem is None
        run(start, "/bin/sh", "-c", "mkdir .codex", cwd=str(workspace))
        evidence = selected(log.stop(grace_s=2), tag=plan.tag)
    found = [plan.rule_named(one.message) for one in evidence if one.subject.endswith("/.codex")]
    assert found, evidence
    assert found[0] is not None
    assert found[0].path == f"{workspace}/.codex"


def test_protected_names_are_the_ones_the_attempts_use():
    assert {".git", ".codex", ".agents", ".octavo"} == set(PROTECTED)
