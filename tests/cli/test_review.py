"""`octavo review` and `octavo exec --plan` as people and programs meet them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.testing import ModelServer

SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
GOLDEN = Path(__file__).parents[1] / "golden" / "exec"
PLAN = "All clear.\n\n<proposed_plan>\n# Port it\n- one\n</proposed_plan>\n"


@pytest.fixture
def project(workspace):
    """A repository with a change in it."""
    env = {"PATH": os.environ["PATH"], "HOME": str(workspace)}
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    (workspace / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run(["git", *who, *words], cwd=workspace, env=env, check=True)
    (workspace / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    return workspace


@pytest.fixture
def run(octavo, project):
    def once(server, *words, **more):
        octavo.config(SETTINGS.format(url=server.url))
        env = {"HOME": str(octavo.home), "SHELL": "/bin/sh"}
        return octavo(*words, env=env, cwd=project, **more)

    return once


def finding(project, title, priority, start, end, body):
    lines = {"start": start, "end": end}
    where = {"absolute_file_path": str(project / "calc.py"), "line_range": lines}
    return {
        "title": title, "body": body, "confidence_score": 0.9, "priority": priority,
        "code_location": where,
    }  # fmt: skip


def review(project):
    return {
        "findings": [
            finding(project, "Name the operands", 3, 1, 2, "`a` and `b` say little."),
            finding(
                project, "[P1] `add` subtracts", 1, 2, 2,
                "Every caller gets the difference:\n\n```python\nadd(2, 2)  # 0\n```",
            ),
        ],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "The sign of the only operation was changed.",
        "overall_confidence_score": 0.97,
    }  # fmt: skip


def reviewer(project):
    return (
        ModelServer()
        .calls("exec_command", cmd="git diff HEAD; echo x > made", login=False)
        .says(json.dumps(review(project)))
    )


def agree(name, text):
    golden = GOLDEN / name
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_findings_are_printed_with_file_and_line_and_are_no_failure(run, project):
    with reviewer(project) as server:
        done = run(server, "review")
        asked = server.requests
    assert done.returncode == 0, done.stderr
    agree("review.txt", done.stdout)
    assert "review uncommitted changes" in done.stderr
    assert "read-only (review)" in done.stderr
    assert not (project / "made").exists()
    assert "return a - b" in asked[1].body.decode()


def test_programs_get_one_json_object(run, project):
    with reviewer(project) as server:
        done = run(server, "review", "--json", "--uncommitted")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == review(project)


def test_exec_review_gives_events_that_clients_know(run, project):
    with reviewer(project) as server:
        done = run(server, "exec", "review", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == [
        "thread.started", "turn.started", "item.started", "item.completed", "item.completed",
        "turn.completed",
    ]  # fmt: skip
    assert lines[4]["item"]["text"] + "\n" == (GOLDEN / "review.txt").read_text()
    assert lines[5]["usage"]["input_tokens"] > 0


def test_words_for_a_review_may_come_on_standard_input(run, project):
    with ModelServer().says("Nothing to say.") as server:
        done = run(server, "review", "-", input="only the names, please\n")
        asked = server.requests[0].body.decode()
    assert (done.returncode, done.stdout) == (0, "Nothing to say.\n")
    assert "only the names, please" in asked


def test_a_review_that_could_not_be_had_fails(run):
    with ModelServer().fails("invalid_request", "no such model") as server:
        done = run(server, "review", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such model" in done.stderr


def test_a_target_too_many_is_explained(run):
    with ModelServer() as server:
        done = run(server, "review", "--base", "main", "--uncommitted")
    assert done.returncode == 2
    assert "one target" in done.stderr


def test_a_plan_goes_to_stdout_and_nothing_is_changed(run, project):
    server = ModelServer().calls("exec_command", cmd="echo x > made", login=False).says(PLAN)
    with server:
        done = run(server, "exec", "-s", "workspace-write", "--plan", "port it")
        tools = [tool.get("name") for tool in json.loads(server.requests[0].body)["tools"]]
    assert done.returncode == 0, done.stderr
    assert done.stdout == "All clear.\n\n# Port it\n- one\n"
    assert "read-only (plan)" in done.stderr
    assert "proposed plan\n# Port it" in done.stderr
    assert "proposed_plan>" not in done.stderr + done.stdout
    assert not (project / "made").exists()
    assert "request_user_input" not in tools  # nobody is there


def test_a_plan_as_lines_is_the_last_message(run):
    with ModelServer().says(PLAN) as server:
        done = run(server, "exec", "--json", "--plan", "port it")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    texts = [line["item"]["text"] for line in lines if line["type"] == "item.completed"]
    assert texts == ["All clear.", "# Port it\n- one"]
