"""Scripts taken apart. The independent judge is a shell that prints the words it was given."""

import shlex
import shutil
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from octavo.policy.shell import LONGEST, Plain, plain, script_in, walked

PLAIN = [
    ("ls -la", [["ls", "-la"]]),
    ("a && b | c; d\ne", [["a"], ["b"], ["c"], ["d"], ["e"]]),
    ("a || b", [["a"], ["b"]]),
    ("echo 'x y' \"z w\" a'b'\"c\"d", [["echo", "x y", "z w", "abcd"]]),
    ("echo ''", [["echo", ""]]),
    ("git show HEAD^ a#b", [["git", "show", "HEAD^", "a#b"]]),
    ("git commit -m 'two\nlines'", [["git", "commit", "-m", "two\nlines"]]),
    ("echo 1 2 - ", [["echo", "1", "2", "-"]]),
    ("find . -name x -exec grep a {} \\;", [["find", ".", "-name", "x", "-exec", "grep", "a", "{}", ";"]]),
    ("echo a\\ b", [["echo", "a b"]]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "commands"), PLAIN)
def test_plain_scripts_give_their_words(script, commands):
    assert [list(words) for words in plain(script).commands] == commands


@pytest.mark.parametrize("script", [
    "", " \n", "a > b", "a < b", "a 2>&1", "a >> b", "(a)", "{ a; }", "a &", "! a", "A=b c", "A=b",
    "echo $x", "echo ${x}", "echo $(x)", "echo `x`", "echo \"$x\"", "echo \"`x`\"", "echo $'x'",
    "echo $\"x\"", "ls *.c", "ls a?", "ls [ab]", "echo {a,b}", "echo {1..3}", "ls ~", "ls ~/x",
    "echo =ls", "a=~/x", "if true; then a; fi", "for x in a; do b; done", "while a; do b; done",
    "case x in x) a;; esac", "f() { a; }", "[ -f x ]", "[[ -f x ]]", "((1))", "export A=b", "unset a",
    "declare a=b", "a ;; b", "echo 'a", 'echo "a', "a &&", "| a", "a <<E\nx\nE\nb", "a <<< b",
    "# only words", "a # b", "echo a\\", "echo a\\\nb", "a\rb", "a\x00b", "a\x01", "echo \ud800",
    "time ls", "coproc a", "cat <<E | sh\nrm x\nE", "a <(b)", "a \\ b", "select x in a; do b; done",
    "x" * (LONGEST + 1), "(" * 5000, "$(" * 2000 + ")" * 2000,
])  # fmt: skip
def test_everything_else_is_opaque(script):
    assert plain(script) is None


@pytest.mark.parametrize(("script", "words"), [
    ("python3 - <<'EOF'\nprint($x)\nEOF\n", ("python3", "-")),
    ("cat <<EOF\nplain\nEOF", ("cat",)),
    ("cat <<-\"E\"\n\tx\n\tE\n", ("cat",)),
])  # fmt: skip
def test_one_command_with_a_here_document_is_known_by_its_words(script, words):
    assert plain(script) == Plain(((words,),), heredoc=True)


@pytest.mark.parametrize("script", [
    "cat <<EOF\n$(rm x)\nEOF", "cat <<EOF\n`rm x`\nEOF", "cat <<EOF > file\nx\nEOF",
    "cat <<'EOF' && rm x\nx\nEOF", "cat <<'E'\nx\nE\nrm x", "A=b cat <<'E'\nx\nE",
    "cat <<'E' b\nx\nE",
])  # fmt: skip
def test_a_here_document_hides_nothing(script):
    assert plain(script) is None


def test_pipelines_are_kept_together():
    assert plain("a | b; c && d | e").pipelines == (
        (("a",), ("b",)), (("c",),), (("d",), ("e",)),
    )  # fmt: skip


@pytest.mark.parametrize(("argv", "script"), [
    (("bash", "-lc", "x"), "x"), (("/bin/sh", "-c", "x"), "x"), (("/odd/zsh", "-c", "x"), "x"),
    (("fish", "-c", "x"), None), (("bash", "-c", "x", "y"), None), (("bash", "-ec", "x"), None),
    (("bash", "x"), None), (("ls",), None),
])  # fmt: skip
def test_only_three_words_name_a_script(argv, script):
    assert script_in(argv) == script


def test_every_command_is_found_wherever_it_hides():
    script = (
        "for x in a; do sudo rm -rf $x; done; $(rm -f y); if ! a; then (b) fi; bash <<E\nrm z\nE"
    )
    found = list(walked(script))
    for words in (("sudo", "rm", "-rf", None), ("rm", "-f", "y"), ("a",), ("b",), (None, "rm z\n")):
        assert words in found


WORDS = st.text(
    st.sampled_from("abz09-_./%@+:, '\"\\$`*?[]{}~=#!^&|;<>()\n\té\u00a0\u2028"),
    min_size=0,
    max_size=8,
)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_quoted_words_come_back_or_the_script_is_opaque(commands):
    script = " && ".join(shlex.join(words) for words in commands)
    found = plain(script)
    assert found is None or [list(words) for words in found.commands] == commands


SHOW = "import sys; print([list(map(ord, word)) for word in sys.argv[1:]])"
ALPHABET = "ab1 '\"\\$*?[]{}~=#!^,.:;&|<>()`-\n\t%@/"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash as a judge")
@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(ALPHABET), max_size=14))
@example(" a \\ b")
@example('"\\$a" {a..b}')
@example("a\\\\;b")
def test_a_shell_agrees_with_what_is_called_plain(tail):
    """One command with any tail: if it is plain, bash passes exactly these words."""
    found = plain(f"show {tail}")
    if found is None or len(found.commands) != 1 or found.heredoc:
        return
    function = f'show() {{ {shlex.quote(sys.executable)} -S -c {shlex.quote(SHOW)} "$@"; }}'
    done = subprocess.run(
        ["bash", "-c", f"{function}\nshow {tail}"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.strip() == str(
        [[ord(letter) for letter in word] for word in found.commands[0][1:]]
    )


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(script):
    plain(script)
    list(walked(script))
