"""What the tables say of single commands."""

import pytest

from octavo.policy.commands import dangerous, known_safe, too_broad


@pytest.mark.parametrize("line", [
    "ls -la", "cat a b", "grep -r x .", "head -n 3 f", "/usr/bin/wc -l", "git status", "git log -p",
    "git diff --stat", "git --no-pager show HEAD", "git branch -a --list",
    "find . -name x", "rg -n foo", "sed -n 5p file", "sed -n 1,20p file", "base64 -d f", "uniq -c",
    "uniq f", "tac f", "numfmt 1",
])  # fmt: skip
def test_commands_that_only_read_are_safe(line):
    words = tuple(line.split())
    assert known_safe(words)


@pytest.mark.parametrize("line", [
    "", "make", "touch x", "find . -delete", "find . -exec rm {} ;", "find . -fprintf x y",
    "rg --pre cmd x", "rg --pre=cmd x", "rg -z x", "rg -iz x", "rg --hostname-bin=x y",
    "git push", "git -C x status", "git -c a=b status", "git -ca=b log", "git -p log",
    "git --git-dir=x status", "git diff --output=x", "git diff --outp=x", "git log --ext-diff",
    "git show --textconv", "git branch -D x", "git branch new", "git branch -m x", "git",
    "sed -i s/a/b/ f", "sed -n 1p;w f", "sed -n 1,2w x", "sed -n 1p a b", "sed -n 1p -i",
    "base64 -o x", "base64 --output=x f", "base64 -ox f", "uniq a b", "/tmp/x/ls", "./cat a",
    "bin/git status",
])  # fmt: skip
def test_everything_else_is_not_known_to_be(line):
    assert not known_safe(tuple(line.split()))


def test_some_programs_are_only_known_where_they_belong():
    assert known_safe(("tac",), platform="linux")
    assert not known_safe(("tac",), platform="darwin")


@pytest.mark.parametrize("argv", [
    ("rm", "-f", "x"), ("rm", "-rf", "x"), ("rm", "-r", "--force", "x"), ("rm", "--forc", "x"),
    ("/bin/rm", "x", "-vf"), ("sudo", "rm", "-rf", "x"), ("sudo", "-u", "me", "-n", "rm", "-f", "x"),
    ("env", "-i", "A=b", "rm", "-f", "x"), ("env", "A=b", "sudo", "rm", "-f", "x"),
    ("bash", "-lc", "rm -rf x"), ("sh", "-ec", "ls; rm -f x"), ("zsh", "-c", "a && (rm -f x)"),
    ("bash", "-c", "for x in a; do rm -f $x; done"), ("bash", "-c", "echo $(rm -f x)"),
    ("bash", "-c", "trap 'rm -f x' EXIT"), ("bash", "-c", "bash -c 'bash -c \"rm -f x\"'"),
    ("bash", "-c", "eval 'rm -f x'"), ("bash", "-c", "r''m -f x"), ("bash", "-c", "r\\m -f x"),
    ("bash", "-c", "bash <<E\nrm -f x\nE\n"), ("bash", "-c", "if a; then b; else rm -f x; fi"),
    ("bash", "-c", "A=b rm -f x"), ("bash", "-c", "rm -f x > y"), ("bash", "-c", "nohup rm -rf x &"),
    ("pwsh", "-Command", "Remove-Item x -Recurse -Force"), ("cmd", "/c", "del /f x"),
    ("cmd", "/c", "rd /s x"), ("powershell.exe", "-Command", "start https://example.org"),
])  # fmt: skip
def test_removing_by_force_is_dangerous_wherever_it_is_hidden(argv):
    assert dangerous(argv)


@pytest.mark.parametrize("argv", [
    ("rm", "x"), ("rm", "-r", "x"), ("rm", "-i", "x"), ("ls",), (), ("bash", "-c", "rm x"),
    ("bash", "-c", "echo 'rm -f x'"), ("bash", "-c", "grep -f rm x"), ("bash", "-c", "npm run rm -f"),
    ("bash", "-c", "git rm -f x"), ("bash", "-c", "rm \"$flags\" x"), ("pwsh", "-Command", "ls"),
    ("bash", "-c", "format -f; term -f"), ("bash", "-c", "$rm -f x"),
])  # fmt: skip
def test_the_rest_is_not(argv):
    assert not dangerous(argv)


def test_what_is_nested_too_deeply_to_follow_is_dangerous():
    words = ("rm", "x")
    for _ in range(12):
        words = ("sudo", *words)
    assert dangerous(words)


@pytest.mark.parametrize("line", [
    "", "bash", "bash -lc", "/bin/sh -c", "python3", "python3.12 -c", "python -u -c", "node -e",
    "perl -e", "osascript -e", "powershell -Command", "cmd /c", "env", "sudo", "sudo bash", "git",
    "rm", "npm run", "env A=b", "env python3", "xargs", "eval", "uv run", "deno run", "ruby", "npx",
])  # fmt: skip
def test_words_that_would_allow_anything_are_too_broad(line):
    assert too_broad(tuple(line.split()))


@pytest.mark.parametrize("line", [
    "git pull", "make", "npm run build", "npm test", "python3 -m pytest", "bash build.sh", "ls",
    "sudo apt-get", "env A=b make", "cargo test", "rm build/x",
])  # fmt: skip
def test_words_that_say_what_happens_are_not(line):
    assert not too_broad(tuple(line.split()))
