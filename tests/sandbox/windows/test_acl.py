import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.windows import acl
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, OWNER_RIGHTS, Ace, Present, Target

CAP, GROUP, USER = "S-1-5-21-1-2-3-4", "S-1-5-21-1-2-3-5", "S-1-5-21-1-2-3-6"
PATH = "C:\\w"


def present(*dacl, folder=True, owner=USER, **more):
    return Present(PATH, folder, owner, dacl, **more)


def change(wanted, there, **more):
    return acl.change(Target(PATH, tuple(wanted), "test", **more), there)


@pytest.mark.parametrize(
    ("mask", "value"),
    [
        (acl.ALLOW_WRITE, 0x1301BF),
        (acl.DENY_WRITE, 0x130156 | 0xC0000),
        (acl.PIN, 0xD0040),
        (acl.HIDE, 0x1200A9),
        (acl.LOCK, 0x1701BF),
        (acl.OPEN_TO_CHANGE, 0x160080),
        (acl.mapped(0xC0000000), acl.R | acl.W),
        (acl.mapped(0x10000000), ALL),
    ],
)
def test_masks_are_the_published_numbers(mask, value):
    assert mask == value


def test_an_entry_that_is_there_is_not_written_again():
    wanted = [acl.pin(CAP), acl.allow_write(CAP)]
    first = change(wanted, present())
    assert change(wanted, present(*first.after)) is None
    assert first.after[0] == Ace(False, CAP, acl.PIN)


def test_denials_of_ours_come_before_everything_that_was_there():
    there = present(Ace(True, EVERYONE, ALL, DOWN), Ace(False, USER, 2))
    made = change([acl.deny_write(CAP)], there)
    assert [ace.sid for ace in made.after] == [CAP, USER, EVERYONE]


def test_a_list_out_of_order_is_put_in_order():
    deny = Ace(False, CAP, acl.DENY_WRITE, DOWN)
    allow = Ace(True, EVERYONE, ALL, DOWN)
    assert change([acl.deny_write(CAP)], present(allow, deny)).after == (deny, allow)


def test_an_entry_with_the_right_to_delete_children_is_replaced():
    old = Ace(True, CAP, acl.ALLOW_WRITE | acl.DELETE_CHILD, DOWN)
    made = change([acl.allow_write(CAP)], present(old))
    assert made.removed == (old,)
    assert made.added == (Ace(True, CAP, acl.ALLOW_WRITE, DOWN),)


def test_files_hand_nothing_down():
    made = change([acl.deny_write(CAP)], present(folder=False))
    assert made.after == (Ace(False, CAP, acl.DENY_WRITE),)


def test_closing_what_has_no_list_locks_nobody_else_out():
    none = Present(PATH, True, USER, None)
    assert change([acl.allow_write(CAP)], none) is None
    made = change([acl.deny_write(CAP)], none)
    assert made.null_before
    assert made.after[-1] == Ace(True, EVERYONE, ALL, DOWN)


def test_reading_is_granted_only_where_nobody_of_the_accounts_kind_has_it():
    users = Ace(True, acl.USERS, 0xA0000000, DOWN | acl.INHERITED)
    assert change([acl.allow_read(GROUP)], present(users)) is None
    only = Ace(True, acl.USERS, acl.RX, DOWN | acl.INHERIT_ONLY)
    assert change([acl.allow_read(GROUP)], present(only)).added[0].sid == GROUP


def test_the_user_keeps_what_it_had_as_owner():
    private = present(Ace(True, OWNER_RIGHTS, ALL, DOWN), protected=True)
    made = change([], private, owner_guard=USER)
    assert Ace(True, OWNER_RIGHTS, acl.RX, DOWN) in made.after
    assert Ace(True, USER, ALL, DOWN) in made.after
    assert change([], present(*made.after, protected=True), owner_guard=USER) is None


def test_an_owner_reads_on_only_where_an_entry_for_owners_let_it():
    beside = present(Ace(True, OWNER_RIGHTS, ALL, DOWN | acl.INHERIT_ONLY), protected=True)
    for there in (present(), beside):
        made = change([], there, owner_guard=USER)
        assert Ace(True, OWNER_RIGHTS, acl.READ_CONTROL, DOWN) in made.after


@pytest.mark.parametrize("flags", [0, DOWN, DOWN | acl.INHERITED])
def test_a_denial_counts_as_there_only_when_it_leads_with_the_same_inheritance(flags):
    wanted = Ace(False, CAP, acl.DENY_WRITE, DOWN)
    there = Ace(False, CAP, acl.DENY_WRITE, flags)
    assert acl.denied_first([there], wanted) == (flags == DOWN)
    assert not acl.denied_first([Ace(True, EVERYONE, 1), wanted], wanted)


def test_granted_means_all_bits_and_no_denial_for_anybody():
    allow = Ace(True, CAP, acl.ALLOW_WRITE, DOWN)
    assert acl.granted([allow], [CAP], acl.ALLOW_WRITE)
    assert not acl.granted([Ace(False, USER, 2), allow], [CAP], acl.ALLOW_WRITE)
    assert not acl.granted([allow], [CAP], ALL)
    wide = Ace(True, CAP, ALL, DOWN)
    assert not acl.granted([wide], [CAP], acl.ALLOW_WRITE)
    inherited = Ace(True, CAP, ALL, DOWN | acl.INHERITED)
    assert acl.granted([inherited], [CAP], acl.ALLOW_WRITE)
    assert acl.granted(None, [CAP], ALL)


aces = st.builds(
    Ace,
    st.booleans(),
    st.sampled_from([CAP, GROUP, USER, EVERYONE, OWNER_RIGHTS]),
    st.sampled_from([ALL, acl.R, acl.W, acl.ALLOW_WRITE, 0x10000000]),
    st.sampled_from([0, DOWN, acl.INHERIT_ONLY | DOWN]),
)
wishes = st.lists(
    st.sampled_from(
        [
            acl.pin(CAP), acl.allow_write(CAP), acl.deny_write(CAP), acl.deny_read(GROUP),
            acl.allow_write(GROUP, "add"), acl.reopen_read(GROUP),
        ]
    ),
    max_size=4,
    unique=True,
)  # fmt: skip


@given(st.lists(aces, max_size=5), wishes, st.booleans(), st.booleans())
def test_what_was_written_is_never_written_again_and_nobody_else_loses_an_entry(
    there, wanted, folder, guard
):
    more = {"owner_guard": USER if guard else None}
    made = change(wanted, present(*there, folder=folder), **more)
    if made is None:
        return
    assert change(wanted, present(*made.after, folder=folder), **more) is None
    assert {ace.sid for ace in made.removed} <= {CAP, OWNER_RIGHTS}
    ranks = [ace.allow for ace in made.after]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("kind", "group_entry"),
    [
        ("state", Ace(True, GROUP, acl.ALLOW_WRITE, DOWN)),
        ("secrets", Ace(False, GROUP, acl.ALLOW_WRITE, DOWN)),
        ("programs", Ace(True, GROUP, acl.RX, DOWN)),
    ],
)
def test_our_own_folders_have_protected_lists(kind, group_entry):
    made = acl.lock(PATH, kind, group=GROUP, user=USER)
    assert made.protected
    assert made.dacl[0] == group_entry
    masks = {ace.sid: ace.mask for ace in made.dacl[1:]}
    programs = kind == "programs"
    assert masks[acl.SYSTEM] == (0x1701BF if programs else 0x1301BF)
    assert masks[acl.ADMINISTRATORS] == 0x1301BF
    assert masks[USER] == (0x1701BF if programs else 0x1301BF)


def test_what_everybody_may_change_is_found():
    assert acl.open_to([Ace(True, EVERYONE, acl.RX)]) == 0
    assert acl.open_to([Ace(True, EVERYONE, 0x40000000)]) == acl.W & acl.WORLD_DANGER
    assert acl.open_to([Ace(True, EVERYONE, ALL, DOWN | acl.INHERIT_ONLY)]) == 0
    assert acl.open_to(None)
