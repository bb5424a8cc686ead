"""Files by handle, under a real Windows API; what is asked is what the plan says."""

import os
import sys

import pytest
from links import link
from tracing import wine

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import acl
from octavo.sandbox.windows.acl import Ace, Change, Present, Target
from octavo.sandbox.windows.plan import Create
from octavo.sandbox.windows.world import ChangedMeanwhile, DiskError

CAP = "S-1-5-21-4294967295-2-3-4"


@pytest.fixture
def top(tmp_path):
    """A folder, by its canonical path."""
    from octavo.sandbox.win32 import disk

    return disk.canonical(str(tmp_path))


def planned(path, *wanted):
    """A change for what is there now."""
    from octavo.sandbox.win32 import disk

    present = disk.look(path)
    assert present is not None
    change = acl.change(Target(path, wanted, "test"), present)
    assert change is not None
    return change


# Looking -----------------------------------------------------------------------------------------


def test_what_a_path_has_is_what_pywin32_says_it_has(top):
    import win32security

    from octavo.sandbox.win32 import disk

    text = win32security.ConvertSidToStringSid
    descriptor = win32security.GetFileSecurity(top, 5)
    theirs = descriptor.GetSecurityDescriptorDacl()
    entries = [theirs.GetAce(at) for at in range(theirs.GetAceCount())]
    present = disk.look(top)
    assert present.owner == text(descriptor.GetSecurityDescriptorOwner())
    assert present.folder
    assert present.dacl == tuple(
        Ace(kind == 0, text(sid), mask & 0xFFFFFFFF, flags) for (kind, flags), mask, sid in entries
    )


def test_what_is_missing_is_none(top):
    from octavo.sandbox.win32 import disk

    file = top + "\\file"
    open(file, "w").close()
    for path in (top + "\\x", top + "\\x\\y", file + "\\z"):
        assert disk.look(path) is None
    assert not disk.look(file).folder


def test_nothing_is_looked_at_or_written_through_a_link(top):
    from octavo.sandbox.win32 import disk

    os.makedirs(top + "\\real\\deep")
    link(top + "\\real", top + "\\link")
    assert disk.look(top + "\\real\\deep") is not None
    assert disk.look(top + "\\link\\deep") is None
    assert disk.canonical(top + "\\link\\deep\\new") == top + "\\real\\deep\\new"
    change = planned(top + "\\real\\deep", acl.deny_write(CAP))
    through = Change(top + "\\link\\deep", change.folder, change.before, change.after, "t")
    with pytest.raises(ChangedMeanwhile):
        disk.write(through)
    with pytest.raises(ChangedMeanwhile):
        disk.create(Create(top + "\\link\\deep\\new", None, (), "t", kept=True))
    assert not os.path.exists(top + "\\real\\deep\\new")
    assert disk.remove(top + "\\link\\deep", None) is False
    assert os.path.exists(top + "\\real\\deep")


def test_names_are_resolved_and_devices_refused(top):
    import win32api

    from octavo.sandbox.win32 import disk

    long = top + "\\a name that is long"
    os.mkdir(long)
    short = win32api.GetShortPathName(long)
    assert disk.canonical(short) == long
    assert disk.canonical(long.upper().replace("\\", "/")) == long
    assert disk.canonical("\\\\?\\" + long) == long
    assert disk.canonical(long + "\\x\\y") == long + "\\x\\y"
    for bad, reason in (
        ("\\\\.\\NUL", "device"),
        (top + "\\NUL", "device"),
        ("\\\\?\\GLOBALROOT\\Device\\Null", "device"),
        (top + "\\x\\..", "not normal"),
        (top + "\\x:y", "alternate stream"),
        (top + "\\LONGNA~1\\x", "short"),
        (top + "\\x.", "ends in a dot"),
        ("relative", "not absolute"),
    ):
        with pytest.raises(SandboxUnavailable, match=reason):
            disk.canonical(bad)


@pytest.mark.skipif(wine(), reason="Wine names no handle by more than 260 letters (error 234)")
def test_a_path_longer_than_the_old_limit_works(top):
    from octavo.sandbox.win32 import disk

    deep = top
    for _ in range(4):
        deep += "\\" + "n" * 100
        disk.create(Create(deep, None, (), "t", kept=True))
    assert disk.look(deep).path == deep
    assert disk.canonical(deep) == deep
    assert disk.remove(deep, None)
    assert disk.look(deep) is None


def test_everything_below_is_listed_but_links_are_not_followed(top):
    from octavo.sandbox.win32 import disk

    os.makedirs(top + "\\a\\b")
    open(top + "\\a\\f", "w").close()
    found = {one.path for one in disk.strays(top) if isinstance(one, Present)}
    below_top = {top + "\\a", top + "\\a\\b", top + "\\a\\f"}
    # a real Windows gives new things nothing of their own; Wine gives them a list each
    assert found in (below_top, set())
    assert list(disk.strays(top, since_ms=2**45)) == []
    assert list(disk.strays(top + "\\missing")) == []
    assert {(one.name, one.folder) for one in disk.listing(top + "\\a")} == {
        ("b", True),
        ("f", False),
    }


def test_the_drive_of_a_folder_keeps_lists(top):
    from octavo.sandbox.win32 import disk

    assert disk.keeps_lists(top + "\\missing\\too")


# Changing ----------------------------------------------------------------------------------------


@pytest.mark.traced
def test_the_whole_list_is_set_in_order_on_a_handle_opened_for_just_that(trace, top):
    from octavo.sandbox.win32 import disk

    change = planned(top, acl.pin(CAP), acl.allow_write(CAP), acl.deny_write("S-1-5-21-1-1-1-1"))
    trace.mark()
    disk.write(change)
    (one,) = trace.written()
    assert one.path == top
    assert one.explicit == change.after
    assert one.information == acl.DACL_SECURITY_INFORMATION
    assert one.access == acl.OPEN_TO_CHANGE == 0x160080


@pytest.mark.traced
def test_entries_with_generic_bits_keep_them_and_a_protected_list_stays_so(trace, top):
    from octavo.sandbox.win32 import disk

    made = planned(top, acl.deny_write(CAP))
    generic = Ace(True, "S-1-5-32-544", 0xF0000000, 0xB)
    change = Change(top, True, made.before, (*made.after, generic), "t")
    trace.mark()
    disk.write(change)
    (one,) = trace.written()
    assert one.explicit == change.after
    with disk.opened(top, acl.OPEN_TO_CHANGE) as handle:
        trace.mark()
        disk._set(handle, Change(top, True, (), change.after, "t", protected=True))
        (one,) = trace.asked("set_security_object")
    assert [ace for ace in one.entries if not ace.inherited] == list(change.after)
    assert one.number("security_info") == 0x80000004


@pytest.mark.traced
def test_looking_asks_for_no_more_than_looking(trace, top):
    from octavo.sandbox.win32 import disk

    trace.mark()
    disk.look(top)
    opened = [each for each in trace.asked("create_file") if each.name == top]
    rights = {each.number("access") & ~acl.SYNCHRONIZE for each in opened}
    assert rights == {acl.OPEN_TO_READ}
    assert {each.number("sharing") for each in opened} == {7}
    assert trace.asked("set_security_object") == []


@pytest.mark.traced
def test_a_missing_path_is_born_with_its_entries_while_its_folder_is_held(trace, top):
    from octavo.sandbox.win32 import disk

    entries = (Ace(False, CAP, acl.DENY_WRITE, acl.DOWN), Ace(True, CAP, acl.R, 0))
    folder = Create(top + "\\n", None, entries, "t", kept=True)
    file = Create(top + "\\f", "text\n", (Ace(True, "S-1-1-0", acl.ALL),), "t", kept=True)
    for made in (folder, file):
        trace.mark()
        disk.create(made)
        asked = trace.asked("create_file")
        born = next(each for each in asked if each.name == made.path)
        assert born.entries == made.dacl
        held = next(each for each in asked if each.name == top)
        assert held.number("sharing") == 3
        assert held.number("access") & acl.READ_DATA
    with open(top + "\\f", "rb") as found:
        assert found.read() == b"text\n"


@pytest.mark.traced
def test_without_entries_a_new_folder_gets_what_is_inherited(trace, top):
    from octavo.sandbox.win32 import disk

    trace.mark()
    disk.create(Create(top + "\\n", None, (), "t", kept=True))
    born = next(each for each in trace.asked("create_file") if each.name == top + "\\n")
    assert "sd={}" in born.arguments


def test_what_is_not_what_was_planned_for_is_not_written(top):
    from octavo.sandbox.win32 import disk

    change = planned(top, acl.deny_write(CAP))
    for wrong in (
        Change(top, True, change.before[1:], change.after, "t"),
        Change(top, False, change.before, change.after, "t"),
        Change(top, True, change.before, change.after, "t", protected=True),
        Change(top, True, change.before, change.after, "t", null_before=True),
        Change(top + "\\gone", True, change.before, change.after, "t"),
    ):
        with pytest.raises(ChangedMeanwhile):
            disk.write(wrong)
        disk.probe(wrong)  # whether it could be written is another question
    disk.write(change)


def test_what_is_there_already_is_not_made(top):
    from octavo.sandbox.win32 import disk

    os.mkdir(top + "\\n")
    for path, text in ((top + "\\n", None), (top + "\\n", "x"), (top + "\\no\\n", None)):
        with pytest.raises(ChangedMeanwhile):
            disk.create(Create(path, text, (), "t", kept=True))


def test_only_what_we_made_is_removed(top):
    from octavo.sandbox.win32 import disk

    os.makedirs(top + "\\full\\x")
    with open(top + "\\f", "w") as file:
        file.write("hi")
    assert disk.remove(top + "\\full", None) is False
    assert disk.remove(top + "\\full\\x", "text") is False
    assert disk.remove(top + "\\f", None) is False
    assert disk.remove(top + "\\f", "h") is False
    assert disk.remove(top + "\\f", "hi!") is False
    assert os.path.exists(top + "\\full\\x")
    assert os.path.exists(top + "\\f")
    assert disk.remove(top + "\\f", "hi") is True
    assert disk.remove(top + "\\full\\x", None) is True
    assert disk.remove(top + "\\full", None) is True
    assert disk.remove(top + "\\full", None) is True
    assert os.listdir(top) == []


def test_a_file_in_use_is_an_error_with_call_and_number(top):
    from octavo.sandbox.win32 import disk

    path = top + "\\f"
    with open(path, "w"), pytest.raises(DiskError) as caught:
        disk.remove(path, "x")
    assert (caught.value.call, caught.value.code) == ("CreateFile", 32)
    assert caught.value.path == path
    assert caught.value.owner.startswith("S-1-5-")
    assert "another program uses it" in str(caught.value)


def test_handles_are_given_back(top):
    from test_token import handles

    from octavo.sandbox.win32 import disk

    def everything():
        change = planned(top, acl.deny_write(CAP))
        disk.write(change)
        with pytest.raises(ChangedMeanwhile):
            disk.write(Change(top, False, change.before, change.after, "t"))
        disk.create(Create(top + "\\n", None, (), "t", kept=True))
        list(disk.strays(top))
        disk.remove(top + "\\n", None)
        disk.canonical(top + "\\a\\b")
        with pytest.raises(ChangedMeanwhile):
            disk.create(Create(top + "\\no\\n", None, (), "t", kept=True))
        disk.allow_nul(["S-1-1-0"])

    everything()
    before = handles()
    for _ in range(5):
        everything()
    assert handles() <= before


# The NUL device ----------------------------------------------------------------------------------


@pytest.mark.traced
def test_the_nul_device_is_opened_under_its_right_name_and_gets_its_entries(trace):
    from octavo.sandbox.win32 import disk

    trace.mark()
    disk.allow_nul([CAP])
    opened = [
        each
        for each in trace.asked("create_file", "open_file_object")
        if each.name.upper().endswith("NUL")
    ]
    added = acl.SYNCHRONIZE | acl.READ_ATTRIBUTES  # by CreateFile
    assert [each.number("access") for each in opened] == [acl.NUL_ACCESS | added]
    for one in trace.written():
        assert one.explicit[-1] == Ace(True, CAP, acl.NUL_GRANT, 0)
