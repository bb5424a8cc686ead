"""The words of Windows' commands on systems that are not Windows."""

import sys

import click
import pytest
from click.testing import CliRunner

from octavo.cli import sandbox_windows
from octavo.cli.sandbox import SUBCOMMAND, command
from octavo.protocol.errors import UsageError


def parsed(*args):
    context = click.Context(command)
    command.parse_args(context, list(args))
    return context.meta.get(SUBCOMMAND), context.params["argv"]


@pytest.mark.parametrize("args", [
    ("setup",), ("uninstall",), ("doctor", "--json"), ("windows", "status"), ("windows", "undo"),
    ("windows", "smoke", "--row", "1"),
])  # fmt: skip
def test_the_first_word_names_a_command_of_our_own(args):
    assert parsed(*args) == ((list(args), []), ())
    assert parsed("-c", "a=1", *args) == ((list(args), ["a=1"]), ())


@pytest.mark.parametrize(("args", "argv"), [
    (("--", "setup"), ("setup",)),
    (("-s", "read-only", "setup"), ("setup",)),
    (("make", "setup"), ("make", "setup")),
    (("--", "windows", "status"), ("windows", "status")),
])  # fmt: skip
def test_behind_dashes_or_options_it_is_a_program(args, argv):
    assert parsed(*args) == (None, argv)


@pytest.mark.skipif(sys.platform != "linux", reason="names this system")
def test_the_systems_name_is_a_spelling_with_options_behind_it():
    assert parsed("linux", "-s", "read-only", "--", "setup") == (None, ("setup",))
    assert parsed("linux", "setup") == (None, ("setup",))


@pytest.mark.skipif(sys.platform == "win32", reason="elsewhere")
@pytest.mark.parametrize("args", [
    ("setup",), ("setup", "--elevated", "--current-user"), ("uninstall",), ("doctor",),
    ("windows", "status"), ("windows", "undo", "--json"), ("windows", "smoke"),
])  # fmt: skip
def test_elsewhere_each_is_refused_plainly(args):
    with pytest.raises(UsageError, match="this is not windows"):
        sandbox_windows.command.main([*args], standalone_mode=False)


@pytest.mark.parametrize("args", [("setup",), ("windows", "smoke"), ("doctor",), ("windows",)])
def test_each_has_help_everywhere(args):
    shown = CliRunner().invoke(sandbox_windows.command, [*args, "--help"])
    assert shown.exit_code == 0
    assert "Usage: " in shown.output


@pytest.mark.parametrize(("given", "says"), [
    ({"current_user": True}, "go with --elevated"),
    ({"user": "D\\x"}, "go with --elevated"),
    ({"elevated": True}, "--current-user, or --user"),
    ({"elevated": True, "current_user": True, "user": "D\\x"}, "--current-user, or --user"),
    ({"elevated": True, "user": "D\\x"}, "go together"),
    ({"elevated": True, "current_user": True, "home": "/x"}, "go together"),
    ({"elevated": True, "user": "D\\x", "home": "x"}, "not an absolute path"),
])  # fmt: skip
def test_whom_it_is_for_is_said_once_and_whole(given, says):
    whole = {"elevated": False, "current_user": False, "user": None, "home": None, **given}
    with pytest.raises(UsageError, match=says):
        sandbox_windows.chosen_user(**whole)
