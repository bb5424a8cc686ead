"""The one call before a command starts, with everything real but Windows' memory for lists."""

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.windows.apply import ByHand

GROUP = Accounts("S-1-5-21-1-1-1-1", "S-1-5-21-1-1-1-2", "S-1-5-21-1-1-1-3")


@pytest.fixture
def top(tmp_path):
    from octavo.sandbox.win32 import disk

    for name in ("home", "w", "w\\a", "w\\.git"):
        os.mkdir(tmp_path / name)
    return disk.canonical(str(tmp_path))


def prepared(top, *rules, **more):
    from octavo.sandbox.win32.prepare import prepare

    usual = [("/", "read", "all"), (top + "\\w", "write", "t"), (top + "\\w\\.git", "read", "t")]
    given = {"level": "unelevated", "env": {}, "cwd": top + "\\w", "home": top + "\\home", **more}
    return prepare([*usual, *rules], **given)


@pytest.mark.traced
def test_every_write_is_the_plans_in_its_order(trace, top):
    trace.mark()
    plan = prepared(top, (top + "\\w\\a\\new", "read", "protected: t"))
    written = [one for one in trace.written() if one.path.startswith(top)]
    assert [(one.path, one.explicit) for one in written] == [
        (change.path, change.after) for change in plan.changes
    ]
    assert {change.path for change in plan.changes} >= {top + "\\w", top + "\\w\\.git"}
    born = {each.name: each.entries for each in trace.asked("create_file") if each.entries}
    assert {made.path: made.dacl for made in plan.creates} == born
    assert plan.token is not None
    assert set(plan.active) < set(plan.token.restricting)


@pytest.mark.traced
def test_each_write_is_on_record_before_it_is_made(trace, top):
    trace.mark()
    plan = prepared(top)
    seen = [
        each
        for each in trace.since()
        if each.call in ("set_security_object", "flush")
        or (each.call == "create_file" and each.name.endswith("acl_journal.jsonl"))
    ]
    calls = [each.call for each in seen]
    for at, call in enumerate(calls):
        if call == "set_security_object":
            assert "create_file" in calls[:at][-3:], calls
    assert calls.count("set_security_object") >= len(plan.changes)


def test_the_same_sids_the_second_time_and_everything_can_be_undone(top):
    from octavo.sandbox.win32 import undo

    first = prepared(top, (top + "\\w\\new", "read", "t"))
    again = prepared(top, (top + "\\w\\new", "read", "t"))
    assert first.active == again.active
    assert first.fingerprint == again.fingerprint
    assert [made.path for made in first.creates] == [top + "\\w\\new"]
    assert again.creates == ()
    home = top + "\\home"
    assert any(left.created for left in undo.status(home).left)
    report = undo.undo(home)
    assert report.problems == ()
    assert report.removed == (top + "\\w\\new",)
    assert not os.path.exists(top + "\\w\\new")
    assert undo.status(home).left == ()


def test_what_a_command_holds_is_not_undone(top):
    from octavo.sandbox.win32 import undo
    from octavo.sandbox.win32.state import Hold

    with Hold(top + "\\home") as hold:
        prepared(top, hold=hold)
        with pytest.raises(SandboxUnavailable, match="in use"):
            undo.undo(top + "\\home")
    assert undo.undo(top + "\\home").problems == ()


def test_by_hand_nothing_is_written_and_the_commands_are_told(top):
    with pytest.raises(ByHand) as caught:
        prepared(top, (top + "\\w\\new", "read", "t"), acl_mode="manual")
    assert f"& 'icacls.exe' '{top}\\w\\.git' '/deny'" in caught.value.commands
    assert not os.path.exists(top + "\\w\\new")
    assert os.listdir(top + "\\home") == ["cap_sid"]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (("C:\\", "write", "t"), "whole drive"),
        (("\\\\.\\C:\\x", "write", "t"), "device"),
        (("C:\\windows", "write", "t"), "the system's"),
        (("C:\\NUL", "write", "t"), "device"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_reason(top, rule, reason):
    with pytest.raises(SandboxUnavailable, match=reason):
        prepared(top, rule)
    assert not os.path.exists(top + "\\home\\.sandbox\\acl_journal.jsonl")


def test_a_share_nobody_can_reach_is_left_out_and_said(top):
    plan = prepared(top, ("\\\\nowhere\\share\\x", "write", "t"))
    assert plan.notes == ("\\\\nowhere\\share\\x (t) is left out: it does not exist",)


@pytest.mark.traced
def test_hidden_paths_are_denied_to_the_group_and_shown_again_when_nobody_wants_them(trace, top):
    from octavo.sandbox.win32.state import Home
    from octavo.sandbox.windows import acl

    os.mkdir(top + "\\secret")
    with open(top + "\\w\\k.env", "w"):
        pass
    trace.mark()
    plan = prepared(
        top,
        (top + "\\secret", "none", "t"),
        level="elevated",
        accounts=GROUP,
        patterns=[top + "\\w\\*.env"],
    )
    assert plan.token is None
    assert set(plan.hidden) == {top + "\\secret", top + "\\w\\k.env"}
    first = trace.written()[:2]
    assert {one.path for one in first} == set(plan.hidden)
    for one in first:
        assert any(
            (ace.allow, ace.sid, ace.mask) == (False, GROUP.group, acl.HIDE) for ace in one.explicit
        )
    assert set(Home(top + "\\home").hidden(GROUP.group)) == set(plan.hidden)
    prepared(top, level="elevated", accounts=GROUP)
    assert Home(top + "\\home").hidden(GROUP.group) == ()


def test_the_elevated_sandbox_needs_its_accounts(top):
    with pytest.raises(SandboxUnavailable, match="not set up"):
        prepared(top, level="elevated")
