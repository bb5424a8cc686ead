"""`octavo exec` as programs and people meet it: a loopback model, everything else real."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.testing import ModelServer

SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
RETRY = "request_max_retries = 1\nstream_max_retries = 1\n"
PATCH = "*** Begin Patch\n*** Update File: calc.py\n@@\n-    return a - b\n+    return a + b\n*** End Patch"


@pytest.fixture
def project(workspace):
    """A small repository with a failing test."""
    (workspace / ".git").mkdir()
    (workspace / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (workspace / "test_calc.py").write_text(
        "import unittest\nfrom calc import add\n\n\nclass Test(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 2), 4)\n"
    )
    return workspace


@pytest.fixture
def run(octavo, project):
    """Runs `octavo exec` against a script: `run(server, *words)`."""

    def once(server, *words, settings="", **more):
        octavo.config(SETTINGS.format(url=server.url) + settings)
        more.setdefault("cwd", project)
        # a login shell reads the machine's own files, which may say anything
        return octavo("exec", *words, env={"HOME": str(octavo.home), **more.pop("env", {})}, **more)

    return once


def events(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def items(done, kind):
    return [
        event["item"]
        for event in events(done)
        if event["type"] == "item.completed" and event["item"]["type"] == kind
    ]


def test_it_fixes_a_failing_test_and_the_thread_goes_on(run, project):
    test = "python3 -B -m unittest 2>&1 | tail -3"
    server = (
        ModelServer()
        .calls("exec_command", cmd=test, login=False)
        .calls_custom("apply_patch", PATCH)
        .calls("exec_command", cmd=test, login=False)
        .says("Fixed: `add` adds again.")
        .says("Resumed.")
        .says("Forked.")
    )
    with server:
        done = run(server, "--json", "-s", "workspace-write", "make the tests pass")
        assert done.returncode == 0, done.stderr
        first, second = items(done, "command_execution")
        assert "FAILED" in first["aggregated_output"]
        assert "OK" in second["aggregated_output"]
        assert items(done, "file_change")[0]["changes"][0]["kind"] == "update"
        assert items(done, "agent_message")[0]["text"] == "Fixed: `add` adds again."
        assert "a + b" in (project / "calc.py").read_text()
        thread = events(done)[0]["thread_id"]

        again = run(server, "--json", "resume", thread, "and now?")
        assert events(again)[0]["thread_id"] == thread
        assert events(again)[-1]["usage"]["input_tokens"] == 500
        told = json.dumps(server.requests[4].json["input"])
        assert "make the tests pass" in told
        assert "and now?" in told

        fork = run(server, "--json", "fork", thread, "aside")
        assert events(fork)[0]["thread_id"] not in (thread, "")
        assert "make the tests pass" in json.dumps(server.requests[5].json["input"])


def test_people_get_the_last_message_on_stdout_and_the_rest_on_stderr(run):
    with ModelServer().calls("exec_command", cmd="echo seen", login=False).says("Done.") as server:
        done = run(server, "go")
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert "$ echo seen" in done.stderr
    assert "\x1b" not in done.stderr
    assert "220 tokens" in done.stderr


def test_colour_can_be_forced(run):
    with ModelServer().says("Done.") as server:
        assert "\x1b[" in run(server, "--color", "always", "go").stderr


def test_the_lines_of_a_run_are_those_clients_know(run):
    with (
        ModelServer()
        .thinks("hm")
        .calls("exec_command", cmd="exit 3", login=False)
        .says("ok") as server
    ):
        done = run(server, "--json", "go")
    got = events(done)
    assert [event["type"] for event in got] == [
        "thread.started", "turn.started", "item.completed", "item.started", "item.completed",
        "item.completed", "turn.completed",
    ]  # fmt: skip
    started, ended = (event["item"] for event in got[3:5])
    assert started == {
        "id": "item_1", "type": "command_execution", "command": "/bin/sh -c 'exit 3'"
        if "/bin/sh" in started["command"] else started["command"],
        "aggregated_output": "", "exit_code": None, "status": "in_progress",
    }  # fmt: skip
    assert (ended["id"], ended["exit_code"], ended["status"]) == ("item_1", 3, "failed")
    assert set(got[-1]["usage"]) == {
        "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens",
        "reasoning_output_tokens",
    }  # fmt: skip


def test_a_denied_write_is_told_with_its_rule(run, project):
    script = "echo x > .git/hook; echo y > /etc/octavo-test"
    with ModelServer().calls("exec_command", cmd=script, login=False).says("ok") as server:
        done = run(server, "--json", "-s", "workspace-write", "go")
    denied = {one["subject"]: one["rule"] for one in items(done, "command_execution")[0]["denials"]}
    assert "protected" in denied[f"{project}/.git/hook"]
    # what an ordinary user may not do anyway is no denial of the sandbox
    assert ("/etc/octavo-test" in denied) is (os.geteuid() == 0)
    assert "Sandbox denied" in server.requests[1].tool_outputs[0]


@pytest.mark.parametrize("words", [[], ["-"]])
def test_the_prompt_comes_from_standard_input(run, words):
    with ModelServer().says("ok") as server:
        assert run(server, *words, input="from a pipe\n").returncode == 0
    assert server.requests[0].json["input"][-1]["content"][0]["text"] == "from a pipe\n"


def test_standard_input_joins_a_prompt(run):
    with ModelServer().says("ok") as server:
        done = run(server, "look", input="data\n")
    assert "Reading additional input from stdin..." in done.stderr
    said = server.requests[0].json["input"][-1]["content"][0]["text"]
    assert said == "look\n\n<stdin>\ndata\n</stdin>"


def test_an_open_pipe_that_says_nothing_does_not_block(run):
    read, write = os.pipe()
    try:
        with ModelServer().says("ok") as server:
            assert run(server, "look", stdin=read).returncode == 0
    finally:
        os.close(read)
        os.close(write)
    assert server.requests[0].json["input"][-1]["content"][0]["text"] == "look"


def test_a_schema_and_the_last_message_in_a_file(run, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    with ModelServer().says('{"a": 1}') as server:
        run(server, "--output-schema", str(schema), "-o", str(tmp_path / "last"), "go")
    assert (tmp_path / "last").read_text() == '{"a": 1}'
    assert server.requests[0].json["text"]["format"]["schema"] == {"type": "object"}


def test_ephemeral_keeps_nothing(run, octavo):
    with ModelServer().says("ok") as server:
        assert run(server, "--ephemeral", "go").returncode == 0
    assert not (octavo.home / "sessions").exists()


def test_the_first_request_is_small(run):
    with ModelServer().says("ok") as server:
        run(server, "go")
    assert len(server.requests[0].body) <= 20_000


def test_a_broken_stream_is_announced_and_healed(run):
    with ModelServer().says("x").and_fails("disconnected").says("ok") as server:
        done = run(server, "--json", "go", settings=RETRY)
    notices = [event["message"] for event in events(done) if event["type"] == "error"]
    assert notices[0].startswith("Reconnecting... 1/1 (")
    assert done.returncode == 0


# exit codes, as docs/exec.md lists them ------------------------------------------------------------


def test_a_spent_budget_ends_the_run_with_a_code_of_its_own(run):
    with ModelServer().calls("exec_command", cmd="true", login=False).says("no") as server:
        done = run(server, "go", settings="[budget]\ntokens = 1\n")
        assert len(server.requests) == 1
    assert done.returncode == 7
    assert "budget for tokens is spent" in done.stderr


def test_1_when_the_model_failed(run):
    with ModelServer().fails("invalid_request", "no such model", status=400).and_so_on() as server:
        done = run(server, "--json", "go")
    assert done.returncode == 1
    assert [event["type"] for event in events(done)[-2:]] == ["error", "turn.failed"]
    assert "no such model" in events(done)[-1]["error"]["message"]


def test_1_when_nobody_answers_in_time(octavo, project):
    octavo.config(
        'model = "m"\nmodel_provider = "gone"\nunreachable_timeout_ms = 300\n'
        '[model_providers.gone]\nbase_url = "http://127.0.0.1:9"\n'
    )
    done = octavo("exec", "go", cwd=project, timeout=30)
    assert done.returncode == 1
    assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1


def test_1_without_a_prompt(run):
    with ModelServer() as server:
        done = run(server)
    assert done.returncode == 1
    assert "No prompt provided via stdin." in done.stderr


def test_1_outside_a_repository(run, tmp_path):
    (tmp_path / "plain").mkdir()
    with ModelServer().says("ok") as server:
        refused = run(server, "go", cwd=tmp_path / "plain")
        allowed = run(server, "--skip-git-repo-check", "go", cwd=tmp_path / "plain")
    assert refused.returncode == 1
    assert "Not inside a trusted directory" in refused.stderr
    assert allowed.returncode == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--bogus", "x"), 2), (("-s", "bogus", "x"), 2), (("a", "b"), 2), (("--last", "x"), 2),
        (("fork",), 2), (("-C", "/nonexistent", "x"), 1), (("--output-schema", "/none", "x"), 1),
        (("resume", "01a1fcf7-3374-7180-b12a-1d0eba51ac22", "x"), 1),
        (("-c", "approval_policy=\"bogus\"", "x"), 3), (("-c", "x", "y"), 2),
        (("--strict-config", "-c", "nope=1", "x"), 3), (("-p", "missing", "x"), 3),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_clear_line(run, words, code):
    with ModelServer() as server:
        done = run(server, *words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    lines = done.stderr.splitlines()
    assert 1 <= len([line for line in lines if not line.startswith("Reading")]) <= 2, done.stderr
    assert "Traceback" not in done.stderr
    assert server.requests == []


def test_5_when_a_command_could_not_be_confined(run, octavo, project):
    (octavo.home / "state").write_text("")  # where the journal of mount points has to go
    with ModelServer().calls("exec_command", cmd="touch ran", login=False).says("fine") as server:
        done = run(server, "-s", "workspace-write", "go")
    assert done.returncode == 5
    assert "journal" in done.stderr
    assert "OCTAVO_HOME" in done.stderr
    assert "journal" in server.requests[1].tool_outputs[0]
    assert not (project / "ran").exists()


def test_an_interrupt_ends_the_command_and_leaves_a_thread_that_goes_on(run, octavo, project):
    server = (
        ModelServer().calls("exec_command", cmd="echo $$ > pid; sleep 600", login=False).says("ok")
    )
    with server:
        octavo.config(SETTINGS.format(url=server.url))
        child = subprocess.Popen(
            [octavo.program, "exec", "--json", "-s", "workspace-write", "go"], cwd=project,
            env=octavo.environ(HOME=str(octavo.home)), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        lines = []
        for line in child.stdout:
            lines.append(json.loads(line))
            if lines[-1]["type"] == "item.started":
                break
        child.send_signal(signal.SIGINT)
        rest, stderr = child.communicate(timeout=30)
        assert child.returncode == 1, stderr
        assert "turn.failed" not in rest
        thread = lines[0]["thread_id"]
        assert run(server, "resume", thread, "again").stdout == "ok\n"
    assert "aborted" in json.dumps(server.requests[1].json["input"])


def test_a_reader_that_goes_away_is_no_catastrophe(run, octavo, project):
    with ModelServer().says("ok") as server:
        octavo.config(SETTINGS.format(url=server.url))
        read, write = os.pipe()
        os.close(read)
        done = octavo(
            "exec",
            "--json",
            "go",
            cwd=project,
            stdout=write,
            stderr=subprocess.PIPE,
            capture_output=False,
        )
        os.close(write)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_is_said_in_one_line(octavo, project):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    with ModelServer().says("ok") as server:
        octavo.config(SETTINGS.format(url=server.url))
        octavo.home.chmod(0o555)
        try:
            done = octavo("exec", "go", cwd=project)
        finally:
            octavo.home.chmod(0o755)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_commands_of_the_store_work_on_what_exec_made(run, octavo, project):
    with ModelServer().says("ok") as server:
        run(server, "the flaky test")
    listed = octavo("sessions", "list", cwd=project).stdout
    assert "the flaky test" in listed
    found = json.loads(octavo("sessions", "search", "flaky", "--json").stdout)
    assert octavo("archive", found["id"]).returncode == 0
    assert "flaky" not in octavo("sessions", "list", cwd=project).stdout
    assert octavo("unarchive", found["id"]).returncode == 0
    assert octavo("delete", found["id"]).returncode == 0
    assert not Path(found["path"]).exists()


def test_1_without_the_key_of_the_provider_and_programs_get_it_as_events(run):
    with ModelServer() as server:
        done = run(server, "--json", "go", settings='env_key = "NOT_SET_ANYWHERE"\n')
    assert done.returncode == 1
    assert [event["type"] for event in events(done)] == ["error", "turn.failed"]
    assert (
        events(done)[-1]["error"]["message"] == "Missing environment variable: `NOT_SET_ANYWHERE`."
    )


def test_1_without_a_picture_that_was_named(run):
    with ModelServer() as server:
        done = run(server, "-i", "none.png", "go")
    assert (done.returncode, done.stdout) == (1, "")
    assert "none.png" in done.stderr
    assert server.requests == []


def test_1_outside_a_repository_whatever_the_sandbox_is(run, tmp_path):
    (tmp_path / "plain").mkdir()
    with ModelServer() as server:
        done = run(server, "-s", "danger-full-access", "go", cwd=tmp_path / "plain")
    assert done.returncode == 1


def test_5_is_told_to_programs_before_the_end(run, octavo):
    (octavo.home / "state").write_text("")
    with ModelServer().calls("exec_command", cmd="true", login=False).says("fine") as server:
        done = run(server, "--json", "-s", "workspace-write", "go")
    assert done.returncode == 5
    error, end = events(done)[-2:]
    assert (error["type"], end["type"]) == ("error", "turn.completed")
    assert "journal" in error["message"]


@pytest.fixture
def started(octavo, project):
    """`started(server, ...)`: a run whose command has begun and obeys no polite signal."""
    script = "trap '' INT TERM HUP; echo $$ > pid; touch running; sleep 600"
    children = []

    def begin(script=script):
        server = ModelServer().calls("exec_command", cmd=script, login=False).says("Back.")
        server.__enter__()
        octavo.config(SETTINGS.format(url=server.url))
        child = subprocess.Popen(
            [octavo.program, "exec", "--json", "-s", "workspace-write", "go"], cwd=project,
            env=octavo.environ(HOME=str(octavo.home)), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        children.append((child, server))
        for line in child.stdout:
            if json.loads(line)["type"] == "item.started":
                break
        while not (project / "running").exists() and child.poll() is None:
            threading.Event().wait(0.01)
        return child

    yield begin
    for child, server in children:
        child.kill()
        child.communicate()
        server.__exit__(None, None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_by_a_signal_ends_its_commands_and_dies_by_it(started, number):
    child = started()
    child.send_signal(number)
    rest, stderr = child.communicate(timeout=30)
    assert child.returncode == -number, stderr
    item = json.loads(rest.splitlines()[-1])["item"]
    assert (item["type"], item["status"]) == ("command_execution", "failed")
    assert stderr == ""


def test_128_and_the_signal_when_it_comes_twice(started):
    child = started()
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_a_reader_that_goes_away_in_the_middle_stops_the_run_and_the_work_is_kept(
    started, octavo, project
):
    child = started("touch running; echo kept > file; while test -e running; do sleep 0.02; done")
    child.stdout.close()
    (project / "running").unlink()
    assert child.wait(timeout=30) == 141
    assert child.stderr.read() == ""
    assert (project / "file").read_text() == "kept\n"
    assert json.loads(octavo("sessions", "list", "--json", cwd=project).stdout)["preview"] == "go"


def test_a_command_that_outlives_the_turn_is_ended_and_told(run):
    script = "echo up; sleep 600"
    server = ModelServer().calls("exec_command", cmd=script, login=False, yield_time_ms=300)
    with server.says("It runs."):
        done = run(server, "--json", "go")
    assert [event["type"] for event in events(done)[-2:]] == ["item.completed", "turn.completed"]
    (item,) = items(done, "command_execution")
    assert (item["status"], item["exit_code"], item["aggregated_output"]) == ("failed", 143, "up\n")


def test_a_folder_without_a_name_in_letters_is_refused_in_one_line(run, tmp_path):
    folder = os.fsencode(tmp_path) + b"/odd\xff"
    try:
        os.makedirs(folder + b"/.git")
    except OSError:
        pytest.skip("this file system takes no such name")
    with ModelServer() as server:
        done = run(server, "go", cwd=folder)
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr.splitlines()[0]


def test_a_denied_path_without_letters_is_told(run, project):
    script = r"touch .git/$(printf 'a\377b'); true"
    with ModelServer().calls("exec_command", cmd=script, login=False).says("ok") as server:
        done = run(server, "--json", "-s", "workspace-write", "go")
    assert done.returncode == 0, done.stderr
    (denial,) = items(done, "command_execution")[0]["denials"]
    assert denial["subject"] == f"{project}/.git/a\\xffb"


def test_folders_are_added_to_those_of_the_settings(run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    script = f"echo x > {first}/a; echo y > {second}/a"
    settings = (
        f'[sandbox_workspace_write]\nwritable_roots = ["{first}"]\n'
        "exclude_slash_tmp = true\nexclude_tmpdir_env_var = true\n"
    )
    with ModelServer().calls("exec_command", cmd=script, login=False).says("ok") as server:
        run(server, "-s", "workspace-write", "--add-dir", str(second), "go", settings=settings)
    assert (first / "a").exists()
    assert (second / "a").exists()


def test_a_folder_added_to_a_read_only_sandbox_is_warned_about(run, tmp_path):
    with ModelServer().says("ok") as server:
        done = run(server, "-s", "read-only", "--add-dir", str(tmp_path), "go")
    assert "warning: --add-dir has no effect" in done.stderr


def test_a_local_provider_is_the_one_of_the_settings(octavo, project):
    octavo.config('model = "m"\nunreachable_timeout_ms = 1\noss_provider = "lmstudio"\n')
    done = octavo("exec", "--oss", "go", cwd=project)
    assert ":1234/" in done.stderr


def test_nothing_a_model_says_steers_the_terminal_but_programs_get_it_as_it_is(run):
    with ModelServer().says("a\x1b]0;title\x07b") as server:
        done = run(server, "go")
    assert done.stdout == "a\x1b]0;title\x07b\n"
    assert "\x1b" not in done.stderr


def test_settings_before_the_command_count_as_well(octavo, project):
    with ModelServer().says("ok").says("ok").and_so_on() as server:
        octavo.config(SETTINGS.format(url=server.url))
        for words in (["exec", "go"], ["e", "go"], ["resume", "--last", "go"]):
            assert octavo("-c", 'model="other"', *words, cwd=project).returncode == 0
    assert {request.json["model"] for request in server.requests} == {"other"}
    assert "other" in octavo("-c", 'model="other"', "debug", "config").stdout
    assert octavo("-c", 'sandbox_mode="bogus"', "sandbox", "--", "true").returncode == 3
    assert octavo("-c", "a=1", "completion", "bash").returncode == 2


@pytest.mark.parametrize("name", ["resume", "fork"])
def test_resume_and_fork_are_there_without_exec(octavo, project, name):
    assert "no terminal UI yet" in octavo(name, "--help").stdout
    with ModelServer().says("One.").says("Two.") as server:
        octavo.config(SETTINGS.format(url=server.url))
        octavo("exec", "go", cwd=project)
        thread = json.loads(octavo("sessions", "list", "--json", cwd=project).stdout)["id"]
        done = octavo(name, thread, "and now?", cwd=project)
    assert done.stdout == "Two.\n"
    assert "One." in json.dumps(server.requests[1].json["input"])


def test_an_unknown_name_is_no_new_thread(run):
    with ModelServer() as server:
        done = run(server, "resume", "no such name", "go")
    assert done.returncode == 1
    assert server.requests == []
