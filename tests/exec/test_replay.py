"""`exec --record` and `replay`: the same bytes, without a network and without a model."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.testing import ModelServer

SETTINGS = (
    'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
    "stream_max_retries = 3\n[tools.update_plan]\nenabled = true\n"
)
PATCH = "*** Begin Patch\n*** Add File: notes.txt\n+fixed\n*** End Patch"


@pytest.fixture
def tape(octavo, workspace, tmp_path):
    """A recording of a rich run, and what that run printed as JSON lines."""
    path = tmp_path / "tape"
    model = (
        ModelServer()
        .thinks("**Looking**")
        .calls("exec_command", cmd="echo a; sleep 0.1; echo b >&2; exit 3", login=False)
        .and_calls("exec_command", cmd="touch /etc/no", login=False)
        .fails("server", "hiccup")
        .calls_custom("apply_patch", PATCH)
        .calls("update_plan", plan=[{"step": "x", "status": "completed"}])
        .says("Done.")
    )
    with model as server:
        octavo.config(SETTINGS.format(url=server.url))
        words = ("--skip-git-repo-check", "-s", "workspace-write", "--json")
        done = octavo("exec", *words, "--record", str(path), "make it")
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def test_a_replay_prints_the_same_bytes(octavo, tape):
    path, printed = tape
    (octavo.home / "config.toml").unlink()  # nothing of the settings is needed
    again = octavo("replay", "--json", str(path))
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == printed


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="an empty network namespace is Linux's")
def test_a_replay_needs_no_network_at_all(octavo, tape):
    path, printed = tape
    again = octavo(
        "sandbox", "--network", "none", "--", octavo.program, "replay", "--json", str(path)
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout == printed


def test_a_replay_for_people_ends_with_the_answer(octavo, tape):
    done = octavo("replay", str(tape[0]))
    assert done.returncode == 0
    assert done.stdout == "Done.\n"
    assert "touch /etc/no" in done.stderr


def test_quiet_says_one_line(octavo, tape):
    done = octavo("replay", "-q", str(tape[0]))
    assert done.stdout.startswith(f"{tape[0]}: as recorded, ")


def test_a_difference_is_one_line_and_its_own_exit_code(octavo, tape):
    path, _ = tape
    path.write_text(path.read_text().replace("exit 3", "exit 4", 1))
    done = octavo("replay", "-q", str(path))
    assert done.returncode == 9
    assert done.stderr.count("\n") == 1
    assert "exit 4" in done.stderr


def test_wrong_files_are_one_line(octavo, tmp_path):
    (tmp_path / "x").write_text("no\n")
    for name, words in (("x", "no recording"), ("missing", "cannot be read")):
        done = octavo("replay", str(tmp_path / name))
        assert done.returncode == 2
        assert words in done.stderr


def test_the_recording_is_for_this_user_alone(tape):
    assert tape[0].stat().st_mode & 0o777 == 0o600
