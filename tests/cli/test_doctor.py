"""`octavo doctor`: facts that were tried, one line each, and a code a script can use."""

import json
import sys

import pytest

pytestmark = pytest.mark.linux
if sys.platform != "linux":
    pytest.skip("these facts are Linux's", allow_module_level=True)

STATES = {"ok", "weak", "problem", "info"}


def facts(octavo, **more):
    done = octavo("doctor", "--json", **more)
    return done, json.loads(done.stdout)


def test_every_fact_has_a_name_a_state_and_a_text(octavo):
    done, found = facts(octavo)
    assert done.stderr == ""
    assert all(sorted(fact) == ["name", "remedy", "state", "text"] for fact in found)
    assert {fact["state"] for fact in found} <= STATES
    assert all(fact["remedy"] for fact in found if fact["state"] == "problem")


def test_the_code_says_whether_commands_can_be_confined(octavo):
    done, found = facts(octavo)
    verdict = found[-1]
    assert verdict["name"] == "sandbox"
    assert done.returncode == (5 if verdict["state"] == "problem" else 0)


@pytest.mark.slow
def test_it_agrees_with_what_a_command_gets(octavo):
    _, found = facts(octavo)
    ran = octavo("sandbox", "--json", "--", "true")
    working = [fact["name"] for fact in found if fact["text"].startswith("works")]
    assert (ran.returncode == 0) == bool(working)
    if working:
        assert json.loads(ran.stdout)["rung"] == working[0]


@pytest.mark.slow
def test_people_get_one_line_per_fact(octavo):
    done = octavo("doctor")
    lines = [line for line in done.stdout.splitlines() if "what helps: " not in line]
    _, found = facts(octavo)
    assert len(lines) == len(found)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_wrong_home_is_a_problem_with_a_remedy_or_reason(octavo):
    done = octavo("doctor", env={"OCTAVO_HOME": "/missing/home"})
    assert "/missing/home" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (3, 5)


def test_it_leaves_nothing_behind(octavo, workspace, octavo_home):
    octavo("doctor")
    assert list(workspace.iterdir()) == []
    assert [
        path.name for path in octavo_home.rglob("*") if path.is_file() and path.name != "lock"
    ] == []


def test_an_unknown_option_is_wrong_use(octavo):
    assert octavo("doctor", "--nonsense").returncode == 2
