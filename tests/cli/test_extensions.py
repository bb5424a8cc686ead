"""`octavo hooks`, `skills` and `prompts`: what people and programs see, kept in files.

OCTAVO_REWRITE_GOLDEN=1 writes them anew; look at the difference.
"""

import json
import os
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "cli"
HASH = re.compile(r"sha256:[0-9a-f]{64}")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def room(octavo, octavo_home, workspace, tmp_path):
    """Some of everything; `same(name, text)` compares with a file."""
    octavo.env["HOME"] = str(tmp_path)
    octavo.config(f'[projects."{workspace}"]\ntrust_level = "trusted"\n')
    write(workspace / ".git/HEAD", "")
    write(workspace / "check.sh", "exit 0\n")
    hooks = {
        "PreToolUse": [{"matcher": "Bash", "hooks": [
            {"type": "command", "command": "sh check.sh", "on_failure": "block", "timeout": 5}]}],
        "Stop": [{"hooks": [{"type": "command", "command": "echo\x1b[31m", "async": True}]}],
    }  # fmt: skip
    write(octavo_home / "hooks.json", json.dumps({"hooks": hooks, "Stops": 1}))
    write(workspace / ".codex/hooks.json", '{"hooks": {"Stopp": []}}')
    write(workspace / ".agents/skills/pdf/SKILL.md", "---\ndescription: Reads\n  PDF.\n---\nx")
    write(octavo_home / "skills/off/SKILL.md", "---\nname: off\ndescription: No.\n---\nx")
    write(octavo_home / "skills/bad/SKILL.md", "nothing")
    write(octavo_home / "prompts/review.md",
          "---\ndescription: Look well\nargument-hint: FILE\n---\nReview $1.\n")  # fmt: skip
    return octavo


def same(name, text, tmp_path):
    text = HASH.sub("sha256:HASH", text.replace(str(tmp_path), "ROOM"))
    path = GOLDEN / name
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def out(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hooks_are_listed_for_people_and_for_programs(room, tmp_path):
    done = room("hooks", "list")
    same("hooks.txt", out(done) + "--- stderr\n" + done.stderr, tmp_path)
    same("hooks.jsonl", out(room("hooks", "list", "--json")), tmp_path)


def test_a_hook_is_trusted_until_it_or_its_script_changes(room, workspace):
    def standing():
        return [line.split()[1] for line in out(room("hooks", "list")).splitlines()]

    assert standing() == ["untrusted", "untrusted"]
    assert "runs from now on: PreToolUse [Bash]: sh check.sh" in out(room("hooks", "trust", "1"))
    assert standing() == ["trusted", "untrusted"]
    write(workspace / "check.sh", "curl evil\n")
    assert standing() == ["modified", "untrusted"]
    out(room("hooks", "trust", "--all"))
    assert standing() == ["trusted", "trusted"]
    key = json.loads(out(room("hooks", "list", "--json")).splitlines()[0])["key"]
    assert "does not run any more" in out(room("hooks", "untrust", key))
    assert standing() == ["untrusted", "trusted"]


@pytest.mark.parametrize("words", [[], ["7"], ["1", "--all"], ["nonsense"]])
def test_a_hook_that_is_not_there_is_one_line(room, words):
    done = room("hooks", "trust", *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("octavo: what helps: octavo hooks list")


def test_skills_are_listed_for_people_and_for_programs(room, tmp_path):
    off = ("-c", 'skills.config=[{name="off",enabled=false}]')
    done = room("skills", "list", *off)
    same("skills.txt", out(done) + "--- stderr\n" + done.stderr, tmp_path)
    same("skills.jsonl", out(room("skills", "list", "--json", *off)), tmp_path)


def test_prompts_are_listed_for_people_and_for_programs(room, tmp_path):
    same("prompts.txt", out(room("prompts", "list")), tmp_path)
    same("prompts.jsonl", out(room("prompts", "list", "--json")), tmp_path)


def test_where_there_is_nothing_nothing_is_listed(octavo, tmp_path):
    octavo.env["HOME"] = str(tmp_path)
    for command in ("hooks", "skills", "prompts"):
        assert out(octavo(command, "list")) == ""


def test_a_headless_run_has_hooks_skills_and_prompts(room, octavo_home, workspace):
    from octavo.testing import ModelServer

    write(octavo_home / "hooks.json", json.dumps({"hooks": {"PreToolUse": [
        {"hooks": [{"type": "command", "command": "echo 'not on fridays' >&2; exit 2"}]}]}}))  # fmt: skip
    server = ModelServer().calls("exec_command", cmd="touch made").says("Fine.")
    with server:
        room.config(
            f'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\n'
            f'base_url = "{server.url}"\n'
        )
        done = room("exec", "--dangerously-bypass-hook-trust", "/prompts:review 'a b' ")
    assert out(done) == "Fine.\n"
    assert "hooks run without review" in done.stderr
    assert "a hook refused Bash: not on fridays" in done.stderr
    assert not (workspace / "made").exists()
    first, second = server.requests
    assert "Review a b." in str(first.body)
    assert "- pdf: Reads PDF." in str(first.body)
    assert "not on fridays" in str(second.body)
    missing = room("exec", "/prompts:reveiw")
    assert missing.returncode == 2
    assert 'did you mean "review"' in missing.stderr
