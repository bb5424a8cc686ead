"""The model against cases worked out by hand from the published rules."""

import pytest

from octavo.sandbox.windows import acl
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, OWNER_RIGHTS, Ace, handed_down
from octavo.sandbox.windows.model import READINGS, Token, access

ME, CAP, OTHER = "me", "cap", "other"
PLAIN = Token(ME, {EVERYONE: "on", "g": "deny-only"})
BOUND = Token(ME, {EVERYONE: "on"}, (CAP, EVERYONE))


@pytest.mark.parametrize(
    ("dacl", "owner", "granted"),
    [
        (None, OTHER, ALL),
        ((), OTHER, 0),
        ((), ME, acl.READ_CONTROL | acl.WRITE_DAC),
        ((Ace(True, OWNER_RIGHTS, 1),), ME, 1),
        ((Ace(True, OWNER_RIGHTS, 1, acl.INHERIT_ONLY),), ME, acl.READ_CONTROL | acl.WRITE_DAC),
        ((Ace(False, ME, 2), Ace(True, ME, 3)), OTHER, 1),
        ((Ace(True, ME, 3), Ace(False, ME, 2)), OTHER, 3),
        ((Ace(True, "g", 3),), OTHER, 0),
        ((Ace(False, "g", 2), Ace(True, ME, 3)), OTHER, 1),
        ((Ace(True, ME, 0x80000000),), OTHER, acl.R),
        ((Ace(True, ME, ALL, acl.INHERIT_ONLY),), OTHER, 0),
        ((Ace(False, ME, acl.WRITE_DAC),), ME, acl.READ_CONTROL | acl.WRITE_DAC),
    ],
)
def test_the_first_mention_of_a_right_decides(dacl, owner, granted):
    assert access(PLAIN, owner, dacl, ALL, "bit") == granted


def test_a_write_needs_both_checks_and_a_read_the_first_alone():
    dacl = (Ace(True, ME, ALL), Ace(True, CAP, acl.WRITE_DATA))
    for reading in READINGS:
        assert access(BOUND, OTHER, dacl, acl.R, reading) == acl.R
        assert access(BOUND, OTHER, dacl, acl.DELETE, reading) == 0
        assert access(BOUND, OTHER, dacl, acl.WRITE_DATA, reading) == acl.WRITE_DATA
    both = acl.READ_DATA | acl.WRITE_DATA
    assert access(BOUND, OTHER, dacl, both, "bit") == both
    assert access(BOUND, OTHER, dacl, both, "request") == acl.WRITE_DATA


def test_a_plain_restricted_token_reads_with_both_checks():
    token = Token(ME, {}, (CAP,), write_restricted=False)
    assert access(token, OTHER, (Ace(True, ME, ALL),), acl.R, "bit") == 0


def test_an_owner_among_the_restricting_sids_may_rewrite_the_list():
    token = Token(ME, {}, (CAP, ME))
    assert access(token, ME, (), acl.WRITE_DAC, "bit") == acl.WRITE_DAC
    assert access(BOUND, ME, (), acl.WRITE_DAC, "bit") == 0


def test_taking_ownership_is_a_privilege():
    token = Token(ME, privileges=frozenset({"SeTakeOwnershipPrivilege"}))
    assert access(token, OTHER, (), acl.WRITE_OWNER, "bit") == acl.WRITE_OWNER


@pytest.mark.parametrize(
    ("flags", "folder", "result"),
    [
        (0, True, None),
        (DOWN, True, DOWN | acl.INHERITED),
        (DOWN, False, acl.INHERITED),
        (acl.OBJECT_INHERIT, True, acl.OBJECT_INHERIT | acl.INHERIT_ONLY | acl.INHERITED),
        (acl.CONTAINER_INHERIT, False, None),
        (DOWN | acl.NO_PROPAGATE, True, acl.INHERITED),
        (acl.OBJECT_INHERIT | acl.NO_PROPAGATE, True, None),
    ],
)
def test_what_is_handed_down(flags, folder, result):
    found = handed_down([Ace(True, ME, 1, flags)], folder=folder, owner=OTHER)
    assert found == (() if result is None else (Ace(True, ME, 1, result),))


def test_creator_owner_becomes_the_owner_and_stays_for_what_comes_below():
    found = handed_down([Ace(True, acl.CREATOR_OWNER, 0x10000000, DOWN)], folder=True, owner=ME)
    assert [(ace.sid, ace.bits, bool(ace.flags & acl.INHERIT_ONLY)) for ace in found] == [
        (ME, ALL, False),
        (acl.CREATOR_OWNER, ALL, True),
    ]
