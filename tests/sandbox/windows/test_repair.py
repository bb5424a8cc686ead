import pytest

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows.repair import NotApplied, problem, repair
from octavo.sandbox.windows.world import ChangedMeanwhile, DiskError

ME = "S-1-5-21-1-1-1-1001"


def error(code, path="C:\\x", **more):
    return DiskError("CreateFile", code, path=path, reason="r", **more)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (1, "NTFS"),
        (5, f"& 'icacls.exe' 'C:\\x' '/grant' '*{ME}:(RC,WDAC)'"),
        (19, "write-protected"),
        (32, "Close the program that uses C:\\x"),
        (50, "NTFS"),
        (1312, "Sign out"),
        (87, "octavo sandbox doctor"),
    ],
)
def test_every_number_has_its_repair(code, advice):
    assert advice in repair(error(code), user=ME)


def test_a_path_cannot_break_out_of_the_command_that_repairs_it():
    assert "'C:\\it''s; rm x'" in repair(error(5, "C:\\it's; rm x"), user=ME)
    assert "\n" not in repair(error(5, "C:\\x\ny"), user=ME)


def test_a_repair_that_is_known_already_is_kept():
    assert repair(error(5, hint="Do this."), user=ME) == "Do this."


def test_all_problems_are_told_in_one_line_and_each_repair_once():
    problems = [
        problem(error(32), ME),
        problem(error(32), ME),
        problem(ChangedMeanwhile("C:\\y"), ME),
        problem(ConfigError("bad", file="f", hint="Fix it."), ME),
    ]
    raised = NotApplied(problems)
    assert "\n" not in str(raised)
    assert str(raised).count("CreateFile") == 2
    assert raised.hint.count("Close the program") == 1
    assert raised.hint.endswith("Run the command again. Fix it.")
    assert raised.exit_code == 5
