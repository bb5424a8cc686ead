"""Quoting, judged by the documented rules of CommandLineToArgvW, written out below."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octavo.process import argv_windows as argv
from octavo.protocol.errors import UsageError


def split(line):
    """What a program's C runtime makes of its line."""
    found, at = [], 0
    if line.startswith('"'):
        end = line.index('"', 1)
        found, at = [line[1:end]], end + 1
    else:
        at = next((i for i, char in enumerate(line) if char in " \t"), len(line))
        found = [line[:at]]
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at >= len(line):
            return found
        word, quoted = "", False
        while at < len(line) and (quoted or line[at] not in " \t"):
            slashes = 0
            while at < len(line) and line[at] == "\\":
                slashes, at = slashes + 1, at + 1
            if at < len(line) and line[at] == '"':
                word += "\\" * (slashes // 2)
                if slashes % 2:
                    word += '"'
                elif quoted and line[at + 1 : at + 2] == '"':
                    word, at = word + '"', at + 1
                else:
                    quoted = not quoted
                at += 1
                continue
            word += "\\" * slashes
            if at < len(line) and (quoted or line[at] not in " \t"):
                word, at = word + line[at], at + 1
        found.append(word)


text = st.text(st.sampled_from("ab\"\\ \t\n'^%&"), max_size=8)


@given(st.lists(text, max_size=6))
@example(["\\", '\\"', "a\\\\ b\\", "", '""'])
def test_every_argument_arrives_as_it_was_written(rest):
    assert split(argv.command_line(["prog.exe", *rest])) == ["prog.exe", *rest]


def test_a_program_with_a_blank_is_quoted_without_escapes():
    assert argv.command_line(["C:\\Program Files\\", "x"]) == '"C:\\Program Files\\" x'


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["cmd", "/c", 'echo "a b" & dir'], '"cmd" /s /c "echo "a b" & dir"'),
        (["CMD.exe", "/D", "/S", "/C", "x"], '"CMD.exe" /d /s /c "x"'),
        (["C:\\Windows\\cmd.exe", "/c", "x"], '"C:\\Windows\\cmd.exe" /s /c "x"'),
        (["cmd", "/c", "echo", "a b"], 'cmd /c echo "a b"'),
        (["cmd", "/k", "a b"], 'cmd /k "a b"'),
    ],
)
def test_one_argument_after_cmd_c_goes_as_it_is(given, line):
    assert argv.command_line(given) == line


@pytest.mark.parametrize("bad", [[], [""], ["a", "b\0"], ['a"b'], ["a", "x" * 40_000]])
def test_what_cannot_be_passed_is_refused(bad):
    with pytest.raises(UsageError):
        argv.command_line(bad)


FILES = {
    "C:\\bin\\git.exe",
    "C:\\bin\\run.cmd",
    "C:\\ws\\git.exe",
    "C:\\ws\\t\\x.exe",
    "C:\\bin\\a",
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("git", "C:\\bin\\git.exe"),
        ("git.exe", "C:\\bin\\git.exe"),
        (".\\git", "C:\\ws\\.\\git.exe"),
        ("t/x", "C:\\ws\\t\\x.exe"),
        ("C:\\bin\\run", "C:\\bin\\run.cmd"),
        ("a", "C:\\bin\\a"),
    ],
)
def test_a_program_is_found_by_the_commands_own_path_never_in_its_folder(name, found):
    def is_file(path):
        return (
            path.replace("\\.\\", "\\") in {each.replace(".exe", ".EXE") for each in FILES} | FILES
        )

    env = {"Path": 'relative;;"C:\\bin\\";C:\\more', "PathExt": ".exe;.cmd"}
    assert argv.find_program(name, "C:\\ws", env, is_file) == found


@pytest.mark.parametrize("name", ["", "C:x", "\\x", 'a"', "missing", "a\0"])
def test_a_program_that_is_missing_or_ambiguous_is_an_error(name):
    with pytest.raises(UsageError):
        argv.find_program(name, "C:\\ws", {"PATH": "C:\\bin"}, lambda _path: False)


def test_a_relative_folder_is_an_error():
    with pytest.raises(UsageError, match="not absolute"):
        argv.find_program("x", "ws", {}, lambda _path: True)


def test_a_batch_file_gets_only_what_cmd_leaves_alone():
    line = argv.for_batch("C:\\a b\\x.cmd", ["x", "one two"], "C:\\cmd.exe")
    assert line == '"C:\\cmd.exe" /d /s /v:off /c ""C:\\a b\\x.cmd" "one two""'
    assert argv.for_batch("C:\\x.exe", ["x", "%a%"], "cmd") is None
    for bad in ("%PATH%", 'a"b', "a&b", "a\nb", "!x!", "^"):
        with pytest.raises(UsageError, match="batch file"):
            argv.for_batch("C:\\x.BAT", ["x", bad], "cmd")


def test_a_command_becomes_the_program_that_starts_and_its_line():
    files = {"C:\\bin\\tool.exe", "C:\\bin\\make.bat"}
    variables = {"Path": "C:\\bin", "PATHEXT": ".exe;.bat"}

    def ask(*words):
        return argv.resolved(
            words, "C:\\w", variables, is_file=files.__contains__, comspec="C:\\cmd.exe"
        )

    assert ask("tool", "a b") == ("C:\\bin\\tool.exe", 'C:\\bin\\tool.exe "a b"')
    assert ask("make", "x") == (
        "C:\\cmd.exe",
        '"C:\\cmd.exe" /d /s /v:off /c ""C:\\bin\\make.bat" "x""',
    )
    with pytest.raises(argv.NotFoundError, match="nothing"):
        ask("nothing")
    with pytest.raises(UsageError, match="no program"):
        ask()
