import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import ConfigError, UsageError
from octavo.sandbox.windows import acl, journal
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, Ace, Present, Target
from octavo.sandbox.windows.journal import Record
from octavo.sandbox.windows.plan import Create

CAP, USER = "S-1-5-21-1-2-3-4", "S-1-5-21-1-2-3-6"
PATH = "C:\\w"

aces = st.builds(
    Ace,
    st.booleans(),
    st.sampled_from([CAP, USER, EVERYONE]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 31),
)
records = st.builds(
    Record,
    did=st.sampled_from(["entries", "created", "removed"]),
    path=st.text(max_size=9),
    folder=st.booleans(),
    added=st.lists(aces, max_size=3).map(tuple),
    removed=st.lists(aces, max_size=3).map(tuple),
    null_before=st.booleans(),
    why=st.text(max_size=9),
    at_ms=st.integers(0, 2**50),
    kept=st.booleans(),
    text=st.none() | st.text(max_size=5),
)


@given(st.lists(records, max_size=4))
def test_the_journal_says_what_was_written(written):
    data = b"".join(map(journal.encode, written))
    assert journal.decode(data, "j") == journal.Journal(tuple(written))


@given(records, st.data())
def test_a_last_line_cut_short_is_left_out_and_said(record, data):
    line = journal.encode(record)
    cut = data.draw(st.integers(1, len(line) - 1))
    assert journal.decode(line + line[:cut], "j") == journal.Journal((record,), torn=True)


GOOD = journal.encode(Record(did="entries", path=PATH, folder=True, why="t", at_ms=1))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "j:2: not a line of JSON"),
        (b"", "j:2: not a line of JSON"),
        (b"[]", "line has to be an object"),
        (GOOD.replace(b'"v":1', b'"v":2').strip(), "v has to be 1"),
        (GOOD.replace(b'"entries"', b'"x"').strip(), "did has to be"),
        (GOOD.replace(b'"folder":true', b'"folder":1').strip(), "folder has to be"),
        (GOOD.replace(b'"text":null', b'"text":1').strip(), "text has to be"),
        (GOOD.replace(b'"added":[]', b'"added":[["deny","x",1,1]]').strip(), "added has to be"),
        (GOOD.replace(b'"added":[]', b'"added":[["deny","S-1-1-0",-1,1]]').strip(), "32 bits"),
        (GOOD.replace(b'"at_ms":1', b'"at_ms":true').strip(), "at_ms has to be"),
    ],
)
def test_a_damaged_line_is_named(line, reason):
    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        journal.decode(GOOD + line + b"\n", "j")
    assert caught.value.line == 2


wishes = st.lists(
    st.sampled_from([acl.pin(CAP), acl.allow_write(CAP), acl.deny_write(CAP), acl.deny_read(USER)]),
    max_size=3,
    unique=True,
)
before = st.lists(
    st.builds(
        Ace,
        st.booleans(),
        st.sampled_from([USER, EVERYONE, CAP]),
        st.sampled_from([ALL, acl.R]),
        st.sampled_from([0, DOWN]),
    ),
    max_size=4,
    unique=True,
)


@given(before, st.lists(wishes, max_size=4))
def test_undoing_everything_brings_back_what_was_there(there, series):
    dacl, written = tuple(there), []
    for wanted in series:
        made = acl.change(Target(PATH, tuple(wanted), "t"), Present(PATH, True, USER, dacl))
        if made is not None:
            written.append(journal.of_change(made, at_ms=0))
            dacl = made.after
    plan = journal.undo_plan(written)
    for undo in plan.entries:
        made = journal.undo_change(undo, Present(PATH, True, USER, dacl))
        dacl = dacl if made is None else made.after
    assert sorted(map(repr, dacl)) == sorted(map(repr, there))


def test_undoing_leaves_what_others_added_since():
    ours, theirs = Ace(False, CAP, acl.DENY_WRITE, DOWN), Ace(True, USER, acl.R)
    record = Record(did="entries", path=PATH, folder=True, added=(ours,), why="t", at_ms=1)
    undo = journal.undo_plan([record]).entries[0]
    assert journal.undo_change(undo, Present(PATH, True, USER, (ours, theirs))).after == (theirs,)
    assert journal.undo_change(undo, Present(PATH, True, USER, (theirs,))) is None


def test_undoing_never_leaves_a_list_that_allows_nobody():
    made = acl.change(Target(PATH, (acl.deny_write(CAP),), "t"), Present(PATH, True, USER, None))
    undo = journal.undo_plan([journal.of_change(made, at_ms=0)]).entries[0]
    after = journal.undo_change(undo, Present(PATH, True, USER, made.after)).after
    assert after == (Ace(True, EVERYONE, ALL, DOWN),)


def test_what_was_created_goes_last_and_deepest_first():
    made = [
        Record(did="created", path=path, folder=True, why="t", at_ms=1)
        for path in ("C:\\w\\a", "C:\\w\\a\\b")
    ]
    assert journal.undo_plan(made).created == ("C:\\w\\a\\b", "C:\\w\\a")


def test_entries_can_be_written_by_hand():
    made = acl.change(
        Target("C:\\it's $x", (acl.pin(CAP), acl.allow_write(CAP)), "t"),
        Present("C:\\it's $x", True, USER, (Ace(True, CAP, ALL, DOWN),)),
    )
    text = journal.powershell(journal.manual(made))
    letters = "RD,WD,AD,REA,WEA,X,RA,WA,DE,RC,S"
    assert text.splitlines() == [
        f"& 'icacls.exe' 'C:\\it''s $x' '/remove:g' '*{CAP}'",
        f"& 'icacls.exe' 'C:\\it''s $x' '/deny' '*{CAP}:(DC,DE,WDAC,WO)'",
        f"& 'icacls.exe' 'C:\\it''s $x' '/grant' '*{CAP}:(OI)(CI)({letters})'",
    ]


def test_a_line_break_cannot_become_part_of_a_command():
    with pytest.raises(UsageError):
        journal.powershell([("icacls", "a\nb")])


ALLOW, DENY = Ace(True, CAP, acl.ALLOW_WRITE, DOWN), Ace(False, CAP, acl.DENY_WRITE, DOWN)


def test_a_write_recorded_twice_because_of_a_crash_is_undone_once():
    one = Record(
        did="entries", path=PATH, folder=True, added=(DENY,), removed=(ALLOW,), why="t", at_ms=1
    )
    (undo,) = journal.undo_plan([one, one]).entries
    assert (undo.remove, undo.restore) == ((DENY,), (ALLOW,))
    change = journal.undo_change(undo, Present(PATH, True, USER, (DENY,)))
    assert change is not None
    assert change.after == (ALLOW,)


@given(records)
def test_what_was_taken_back_leaves_nothing_to_undo(record):
    both = [record, journal.taken_back(record, at_ms=2)]
    if record.did != "removed" and not set(record.added) & set(record.removed):
        plan = journal.undo_plan(both)
        assert (plan.entries, plan.created) == ((), ())


def test_what_was_created_and_removed_again_is_not_created():
    made = journal.of_create(Create(PATH, "x", (DENY,), "t", kept=False), at_ms=1)
    assert journal.undo_plan([made]).made == (made,)
    assert made.text == "x"
    assert journal.undo_plan([made, journal.taken_back(made, at_ms=2)]).created == ()
    again = [made, journal.taken_back(made, at_ms=2), made]
    assert journal.undo_plan(again).created == (PATH,)
