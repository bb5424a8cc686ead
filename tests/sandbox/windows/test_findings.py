from dataclasses import replace

import pytest

from octavo.sandbox.windows import acl, setup
from octavo.sandbox.windows.acl import Ace, Present
from octavo.sandbox.windows.findings import LOGON, Observed, Place, findings

USER, GROUP, OFFLINE = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1005", "S-1-5-21-1-2-3-1006"


def mine(path, owner=USER):
    full = Ace(allow=True, sid=owner, mask=acl.ALL, flags=acl.DOWN)
    return Place(path=path, present=Present(path, True, owner, (full,)))


LOCKED = acl.lock("C:\\h\\.sandbox-secrets", "secrets", group=GROUP, user=USER)
GOOD = Observed(
    build=26100,
    level="elevated",
    user=USER,
    group=GROUP,
    accounts=(OFFLINE,),
    home=mine("C:\\h"),
    cwd=mine("C:\\w"),
    secrets=Place(
        path=LOCKED.path,
        present=Present(LOCKED.path, True, acl.ADMINISTRATORS, LOCKED.dacl, protected=True),
    ),
    policy=0,
    logon=((setup.OFFLINE, 0), (setup.ONLINE, 0)),
    secondary_logon="enabled",
    interpreter="C:\\Python\\python.exe",
    interpreter_readable=True,
)


def found(**more):
    return {each.name: each for each in findings(replace(GOOD, **more))}


def test_where_everything_is_right_nothing_needs_a_repair():
    assert {each.state for each in findings(GOOD)} == {"ok"}
    assert not any(each.repair for each in findings(GOOD))


@pytest.mark.parametrize(("name", "state", "says", "more"), [
    ("system", "problem", "Wine 8.0", {"wine": "8.0"}),
    ("system", "weak", "pseudoconsoles", {"build": 17134}),
    ("level", "problem", "not set", {"level": "disabled"}),
    ("level", "weak", "network are not", {"level": "unelevated"}),
    ("own files", "problem", "cap_sid", {"damaged": ("cap_sid: not JSON",)}),
    ("home", "problem", "no access lists", {"home": replace(mine("E:\\h"), keeps_lists=False)}),
    ("home", "problem", "no drive", {"home": Place(path="Q:\\", problem="Q: there is no drive")}),
    ("folder", "problem", "the administrators", {"cwd": mine("C:\\w", acl.ADMINISTRATORS)}),
    ("folder", "problem", "a sandbox account", {"cwd": mine("C:\\w", OFFLINE)}),
    ("interpreter", "problem", "Microsoft Store", {"store": True}),
    ("set-up", "problem", "never finished", {"set_up_needed": "it was never finished"}),
    ("credentials", "problem", "does not protect", {"secrets": mine("C:\\h\\s")}),
    ("firewall rules", "problem", "tcp", {"rules_missing": ("x_tcp",)}),
    ("logon service", "problem", "disabled", {"secondary_logon": "disabled"}),
    ("firewall", "problem", "overrides", {"policy": 1}),
    ("firewall", "problem", "E_FAIL", {"policy": None, "policy_problem": "E_FAIL"}),
])  # fmt: skip
def test_each_problem_is_named_with_its_repair(name, state, says, more):
    one = found(**more)[name]
    assert (one.state, says in one.text) == (state, True), one
    assert one.repair


@pytest.mark.parametrize("code", [*LOGON, 4711])
def test_each_reason_not_to_log_on_has_a_repair(code):
    one = found(logon=((setup.OFFLINE, code),))["logon"]
    assert one.state == "problem"
    assert f"(error {code})" in one.text
    assert one.repair


def test_what_an_administrator_owns_but_the_user_may_change_is_fine():
    full = Ace(allow=True, sid=USER, mask=acl.ALL, flags=acl.DOWN)
    place = Place(path="C:\\w", present=Present("C:\\w", True, acl.ADMINISTRATORS, (full,)))
    assert found(cwd=place)["folder"].state == "ok"


def test_a_repair_quotes_what_stands_in_a_path():
    one = found(cwd=mine("C:\\o'clock $x", acl.SYSTEM))["folder"]
    assert "'C:\\o''clock $x'" in one.repair


def test_without_a_wish_for_accounts_theirs_are_not_asked_for():
    names = set(found(level="unelevated", set_up_needed="it was never finished", logon=()))
    assert not names & {"set-up", "credentials", "logon", "firewall rules"}


def test_entries_that_are_left_are_told_and_how_to_remove_them():
    assert "undo" in found(journal=(3, 9))["entries"].repair


# Credentials' folder -----------------------------------------------------------------------------

GOOD_FOLDER = GOOD.secrets.present


@pytest.mark.parametrize(("present", "says"), [
    (None, "missing"),
    (replace(GOOD_FOLDER, folder=False), "no folder"),
    (replace(GOOD_FOLDER, dacl=None), "no access list"),
    (replace(GOOD_FOLDER, protected=False), "inherits"),
    (replace(GOOD_FOLDER, owner=OFFLINE), "belongs to"),
    (replace(GOOD_FOLDER, dacl=(*GOOD_FOLDER.dacl, Ace(True, acl.USERS, acl.RX, acl.DOWN))),
     "S-1-5-32-545 has rights"),
    (replace(GOOD_FOLDER, dacl=GOOD_FOLDER.dacl[1:]), "not closed to the sandbox accounts"),
    (replace(GOOD_FOLDER, dacl=()), "not closed to the sandbox accounts"),
])  # fmt: skip
def test_a_folder_that_does_not_protect_says_why(present, says):
    assert says in setup.secrets_problem(present, group=GROUP, user=USER)


def test_the_lock_of_set_up_protects():
    assert setup.secrets_problem(GOOD_FOLDER, group=GROUP, user=USER) is None
