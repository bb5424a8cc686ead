"""From rules to a disk on which they hold."""

from dataclasses import replace

import pytest

from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.prepare_windows import AUDIT_MS, SLACK_MS, Wish, prepare
from octavo.sandbox.windows import acl, apply, undo
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, Ace
from octavo.sandbox.windows.audit import Audit
from sandbox.windows.model_disk import USER, hides, snapshot
from sandbox.windows.test_apply import FACTS, GROUP, RULES, TOP, Machine

NOW = 10**12
WISH = Wish(rules=tuple(RULES), level="elevated")
OPEN = (Ace(True, EVERYONE, ALL, DOWN),)


class Prepared(Machine):
    """A machine on which `prepare` is called."""

    def __init__(self):
        super().__init__()
        self.audits = 0
        self.open = ()
        self.told = []

    def audit(self):
        self.audits += 1
        return Audit(self.open, 0)

    def hold(self, paths):
        assert self.home.locked
        self.told.append(set(paths))

    def prepare(self, wish=WISH, *, now_ms=NOW):
        return prepare(
            wish,
            facts=FACTS,
            disk=self.disk,
            store=self.home,
            audit=self.audit,
            random=self.random,
            now_ms=now_ms,
            hold=self.hold,
        )


@pytest.fixture
def machine():
    return Prepared()


def test_the_first_time_everything_is_put_in_place_and_the_second_time_nothing_is_written(machine):
    first = machine.prepare()
    assert not first.writes_nothing
    assert hides(machine.disk.volume[TOP + "\\a\\secret"], GROUP)
    machine.prepare(now_ms=NOW + 1)  # what was made now has entries, and is on the list from here
    machine.trouble.done.clear()
    again = machine.prepare(now_ms=NOW + 2)
    assert again.writes_nothing
    assert machine.trouble.done == []
    assert (again.active, again.fingerprint) == (first.active, first.fingerprint)
    assert not machine.home.locked


def test_the_same_wish_looks_only_at_what_is_new_and_another_wish_at_everything(machine):
    machine.prepare()
    assert machine.disk.walks == [(TOP, 0)]
    machine.disk.walks.clear()
    machine.prepare(now_ms=NOW + 60_000)
    assert machine.disk.walks == [(TOP, NOW - SLACK_MS)]
    machine.disk.walks.clear()
    machine.prepare(Wish(rules=tuple(RULES[:3]), level="elevated"), now_ms=NOW + 70_000)
    assert machine.disk.walks == [(TOP, 0)]


def test_what_had_entries_of_its_own_is_looked_at_again_although_it_is_old(machine):
    old = TOP + "\\a\\secret\\old"
    machine.disk.volume.add(old, USER, explicit=OPEN)
    machine.prepare()
    machine.disk.volume[old].explicit = OPEN
    machine.disk.volume[old].made_ms = 1
    machine.prepare(now_ms=NOW + 60_000)
    assert hides(machine.disk.volume[old], GROUP)


def test_what_a_command_made_private_is_repaired_the_next_time(machine):
    machine.prepare()
    made = machine.disk.volume.add(
        TOP + "\\tmp",
        USER,
        explicit=(Ace(True, acl.OWNER_RIGHTS, ALL, DOWN),),
        protected=True,
    )
    made.made_ms = NOW + 5
    plan = machine.prepare(now_ms=NOW + 60_000)
    assert [change.path for change in plan.changes] == [TOP + "\\tmp"]


def test_open_folders_are_looked_for_once_in_a_while(machine):
    for now_ms, expected in ((NOW, 1), (NOW + AUDIT_MS - 1, 1), (NOW + AUDIT_MS, 2), (NOW, 3)):
        machine.prepare(now_ms=now_ms)
        assert machine.audits == expected, now_ms


def test_folders_that_everybody_may_write_are_denied(machine):
    machine.disk.volume.add("C:\\open", USER, explicit=OPEN)
    machine.open = ("C:\\open",)
    plan = machine.prepare()
    assert len(plan.active) == 2
    assert machine.prepare(now_ms=NOW + 1).active == plan.active


def test_when_the_disk_moves_it_is_planned_again(machine):
    theirs = Ace(True, acl.ADMINISTRATORS, ALL, DOWN)
    node = machine.disk.volume[TOP]

    def interfere(path):
        if path == TOP and theirs not in node.explicit:
            node.explicit = (*node.explicit, theirs)

    machine.disk.before_write = interfere
    machine.prepare()
    assert theirs in node.explicit
    machine.disk.before_write = lambda _path: None
    assert machine.prepare(now_ms=NOW + 1).writes_nothing
    undo.undo(machine.disk, machine.home)
    node.explicit = tuple(ace for ace in node.explicit if ace != theirs)
    assert snapshot(machine.disk.volume) == machine.clean


def test_when_it_never_stops_moving_nothing_runs_and_nothing_stays_hidden(machine):
    node = machine.disk.volume[TOP]
    count = iter(range(100))

    def interfere(path):
        if path == TOP:
            node.explicit = (Ace(True, acl.USERS, next(count), DOWN),)

    machine.disk.before_write = interfere
    with pytest.raises(SandboxUnavailable, match="3 times in a row; the command did not run"):
        machine.prepare()
    assert not hides(machine.disk.volume[TOP + "\\a\\secret"], GROUP)
    assert machine.told == []
    assert machine.home.last() is None


def test_what_cannot_be_looked_at_is_an_error_with_its_repair(machine):
    machine.disk.unseen.add((TOP + "\\.git").upper())
    with pytest.raises(apply.NotApplied) as caught:
        machine.prepare()
    assert TOP + "\\.git" in str(caught.value)
    assert "did not run" in str(caught.value)
    assert "icacls.exe" in caught.value.hint


def test_what_an_account_made_private_where_it_may_write_stops_nothing(machine):
    machine.disk.volume.add(TOP + "\\private", USER, explicit=OPEN, protected=True)
    machine.disk.unseen.add((TOP + "\\private").upper())
    machine.prepare()


@pytest.mark.parametrize("folder", ["\\.git", "\\a\\secret"])
def test_but_where_everything_is_closed_or_hidden_it_does(machine, folder):
    path = TOP + folder + "\\private"
    machine.disk.volume.add(path, USER, explicit=OPEN, protected=True)
    machine.disk.unseen.add(path.upper())
    with pytest.raises(apply.NotApplied, match="private"):
        machine.prepare()


def test_also_below_what_a_pattern_hides(machine):
    for path in (TOP + "\\k.env", TOP + "\\k.env\\private"):
        machine.disk.volume.add(path, USER, explicit=OPEN)
    machine.disk.unseen.add((TOP + "\\k.env\\private").upper())
    wish = Wish(rules=tuple(RULES), level="elevated", patterns=(TOP + "\\*.env",))
    with pytest.raises(apply.NotApplied, match="private"):
        machine.prepare(wish)


def test_patterns_hide_what_they_name_now(machine):
    machine.disk.volume.add(TOP + "\\k.env", USER, folder=False)
    wish = Wish(rules=tuple(RULES), level="elevated", patterns=(TOP + "\\*.env",))
    plan = machine.prepare(wish)
    assert TOP + "\\k.env" in plan.hidden
    assert TOP + "\\k.env" in machine.told[0]
    machine.prepare()
    assert not hides(machine.disk.volume[TOP + "\\k.env"], GROUP)


def test_a_bad_pattern_fails_before_anything_is_looked_for(machine):
    wish = Wish(rules=tuple(RULES), level="elevated", patterns=(TOP + "\\*.env", "C:\\**\\x"))
    machine.disk.listing = None
    with pytest.raises(SandboxUnavailable, match="all of"):
        machine.prepare(wish)


def test_a_drive_without_lists_cannot_hold_a_writable_folder(machine):
    machine.disk.bare.add("C:")
    with pytest.raises(SandboxUnavailable, match="keeps no access lists; the command did not run"):
        machine.prepare()


def test_by_hand_only_the_sids_are_written(machine):
    wish = Wish(rules=tuple(RULES), level="elevated", acl_mode="manual")
    with pytest.raises(apply.ByHand) as first:
        machine.prepare(wish)
    with pytest.raises(apply.ByHand) as second:
        machine.prepare(wish)
    assert first.value.commands == second.value.commands
    assert {call for call, _ in machine.trouble.done} == {"save capabilities"}
    machine.prepare()
    machine.prepare(wish)


def test_what_a_command_depends_on_is_told_while_nobody_else_can_plan(machine):
    machine.prepare()
    needed = {TOP + "\\a\\secret", TOP + "\\gone", TOP + "\\.git", TOP + "\\.octavo"}
    assert needed <= machine.told[0]
    machine.prepare(now_ms=NOW + 1)
    assert needed <= machine.told[1]


def test_a_damaged_file_of_ours_stops_everything(machine):
    machine.home.cap_sid = b"{"
    with pytest.raises(ConfigError):
        machine.prepare()
    assert snapshot(machine.disk.volume) == machine.clean


def test_a_damaged_file_about_the_last_plan_means_looking_at_everything(machine):
    machine.prepare()
    machine.home.last_plan = b"\xff"
    machine.disk.walks.clear()
    machine.prepare(now_ms=NOW + 1)
    assert machine.disk.walks == [(TOP, 0)]
    assert machine.home.last() is not None


def test_folders_to_read_that_come_and_go_are_no_reason_to_look_at_everything_again(machine):
    machine.prepare()
    before = machine.home.last()
    machine.prepare(replace(WISH, read_roots=(TOP,)), now_ms=NOW + 1)
    assert machine.home.last().wish == before.wish
    assert machine.audits == 1
