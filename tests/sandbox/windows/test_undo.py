"""What is left, and taking it back."""

import pytest

from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.windows import acl, undo
from octavo.sandbox.windows.acl import ALL, DOWN, Ace
from sandbox.windows.model_disk import USER, Killed, hides, snapshot
from sandbox.windows.test_apply import GROUP, RULES, TOP, Machine


@pytest.fixture
def machine():
    made = Machine()
    made.apply()
    return made


def test_the_status_names_what_is_left_and_why(machine):
    found = undo.status(machine.disk, machine.home)
    by_path = {each.path: each for each in found.left}
    assert by_path[TOP].why == "t"
    assert by_path[TOP + "\\gone"].created
    assert not by_path[TOP].created
    nodes = [machine.disk.volume[path] for path in machine.disk.volume.below("C:\\")]
    assert found.entries == sum(len(node.explicit) for node in nodes)


def test_undoing_takes_everything_back_and_says_so(machine):
    report = undo.undo(machine.disk, machine.home)
    assert snapshot(machine.disk.volume) == machine.clean
    assert set(report.removed) == {TOP + "\\gone", TOP + "\\.octavo"}
    assert TOP in report.undone
    assert undo.status(machine.disk, machine.home).left == ()
    assert machine.home.hidden(GROUP) == ()
    assert machine.home.last() is None


def test_what_others_added_since_stays(machine):
    theirs = Ace(True, acl.ADMINISTRATORS, ALL, DOWN)
    node = machine.disk.volume[TOP]
    node.explicit = (*node.explicit, theirs)
    undo.undo(machine.disk, machine.home)
    assert machine.disk.volume[TOP].explicit == (theirs,)


def test_what_fails_is_told_with_its_repair_and_stays_on_record(machine):
    machine.trouble.refuse["write", TOP.upper()] = 5
    machine.trouble.refuse["remove", (TOP + "\\gone").upper()] = 32
    report = undo.undo(machine.disk, machine.home, user=USER)
    assert {(each.path, each.code) for each in report.problems} == {(TOP, 5), (TOP + "\\gone", 32)}
    assert any("icacls.exe" in each.repair for each in report.problems)
    assert any("Close the program" in each.repair for each in report.problems)
    left = {each.path for each in undo.status(machine.disk, machine.home).left}
    assert left == {TOP, TOP + "\\gone"}
    machine.trouble.refuse.clear()
    assert undo.undo(machine.disk, machine.home).problems == ()
    assert snapshot(machine.disk.volume) == machine.clean


def test_a_created_folder_with_something_in_it_stays(machine):
    machine.disk.volume.add(TOP + "\\gone\\x", USER)
    report = undo.undo(machine.disk, machine.home)
    assert report.stays == (TOP + "\\gone",)
    assert TOP + "\\gone" in machine.disk.volume
    assert not hides(machine.disk.volume[TOP + "\\gone"], GROUP)
    assert undo.status(machine.disk, machine.home).left == ()


def test_nothing_is_undone_under_a_running_command(machine):
    machine.home.holds.append((TOP,))
    with pytest.raises(SandboxUnavailable, match="in use"):
        undo.undo(machine.disk, machine.home)
    assert undo.status(machine.disk, machine.home).running == (TOP,)


def test_killed_at_any_point_of_undoing_it_can_be_done_again():
    at = 0
    while True:
        machine = Machine()
        machine.apply()
        machine.trouble.fail[len(machine.trouble.done) + at] = Killed
        try:
            undo.undo(machine.disk, machine.home)
        except Killed:
            undo.undo(machine.disk, machine.home)
            assert snapshot(machine.disk.volume) == machine.clean
            at += 1
            continue
        break
    assert at > 8


def test_a_path_that_cannot_be_looked_at_is_told(machine):
    machine.disk.unseen.add(TOP.upper())
    one = next(e for e in undo.status(machine.disk, machine.home).left if e.path == TOP)
    assert one.unreadable.code == 5
    report = undo.undo(machine.disk, machine.home)
    assert [each.path for each in report.problems] == [TOP]


def test_a_damaged_journal_is_an_error_and_nothing_is_touched(machine):
    before = snapshot(machine.disk.volume)
    machine.home.lines += b"nonsense\n"
    with pytest.raises(ConfigError):
        undo.undo(machine.disk, machine.home)
    assert snapshot(machine.disk.volume) == before


def test_a_list_that_was_not_there_comes_back_as_one_that_allows_everything():
    machine = Machine()
    machine.disk.volume[TOP + "\\.git"].no_list = True
    machine.apply()
    undo.undo(machine.disk, machine.home)
    assert machine.disk.volume[TOP + "\\.git"].explicit == (Ace(True, acl.EVERYONE, ALL, DOWN),)


def test_what_others_changed_in_between_is_looked_at_again(machine):
    theirs = Ace(True, acl.ADMINISTRATORS, ALL, DOWN)
    node = machine.disk.volume[TOP]

    def interfere(path):
        if path == TOP and theirs not in node.explicit:
            node.explicit = (*node.explicit, theirs)

    machine.disk.before_write = interfere
    assert undo.undo(machine.disk, machine.home).problems == ()
    assert node.explicit == (theirs,)


def test_tidying_removes_only_what_built_in_rules_made_and_nobody_needs(machine):
    made = TOP + "\\.octavo"
    machine.home.holds.append((made,))
    assert undo.tidy(machine.disk, machine.home, now_ms=9).removed == ()
    machine.home.holds.clear()
    assert undo.tidy(machine.disk, machine.home, now_ms=9).removed == (made,)
    assert TOP + "\\gone" in machine.disk.volume
    machine.apply(RULES)
    undo.undo(machine.disk, machine.home)
    assert snapshot(machine.disk.volume) == machine.clean


def test_a_journal_does_not_grow_with_what_comes_and_goes(machine):
    sizes = []
    for _ in range(undo.SPENT):
        machine.apply(RULES)
        undo.tidy(machine.disk, machine.home, now_ms=9)
        sizes.append(len(machine.home.journal().records))
    assert max(sizes) < sizes[0] + undo.SPENT
    assert sizes[-1] < max(sizes)
    undo.undo(machine.disk, machine.home)
    assert snapshot(machine.disk.volume) == machine.clean
