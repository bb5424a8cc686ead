"""`octavo sandbox` as people and scripts use it: exit codes, one clear line, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

if sys.platform != "linux":
    pytest.skip("the sandbox under test is Linux's", allow_module_level=True)

pytestmark = pytest.mark.linux

ROOT = os.getuid() == 0
MODES = "read-only, workspace-write or danger-full-access"


def case(_text, *values):
    """A case that has failed once, with what was wrong."""
    return pytest.param(*values)


def complaint(done):
    """The one line that says what is wrong; at most one more says what helps."""
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 2, done.stderr
    assert all(line.startswith("octavo: ") and line.isprintable() for line in lines)
    assert all(line.startswith("octavo: what helps: ") for line in lines[1:])
    return lines[0].removeprefix("octavo: ")


# it runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [[], ["--log-denials"], ["linux"], ["--network", "none"]])
def test_a_command_runs_with_our_own_streams(octavo, way):
    done = octavo("sandbox", *way, "--", "sh", "-c", "cat; echo err >&2; exit 7", input="typed\n")
    assert (done.returncode, done.stdout) == (7, "typed\n")
    assert done.stderr.startswith("err\n")


def test_the_default_is_to_write_nothing(octavo, workspace):
    assert octavo("sandbox", "--", "touch", "made").returncode == 1
    assert list(workspace.iterdir()) == []


def test_workspace_write_writes_here_and_leaves_no_mount_points(octavo, workspace):
    done = octavo("sandbox", "-s", "workspace-write", "--", "sh", "-c", "echo x > made; ls -A")
    assert done.returncode == 0
    assert sorted(done.stdout.split()) == [".agents", ".codex", ".git", ".octavo", "made"]
    assert [path.name for path in workspace.iterdir()] == ["made"]


@pytest.mark.parametrize("name", [".git/hooks/x", ".codex/x", ".agents", ".octavo/x"])
def test_protected_folders_stay_closed(octavo, workspace, name):
    (workspace / ".git/hooks").mkdir(parents=True)
    done = octavo("sandbox", "-s", "workspace-write", "--", "sh", "-c", f"echo x > {name}")
    assert done.returncode != 0
    assert not (workspace / name).exists()


def test_an_added_folder_is_written_too(octavo, tmp_path):
    (tmp_path / "more").mkdir()
    done = octavo("sandbox", "-s", "workspace-write", "--add-dir", str(tmp_path / "more"),
                  "--", "touch", str(tmp_path / "more/x"))  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "more/x").exists()


def test_another_folder_becomes_the_commands(octavo, tmp_path):
    (tmp_path / "other").mkdir()
    done = octavo(
        "sandbox", "-s", "workspace-write", "-C", str(tmp_path / "other"), "--", "touch", "x"
    )
    assert done.returncode == 0
    assert (tmp_path / "other/x").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV])
@pytest.mark.parametrize("way", [[], ["--log-denials"]])
def test_a_signal_is_128_and_its_number(octavo, number, way):
    done = octavo("sandbox", *way, "--", "sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == 128 + number


@pytest.mark.parametrize("way", [[], ["--log-denials"]])
def test_a_signal_to_us_is_a_signal_to_the_command(octavo, way):
    script = "trap 'echo told; exit 9' TERM; echo ready; while :; do read x || sleep 0.01; done"
    argv = [octavo.program, "sandbox", *way, "--", "sh", "-c", script]
    with subprocess.Popen(argv, cwd=octavo.cwd, env=octavo.environ(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:  # fmt: skip
        deadline = threading.Timer(30, running.kill)
        deadline.start()
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        said = running.stdout.read()
        code = running.wait(20)
        deadline.cancel()
    assert (said, code) == ("told\n", 9)


def test_killing_us_kills_the_command(octavo):
    marker = f"41.{os.getpid()}1"
    argv = [octavo.program, "sandbox", "--", "sh", "-c", f"sleep {marker} & echo ready; wait"]
    with subprocess.Popen(argv, cwd=octavo.cwd, env=octavo.environ(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:  # fmt: skip
        assert running.stdout.readline() == "ready\n"
        running.kill()
        assert running.stdout.read() == ""  # the last process that held our pipe has ended
    assert (
        subprocess.run(["pgrep", "-f", f"sleep {marker}"], stdout=subprocess.DEVNULL).returncode
        == 1
    )


def test_a_reader_that_goes_away_ends_the_command_as_without_a_sandbox(octavo):
    script = f"{octavo.program} sandbox -- yes | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=octavo.environ(), cwd=octavo.cwd,
                          capture_output=True, text=True, timeout=20)  # fmt: skip
    assert done.stdout.split() == ["y", "141"]


def test_output_into_a_file_keeps_its_order_and_place(octavo, tmp_path):
    with open(tmp_path / "log", "w") as log:
        log.write("before\n")
        log.flush()
        octavo("sandbox", "--", "sh", "-c", "echo one; echo two >&2; echo three",
               capture_output=False, stdout=log, stderr=log)  # fmt: skip
    assert (tmp_path / "log").read_text() == "before\none\ntwo\nthree\n"


def test_input_from_a_file_is_read_from_where_it_stands(octavo, tmp_path):
    (tmp_path / "input").write_text("first\nsecond\n")
    with open(tmp_path / "input") as file:
        os.lseek(file.fileno(), 6, os.SEEK_SET)
        assert octavo("sandbox", "--", "cat", stdin=file).stdout == "second\n"


def test_full_access_is_the_command_itself(octavo, workspace):
    done = octavo("sandbox", "-s", "danger-full-access", "--", "sh", "-c", "echo x > made; exit 4")
    assert done.returncode == 4
    assert (workspace / "made").exists()


# wrong use ---------------------------------------------------------------------------------------

WRONG = {
    "an unknown mode": (2, ["-s", "nonsense"], MODES),
    "a mode nearly spelled": (2, ["-s", "readonly"], "read-only"),
    "an unknown profile": (3, ["-P", "nonsense"], '"nonsense"'),
    "an unknown settings profile": (3, ["-p", "nonsense"], "nonsense.config.toml"),
    "a settings profile that is a path": (2, ["-p", "../x"], '"../x"'),
    "a setting without a value": (2, ["-c", "sandbox_mode"], "key=value"),
    "a setting that is wrong": (3, ["-c", "sandbox_mode=nix"], MODES),
    "a mode and a profile": (2, ["-s", "read-only", "-P", ":workspace"], "exclude"),
    "an unknown option": (2, ["--nonsense"], "--nonsense"),
    "an unknown network": (2, ["--network", "maybe"], "maybe"),
    "an unknown limit": (2, ["--limit", "foo=1"], "memory, processes, cpu"),
    "a limit that is no number": (2, ["--limit", "cpu=soon"], "cpu=soon"),
    "a limit of nothing": (2, ["--limit", "wall=0"], "above zero"),
    "a folder that is missing": (2, ["-C", "/missing"], "/missing: not a folder"),
    "a folder with a newline that is missing": (2, ["-C", "/missing\nfolder"], r"/missing\nfolder"),
    "an added folder in read-only": (2, ["--add-dir", "."], "read-only"),
    "the whole disk": (4, ["-s", "workspace-write", "--add-dir", "/"], "whole disk"),
    "the whole disk as the folder": (4, ["-s", "workspace-write", "-C", "/"], "whole disk"),
    "limits without a sandbox": (5, ["-s", "danger-full-access", "--limit", "cpu=1"], "limits"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_one_clear_line_and_the_documented_code(octavo, workspace, name):
    code, options, word = WRONG[name]
    done = octavo("sandbox", *options, "--", "touch", str(workspace / "ran"))
    assert done.returncode == code
    assert word in complaint(done)
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("options", [["--add-dir"], ["-C"]])
def test_the_home_folder_is_no_workspace(octavo, tmp_path, options):
    (tmp_path / "me").mkdir()
    env = {"HOME": str(tmp_path / "me")}
    done = octavo(
        "sandbox", "-s", "workspace-write", *options, str(tmp_path / "me"), "--", "true", env=env
    )
    assert done.returncode == 4
    assert "home folder" in complaint(done)


@pytest.mark.parametrize("args", [(), ("--",), ("-s", "read-only")])
def test_no_command_is_wrong_use(octavo, args):
    done = octavo("sandbox", *args)
    assert done.returncode == 2
    assert "no command" in complaint(done)


@pytest.mark.parametrize("way", [
    case("the short way takes a file for a folder", []), pytest.param(["--log-denials"]),
])  # fmt: skip
def test_a_file_is_no_folder_to_run_in(octavo, workspace, way):
    (workspace / "file").write_text("x")
    done = octavo("sandbox", *way, "-C", "file", "--", "true")
    assert done.returncode == 2
    assert "not a folder" in complaint(done)


@pytest.mark.parametrize("name", [
    case("the short way takes it for a program", "macos"), case("the same", "windows"),
])  # fmt: skip
def test_the_name_of_another_system_is_wrong_use(octavo, name):
    done = octavo("sandbox", name, "--", "true")
    assert done.returncode == 2
    assert name in complaint(done)


@pytest.mark.parametrize("root", ["missing", "file", "link"])
def test_roots_that_are_no_folders_are_said_or_taken(octavo, workspace, tmp_path, root):
    (workspace / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (workspace / "link").symlink_to(tmp_path / "real")
    done = octavo("sandbox", "-s", "workspace-write", "--add-dir", root, "--", "true")
    assert done.returncode == 0
    if root == "missing":
        assert "does not exist" in complaint(done)


# commands that cannot be started -----------------------------------------------------------------

WAYS = [
    pytest.param([], id="short"),
    pytest.param(["--log-denials"], id="long"),
    pytest.param(["--json"], id="json"),
    pytest.param(["-s", "danger-full-access"], id="full"),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("command", "code"), [
    ("no-such-program", 127), ("./missing", 127), ("./file", 126), ("./folder", 126), ("/", 126),
])  # fmt: skip
def test_what_cannot_be_started_gives_the_codes_of_a_shell(octavo, workspace, way, command, code):
    (workspace / "file").write_text("no program")
    (workspace / "folder").mkdir()
    done = octavo("sandbox", *way, "--", command)
    assert done.returncode == code
    assert command in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_without_a_name_is_not_found(octavo):
    assert octavo("sandbox", "--", "").returncode == 127


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(octavo, workspace):
    (workspace / "script").write_text("echo from the script: $1\n")
    (workspace / "script").chmod(0o755)
    assert octavo("sandbox", "--", "./script", "word").stdout == "from the script: word\n"


def test_the_path_of_the_environment_is_searched(octavo, workspace, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "bin/mine").chmod(0o755)
    env = {"PATH": f"/missing:{tmp_path}/bin:/usr/bin:/bin"}
    assert octavo("sandbox", "--", "mine", env=env).stdout == "mine\n"


# odd surroundings --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"two\nlines", b"\xff\xfe", b"sp ace'\"", "ü".encode()])
@pytest.mark.parametrize("way", [[], ["--log-denials"]])
def test_any_name_of_a_folder_works(octavo, tmp_path, name, way):
    folder = os.fsencode(tmp_path) + b"/" + name
    os.mkdir(folder)
    done = octavo(
        "sandbox", "-s", "workspace-write", *way, "-C", folder, "--", "touch", b"made" + name
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(folder) == [b"made" + name]


def closed(octavo, shell, *args):
    """Run from a shell that closes descriptors first."""
    line = f'"$0" "$@" {shell}'
    return subprocess.run(["sh", "-c", line, octavo.program, *args], env=octavo.environ(),
                          cwd=octavo.cwd, capture_output=True, text=True, timeout=20)  # fmt: skip


@pytest.mark.parametrize("way", [[], ["--log-denials"], ["--json"]])
def test_a_closed_standard_input_is_no_obstacle(octavo, way):
    done = closed(octavo, "<&-", "sandbox", *way, "--", "echo", "fine")
    assert done.returncode == 0
    assert "fine" in done.stdout


@pytest.mark.parametrize("way", [[], ["--log-denials"]])
@pytest.mark.parametrize("shell", ["<&-", ">&-", "<&- >&-", "2>&-"])
def test_closed_standard_descriptors_do_not_change_the_exit_code(octavo, shell, way):
    assert closed(octavo, shell, "sandbox", *way, "--", "sh", "-c", "exit 6").returncode == 6
    assert closed(octavo, shell, "sandbox", *way, "--", "no-such-program").returncode == 127


@pytest.mark.parametrize("way", [[], ["--log-denials"], ["--json"]])
def test_a_huge_environment_reaches_the_command(octavo, way):
    env = {f"HUGE_{n}": "x" * 100_000 for n in range(15)}
    done = octavo("sandbox", *way, "--", "sh", "-c", "env | grep -c ^HUGE", env=env)
    assert done.returncode == 0, done.stderr[:500]
    assert "15" in done.stdout


@pytest.mark.parametrize("way", [[], ["--log-denials"]])
def test_an_environment_that_is_no_text_reaches_the_command(octavo, way):
    value = os.fsdecode(b"\xfe\n")
    done = octavo("sandbox", *way, "--", "printenv", "ODD", env={"ODD": value})
    assert (done.returncode, done.stdout) == (0, value + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["--log-denials"]])
def test_ten_thousand_carve_outs_hold(octavo, workspace, way):
    (workspace / "many").mkdir()
    lines = ["[permissions.many.filesystem]", '":root" = "read"', '":workspace_roots" = "write"']
    for number in range(10_000):
        path = workspace / "many" / str(number)
        path.touch()
        lines.append(f'"{path}" = "read"')
    octavo.config("\n".join(lines))
    script = "echo x > many/7777; echo y > many/new"
    done = octavo("sandbox", "-P", "many", *way, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr[:500]
    assert (workspace / "many/7777").stat().st_size == 0
    assert (workspace / "many/new").read_text() == "y\n"
    assert done.stderr.count("octavo: denied: ") == (1 if way else 0)


@pytest.mark.slow
def test_more_patterns_than_can_be_hidden_are_refused_not_cut(octavo, workspace):
    (workspace / "many").mkdir()
    for number in range(10_100):
        (workspace / "many" / f"{number}.pem").touch()
    octavo.config('[permissions.p.filesystem]\n":root" = "read"\nglob_scan_max_depth = 2\n'
                  f'"{workspace}/many/*.pem" = "deny"\n')  # fmt: skip
    done = octavo("sandbox", "-P", "p", "--", "true")
    assert done.returncode == 5
    assert "10,000 matches" in complaint(done)


# settings ----------------------------------------------------------------------------------------

SETTINGS = {
    "no TOML": ("sandbox_mode = \n", 1, "not valid TOML"),
    "an unknown mode": ('sandbox_mode = "nix"\n', 1, MODES),
    "an unknown access": ('[permissions.x.filesystem]\n"/a" = "readd"\n', 2, 'did you mean "read"'),
    "a relative path": ('[permissions.x.filesystem]\n"a" = "read"\n', 2, "relative path"),
    "an unknown key in a profile": ('[permissions.x]\nfiles = 1\n', 2, "files"),
    "a circle": ('[permissions.x]\nextends = "y"\n[permissions.y]\nextends = "x"\n', 4, "circle"),
    "an unknown parent": ('[permissions.x]\nextends = "z"\n', 2, '"z"'),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_wrong_settings_are_named_with_file_and_line(octavo, workspace, name):
    text, line, word = SETTINGS[name]
    path = octavo.config(text)
    options = [] if "permissions" not in text else ["-P", "x"]
    done = octavo("sandbox", *options, "--", "touch", str(workspace / "ran"))
    assert done.returncode == 3
    said = complaint(done)
    assert said.startswith(f"{path}:{line}: ")
    assert word in said
    assert list(workspace.iterdir()) == []


def test_settings_choose_the_mode(octavo, workspace):
    octavo.config('sandbox_mode = "workspace-write"\n')
    for _ in range(2):  # the second time from the note of the first
        assert octavo("sandbox", "--", "touch", "made").returncode == 0
        (workspace / "made").unlink()
    octavo.config('sandbox_mode = "read-only"\n')
    assert octavo("sandbox", "--", "touch", "made").returncode == 1


def test_a_home_that_is_not_there_is_wrong_settings(octavo):
    done = octavo("sandbox", "--", "true", env={"OCTAVO_HOME": "/missing/home"})
    assert done.returncode == 3
    assert "/missing/home" in complaint(done)


@pytest.mark.skipif(ROOT, reason="root can write every folder")
def test_a_home_that_cannot_be_written_refuses_what_needs_a_journal(octavo, workspace):
    octavo.home.chmod(0o555)
    try:
        done = octavo("sandbox", "-s", "workspace-write", "--", "touch", "made")
    finally:
        octavo.home.chmod(0o755)
    assert done.returncode == 5
    assert "journal" in done.stderr
    assert "OCTAVO_HOME" in done.stderr
    assert list(workspace.iterdir()) == []


# limits ------------------------------------------------------------------------------------------


def test_the_wall_clock_is_124(octavo):
    done = octavo("sandbox", "--limit", "wall=200ms", "--", "sleep", "30")
    assert (done.returncode, done.stderr) == (124, "octavo: ended by the limit on wall\n")


def test_too_much_output_is_7_and_cut_exactly(octavo):
    done = octavo("sandbox", "--limit", "output=10", "--", "yes")
    assert (done.returncode, done.stdout) == (7, "y\n" * 5)
    assert done.stderr == "octavo: ended by the limit on output\n"


def test_a_file_that_grows_too_large_is_7(octavo):
    done = octavo("sandbox", "-s", "workspace-write", "--limit", "file-size=1k", "--",
                  "dd", "if=/dev/zero", "of=big", "bs=10k", "count=1")  # fmt: skip
    assert done.returncode == 7
    assert "ended by the limit on file-size" in done.stderr


@pytest.mark.slow
def test_too_much_processor_time_is_7(octavo):
    done = octavo("sandbox", "--limit", "cpu=1", "--", "sh", "-c", "while :; do :; done")
    assert done.returncode == 7
    assert "ended by the limit on cpu" in done.stderr


@pytest.mark.skipif(ROOT, reason="the kernel exempts root from a limit on processes")
def test_a_limit_on_processes_is_held(octavo):
    done = octavo(
        "sandbox", "--limit", "processes=1", "--", "sh", "-c", "true & true & wait; echo end"
    )
    assert done.stdout != "end\n" or "ork" in done.stderr


# denials -----------------------------------------------------------------------------------------


def denied(done):
    return [line for line in done.stderr.splitlines() if line.startswith("octavo: denied: ")]


def test_denials_are_told_at_the_end_with_rule_and_grant(octavo, tmp_path):
    (tmp_path / "kept").write_text("x")
    path = octavo.config('[permissions.p.filesystem]\n":root" = "read"\n')
    done = octavo(
        "sandbox", "-P", "p", "--log-denials", "--", "sh", "-c", f"echo y > {tmp_path}/kept"
    )
    assert done.returncode != 0
    rule, grant = f'":root" = "read" ({path}:2)', f'"{tmp_path}/kept" = "write"'
    assert denied(done) == [f"octavo: denied: write {tmp_path}/kept: {rule}; to allow: {grant}"]


def test_nothing_denied_is_said_too(octavo):
    done = octavo("sandbox", "--log-denials", "--", "true")
    assert done.stderr == "octavo: nothing was denied\n"


def test_words_alone_are_no_denial(octavo):
    done = octavo(
        "sandbox", "--log-denials", "--", "sh", "-c", "echo 'Permission denied' >&2; exit 1"
    )
    assert denied(done) == []
    assert (
        json.loads(
            octavo("sandbox", "--json", "--", "sh", "-c", "echo Permission denied; exit 1").stdout
        )["denials"]
        == []
    )


def test_without_the_option_nothing_is_said(octavo, tmp_path):
    said = octavo("sandbox", "--", "touch", str(tmp_path / "x")).stderr
    assert not any(line.startswith("octavo") for line in said.splitlines())


def test_a_connection_is_told_with_host_and_port(octavo):
    body = "import socket; socket.socket().connect_ex(('192.0.2.7', 443))"
    done = octavo("sandbox", "--log-denials", "--", sys.executable, "-I", "-S", "-B", "-c", body)
    assert len(denied(done)) == 1
    assert "connect 192.0.2.7:443" in denied(done)[0]
    assert denied(done)[0].endswith("to allow: --network on")


def test_a_path_cannot_forge_a_line(octavo, tmp_path):
    name = f"{tmp_path}/x\noctavo: denied: read etc shadow\x1b[2J"
    done = octavo("sandbox", "--log-denials", "--", sys.executable, "-I", "-S", "-B", "-c",
                  f"try: open({name!r}, 'w')\nexcept OSError: pass")  # fmt: skip
    assert len(denied(done)) == 1
    assert "\x1b" not in done.stderr


# for programs ------------------------------------------------------------------------------------


def test_one_object_says_everything(octavo, tmp_path):
    done = octavo(
        "sandbox",
        "--json",
        "--",
        "sh",
        "-c",
        f"echo out; echo err >&2; echo x > {tmp_path}/no; exit 3",
    )
    found = json.loads(done.stdout)
    assert done.returncode == 3
    assert done.stderr == ""
    assert found["argv"][0] == "sh"
    assert (found["exit_code"], found["signal"], found["limit"]) == (3, None, None)
    assert found["stdout"] == "out\n"
    assert found["stderr"].startswith("err\n")
    assert isinstance(found["duration_ms"], int)
    (denial,) = found["denials"]
    assert sorted(denial) == ["at_ms", "count", "grant", "operation", "rule", "subject"]
    assert (denial["operation"], denial["subject"]) == ("create", f"{tmp_path}/no")
    assert sorted(denial["rule"]) == ["file", "line", "source", "text"]


def test_the_object_says_which_limit(octavo):
    done = octavo("sandbox", "--json", "--limit", "wall=0.2", "--", "sleep", "30")
    assert done.returncode == 124
    assert json.loads(done.stdout)["limit"] == "wall"


def test_the_object_comes_with_the_documented_code(octavo):
    done = octavo("sandbox", "--json", "--limit", "output=10", "--", "yes")
    assert json.loads(done.stdout)["limit"] == "output"
    assert done.returncode == 7


@pytest.mark.parametrize("place", ["argument", "denied path"])
def test_a_name_that_is_no_text_can_be_told(octavo, tmp_path, place):
    name = os.fsencode(tmp_path) + b"/\xff"
    command = (
        ["echo", name]
        if place == "argument"
        else ["sh", "-c", f"echo x > {tmp_path}/$(printf '\\377')"]
    )
    done = octavo("sandbox", "--json", "--", *command)
    assert json.loads(done.stdout)


# asking ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "words"), [
    ("file", "may be read and written"), (".git/config", "may be read, not written"),
    ("/etc/passwd", "may be read, not written"), ("../x", "may be read, not written"),
])  # fmt: skip
def test_a_path_is_explained_in_one_sentence(octavo, workspace, path, words):
    octavo.config('[permissions.p.filesystem]\n":root" = "read"\n":workspace_roots" = "write"\n')
    done = octavo("sandbox", "-P", "p", "--explain-path", path)
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert words in done.stdout


def test_an_explanation_names_the_line_and_follows_links(octavo, workspace):
    (workspace / "secret").write_text("x")
    (workspace / "link").symlink_to("secret")
    path = octavo.config(
        f'[permissions.p.filesystem]\n":root" = "read"\n"{workspace}/secret" = "deny"\n'
    )
    done = octavo("sandbox", "-P", "p", "--explain-path", "link", "--json")
    found = json.loads(done.stdout)
    assert (found["access"], found["resolved"]) == ("none", str(workspace / "secret"))
    assert (found["rule"]["file"], found["rule"]["line"]) == (str(path), 3)


def test_the_plan_is_told_and_nothing_runs(octavo, workspace):
    done = octavo("sandbox", "-s", "workspace-write", "--explain", "--", "touch", "made")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("mechanism: ")
    assert lines[-1] == "then run: touch made"
    assert any(" writable /" in line for line in lines)
    assert any(f"read-only {workspace}/.codex" in line for line in lines)
    assert any(f"create {workspace}/.codex" in line for line in lines)
    assert list(workspace.iterdir()) == []


def test_a_policy_no_mechanism_holds_is_refused_with_rule_reason_and_remedy(octavo, workspace):
    (workspace / ".git").mkdir()
    done = octavo("sandbox", "-s", "workspace-write", "--rung", "landlock", "--", "touch", "made")
    assert done.returncode == 5
    assert "Landlock alone cannot take rights away" in done.stderr
    assert "octavo doctor" in done.stderr
    assert not (workspace / "made").exists()


def test_an_unknown_mechanism_runs_nothing(octavo):
    assert octavo("sandbox", "--rung", "nonsense", "--", "true").returncode in (2, 5)


@pytest.mark.parametrize("name", ["../etc/passwd", "/dev/null", "nonsense", ""])
def test_a_device_is_a_name_below_dev_that_exists(octavo, name):
    done = octavo("sandbox", "--device", name, "--", "true")
    assert done.returncode == 2
    assert "--device" in complaint(done)


@pytest.mark.slow
def test_many_rules_fit_under_the_usual_limit_on_open_files(octavo, workspace):
    lines = ["[permissions.many.filesystem]", '":root" = "read"', '":workspace_roots" = "write"']
    for number in range(2_000):
        (workspace / str(number)).touch()
        lines.append(f'"{workspace / str(number)}" = "read"')
    octavo.config("\n".join(lines))
    shell = ["sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh"]
    argv = [octavo.program, "sandbox", "-P", "many", "--", "sh", "-c", "ulimit -Sn; echo x > 7"]
    done = subprocess.run(
        [*shell, *argv], cwd=workspace, env=octavo.environ(), capture_output=True, text=True
    )
    assert done.stdout == "1024\n", done.stderr
    assert "Read-only" in done.stderr


@pytest.mark.slow
def test_too_many_rules_for_the_hard_limit_say_what_to_raise(octavo, workspace):
    lines = ["[permissions.many.filesystem]", '":root" = "read"', '":workspace_roots" = "write"']
    for number in range(2_000):
        (workspace / str(number)).touch()
        lines.append(f'"{workspace / str(number)}" = "read"')
    octavo.config("\n".join(lines))
    shell = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]
    argv = [octavo.program, "sandbox", "-P", "many", "--", "true"]
    done = subprocess.run(
        [*shell, *argv], cwd=workspace, env=octavo.environ(), capture_output=True, text=True
    )
    assert done.returncode == 5
    assert "ulimit -Hn" in done.stderr


@pytest.mark.slow
def test_a_signal_is_heard_at_whatever_moment_it_comes(octavo):
    import select

    for number in range(60):
        child = subprocess.Popen(
            [octavo.program, "sandbox", "--", "sleep", "60"], env=octavo.environ()
        )
        select.select([], [], [], number / 1000)  # each time a millisecond later into the start
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) in (-signal.SIGTERM, 128 + signal.SIGTERM), f"{number} ms"
