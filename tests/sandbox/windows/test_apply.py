"""Carrying plans out, on a disk made of the access model where every call can fail."""

import itertools

import pytest

from octavo.protocol.errors import OctavoError
from octavo.sandbox.plan_windows import plan_windows
from octavo.sandbox.windows import acl, apply, journal, sids, undo
from octavo.sandbox.windows.acl import ALL, DOWN, Ace, Target
from octavo.sandbox.windows.model import Volume
from octavo.sandbox.windows.plan import Facts
from octavo.sandbox.windows.world import ChangedMeanwhile
from sandbox.windows.model_disk import (
    LOGON,
    USER,
    Killed,
    MemoryHome,
    ModelDisk,
    Trouble,
    hides,
    snapshot,
)

TOP, GROUP = "C:\\w", "S-1-5-21-1-1-1-1004"
OFFLINE, ONLINE = "S-1-5-21-1-1-1-1002", "S-1-5-21-1-1-1-1003"
FACTS = Facts(
    user=USER,
    logon=LOGON,
    home="C:\\Users\\me\\.octavo",
    profile="C:\\Users\\me",
    cwd=TOP,
    group=GROUP,
    offline=OFFLINE,
    online=ONLINE,
)
RULES = [
    ("/", "read", "all"),
    (TOP, "write", "t"),
    (TOP + "\\.git", "read", "t"),
    (TOP + "\\.octavo", "read", "protected: t"),
    (TOP + "\\a\\secret", "none", "t"),
    (TOP + "\\gone", "none", "t"),
]
CODES = [5, 87, 1312, 32]


class Machine:
    """A disk, a home, and plans for them."""

    def __init__(self):
        self.trouble = Trouble()
        volume = Volume(
            "C:\\",
            acl.SYSTEM,
            [Ace(True, USER, ALL, DOWN), Ace(True, acl.USERS, acl.RX, DOWN)],
        )
        for path in (TOP, TOP + "\\.git", TOP + "\\a", TOP + "\\a\\secret"):
            volume.add(path, USER)
        numbers = itertools.count(1)
        self.random = lambda size: next(numbers).to_bytes(size, "little")
        self.disk = ModelDisk(volume, self.trouble)
        self.home = MemoryHome(self.trouble, self.random)
        self.home.save_capabilities(sids.fresh(self.random))
        self.trouble.done.clear()
        self.clean = snapshot(volume)

    def plan(self, rules=RULES, **more):
        known, _ = self.home.capabilities()
        return plan_windows(
            rules,
            facts=FACTS,
            capabilities=known,
            random=self.random,
            look=self.disk.look,
            level="elevated",
            strays=lambda folder: list(self.disk.strays(folder)),
            hidden_before=self.home.hidden(GROUP),
            held=self.home.held(),
            **more,
        )

    def apply(self, rules=RULES):
        return apply.carry_out(
            self.plan(rules),
            self.disk,
            self.home,
            facts=FACTS,
            now_ms=7,
            hidden_before=self.home.hidden(GROUP),
            held=self.home.held(),
        )

    def effects(self):
        """How many effects an undisturbed run has."""
        other = Machine()
        other.apply()
        return len(other.trouble.done)


EFFECTS = Machine().effects()


def test_it_goes_in_the_order_of_the_plan_and_records_before_it_writes():
    machine = Machine()
    plan = machine.plan()
    machine.apply()
    done = [each for each in machine.trouble.done if each[0] != "probe"]
    assert done[0] == ("save capabilities", "cap_sid")
    assert done[1] == ("save hidden", "state")
    rest = [*((("create"), made.path) for made in plan.creates)]
    rest += [("write", change.path) for change in plan.changes]
    expected = [each for call, path in rest for each in (("record", path), (call, path))]
    assert done[2:] == expected


def test_a_second_time_writes_nothing():
    machine = Machine()
    machine.apply()
    machine.trouble.done.clear()
    assert machine.plan().writes_nothing
    machine.apply()
    assert machine.trouble.done == []


def test_everything_is_tried_before_anything_is_written_and_every_problem_told():
    machine = Machine()
    for path in (TOP, TOP + "\\.git"):
        machine.trouble.refuse["probe", path.upper()] = 5
    with pytest.raises(apply.NotApplied) as caught:
        machine.apply()
    assert snapshot(machine.disk.volume) == machine.clean
    assert machine.home.journal().records == ()
    assert {each.path for each in caught.value.problems} == {TOP, TOP + "\\.git"}
    text = str(caught.value)
    assert "owned by S-1-5-18" in text
    assert "(Windows error 5)" in text
    assert "did not run" in text
    command = f"& 'icacls.exe' '{TOP}\\.git' '/grant' '*{USER}:(RC,WDAC)'"
    assert command in caught.value.hint


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("at", range(EFFECTS))
def test_whatever_call_fails_nothing_stays_hidden_and_all_can_be_undone(at, code):
    machine = Machine()
    machine.trouble.fail[at] = code
    with pytest.raises(OctavoError) as caught:
        machine.apply()
    call, path = machine.trouble.done[at]
    assert f"(Windows error {code})" in str(caught.value)
    assert path in str(caught.value)
    if call in ("create", "write"):
        assert isinstance(caught.value, apply.NotApplied)
        assert caught.value.hint
        assert not any(hides(node, GROUP) for node in machine.disk.volume.nodes.values())
        left = journal.undo_plan(machine.home.journal().records)
        assert path not in (*left.created, *(each.path for each in left.entries))
    machine.apply()
    assert machine.plan().writes_nothing
    assert undo.undo(machine.disk, machine.home).problems == ()
    assert snapshot(machine.disk.volume) == machine.clean


@pytest.mark.parametrize("at", range(EFFECTS))
def test_killed_at_any_point_the_journal_still_undoes_everything(at):
    machine = Machine()
    machine.trouble.fail[at] = Killed
    with pytest.raises(Killed):
        machine.apply()
    report = undo.undo(machine.disk, machine.home)
    assert report.problems == ()
    assert snapshot(machine.disk.volume) == machine.clean
    assert machine.home.journal().records == ()


@pytest.mark.parametrize("at", range(EFFECTS))
def test_killed_at_any_point_the_next_plan_finishes_the_work(at):
    machine = Machine()
    machine.trouble.fail[at] = Killed
    with pytest.raises(Killed):
        machine.apply()
    machine.apply()
    assert machine.plan().writes_nothing
    assert set(machine.home.hidden(GROUP)) == {TOP + "\\a\\secret", TOP + "\\gone"}
    machine.apply([("/", "read", "all")])
    assert not any(hides(node, GROUP) for node in machine.disk.volume.nodes.values())
    undo.undo(machine.disk, machine.home)
    assert snapshot(machine.disk.volume) == machine.clean


def test_what_changed_since_the_plan_is_not_written_and_taken_off_the_record():
    machine = Machine()
    plan = machine.plan()
    more = Ace(True, acl.ADMINISTRATORS, ALL, DOWN)
    machine.disk.volume[TOP].explicit = (more,)
    with pytest.raises(ChangedMeanwhile):
        apply.carry_out(plan, machine.disk, machine.home, facts=FACTS, now_ms=7)
    assert machine.disk.volume[TOP].explicit == (more,)
    left = journal.undo_plan(machine.home.journal().records)
    assert TOP not in [each.path for each in left.entries]


def test_a_call_that_fails_after_it_wrote_stays_on_record():
    machine = Machine()
    really = machine.disk.write

    def torn(change):
        really(change)
        if change.path == TOP:
            machine.trouble.fail[len(machine.trouble.done)] = 1312
            machine.trouble.meet("write", change.path)

    machine.disk.write = torn
    with pytest.raises(apply.NotApplied):
        machine.apply()
    machine.disk.write = really
    assert undo.undo(machine.disk, machine.home).problems == ()
    assert snapshot(machine.disk.volume) == machine.clean


def test_what_cannot_be_shown_again_is_told_and_stays_on_record():
    machine = Machine()
    really = machine.disk.write

    def once(change):
        if hides_again(change):
            machine.trouble.fail[len(machine.trouble.done)] = 32
        if change.path == TOP:
            machine.trouble.fail[len(machine.trouble.done)] = 5
        really(change)

    def hides_again(change):
        return any(not ace.allow and ace.sid == GROUP for ace in change.removed)

    machine.disk.write = once
    with pytest.raises(apply.NotApplied) as caught:
        machine.apply()
    assert [each.code for each in caught.value.problems] == [5, 32]
    left = journal.undo_plan(machine.home.journal().records)
    assert TOP + "\\a\\secret" in [each.path for each in left.entries]


def test_what_another_command_needs_hidden_stays_in_the_state_file_until_it_ends():
    machine = Machine()
    machine.apply()
    secret = TOP + "\\a\\secret"
    machine.home.holds.append((secret,))
    machine.apply([("/", "read", "all")])
    assert machine.home.hidden(GROUP) == (secret,)
    assert hides(machine.disk.volume[secret], GROUP)
    machine.home.holds.clear()
    machine.apply([("/", "read", "all")])
    assert machine.home.hidden(GROUP) == ()
    assert not hides(machine.disk.volume[secret], GROUP)


def test_reading_is_granted_where_it_is_missing_and_failures_stop_nothing():
    machine = Machine()
    volume = machine.disk.volume
    for name in ("x", "y", "z"):
        volume.add(f"C:\\{name}", USER, explicit=[Ace(True, USER, ALL, DOWN)], protected=True)
    targets = [Target(f"C:\\{name}", (acl.allow_read(GROUP),), "t") for name in ("x", "y", "gone")]
    machine.trouble.refuse["write", "C:\\X"] = 5
    problems = apply.grant_reads(targets, machine.disk, machine.home, user=USER, now_ms=1)
    assert [(each.path, each.code) for each in problems] == [("C:\\x", 5)]
    assert Ace(True, GROUP, acl.RX, DOWN) in volume["C:\\y"].explicit
    left = journal.undo_plan(machine.home.journal().records)
    assert [each.path for each in left.entries] == ["C:\\y"]


# By hand -----------------------------------------------------------------------------------------


def test_by_hand_the_commands_are_told_until_everything_is_in_place():
    machine = Machine()
    plan = machine.plan()
    with pytest.raises(apply.ByHand) as caught:
        apply.check_by_hand(plan)
    lines = caught.value.commands.splitlines()
    assert "[void][IO.Directory]::CreateDirectory('C:\\w\\gone')" in lines
    assert any(line.startswith("& 'icacls.exe' 'C:\\w\\.git' '/deny'") for line in lines)
    assert "did not run" in str(caught.value)
    machine.apply()
    apply.check_by_hand(machine.plan())


def test_by_hand_a_file_gets_its_text():
    machine = Machine()
    rules = [("/", "read", "all"), (TOP, "write", "t"), (TOP + "\\it's", "read", "t")]
    plan = machine.plan(rules, stand_ins={TOP + "\\it's": "x\n"})
    assert "WriteAllBytes('C:\\w\\it''s', [Convert]::FromBase64String('eAo='))" in (
        apply.manual_commands(plan)
    )
