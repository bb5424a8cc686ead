"""`octavo execpolicy check`: the reference's JSON, one clear line for what is wrong."""

import json

import pytest

from octavo.cli.main import run

RULES = """\
prefix_rule(pattern=["git", ["push", "fetch"]], decision="prompt", justification="ask first")
prefix_rule(pattern=["git"])
host_executable(name="git", paths=["/usr/bin/git"])
"""


@pytest.fixture
def check(tmp_path, capsys):
    (tmp_path / "one.rules").write_text(RULES)
    (tmp_path / "two.rules").write_text('prefix_rule(pattern=["rm"], decision="forbidden")\n')

    def runner(*words, files=("one.rules", "two.rules")):
        named = [word for name in files for word in ("-r", str(tmp_path / name))]
        code = None
        try:
            code = run(["execpolicy", "check", *named, *words])
        except SystemExit as done:
            code = done.code
        found = capsys.readouterr()
        return code, found.out, found.err

    runner.folder = tmp_path
    return runner


def test_the_answer_is_one_line_of_json(check):
    code, out, _ = check("git", "push", "-f")
    assert code == 0
    assert out == (
        '{"matchedRules":[{"prefixRuleMatch":{"matchedPrefix":["git","push"],"decision":"prompt",'
        '"justification":"ask first"}},{"prefixRuleMatch":{"matchedPrefix":["git"],'
        '"decision":"allow"}}],"decision":"prompt"}\n'
    )


def test_without_a_match_there_is_no_decision(check):
    assert check("ls", "-la")[:2] == (0, '{"matchedRules":[]}\n')


def test_pretty_is_the_same_on_several_lines(check):
    _, out, _ = check("--pretty", "rm", "-rf", "--", "x")
    assert json.loads(out)["decision"] == "forbidden"
    assert len(out.splitlines()) > 5


def test_paths_stand_for_names_only_when_asked_to(check):
    assert json.loads(check("/usr/bin/git", "log")[1])["matchedRules"] == []
    _, out, _ = check("--resolve-host-executables", "/usr/bin/git", "log")
    assert json.loads(out)["matchedRules"] == [
        {
            "prefixRuleMatch": {
                "matchedPrefix": ["git"],
                "decision": "allow",
                "resolvedProgram": "/usr/bin/git",
            }
        }
    ]
    _, out, _ = check("--resolve-host-executables", "/tmp/git", "log")
    assert json.loads(out)["matchedRules"] == []


@pytest.mark.parametrize(("words", "code"), [
    (("git", "log"), 0), (("rm", "x"), 4), (("git", "push"), 10), (("ls",), 11),
])  # fmt: skip
def test_scripts_can_ask_for_an_exit_code(check, words, code):
    assert check("--exit-code", "--", *words)[0] == code


def test_what_is_wrong_is_one_line_with_its_place(check):
    (check.folder / "bad.rules").write_text("\nprefix_rule(pattern=[])\n")
    code, out, err = check("ls", files=("one.rules", "bad.rules"))
    assert (code, out) == (3, "")
    assert "bad.rules:2: prefix_rule: `pattern`" in err
    assert len(err.splitlines()) == 1
    assert check("ls", files=("nothing.rules",))[0] == 2
    assert check(files=("one.rules",))[0] == 2
    assert check("ls", files=())[0] == 2
