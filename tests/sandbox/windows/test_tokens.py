import pytest

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import tokens
from octavo.sandbox.windows.acl import EVERYONE, OWNER_RIGHTS, Ace

CAP, OTHER, USER, LOGON = "S-1-5-21-1-2-3-4", "S-1-5-21-1-2-3-5", "S-1-5-21-1-2-3-6", "S-1-5-5-0-9"


def test_the_restricting_sids_stand_in_their_order():
    assert tokens.token_plan([CAP, OTHER], LOGON).restricting == (CAP, OTHER, LOGON, EVERYONE)
    elevated = tokens.token_plan([CAP], LOGON, user=USER, proxy=OTHER)
    assert elevated.restricting == (CAP, USER, OTHER, LOGON, EVERYONE)


def test_flags_access_defaults_and_privileges_are_the_observed_ones():
    plan = tokens.token_plan([CAP], LOGON)
    assert (plan.flags, plan.open_access) == (0xD, 0x1AB)
    assert plan.enable == (("SeChangeNotifyPrivilege", 2),)
    assert plan.default_dacl == (
        Ace(True, LOGON, 0x10000000),
        Ace(True, OWNER_RIGHTS, 0x20000),
    )


@pytest.mark.parametrize(
    ("capabilities", "logon", "reason"),
    [([], LOGON, "no capability"), ([CAP], "", "no logon SID"), (["x"], LOGON, "'x' is no SID")],
)
def test_without_all_its_parts_there_is_no_token(capabilities, logon, reason):
    with pytest.raises(SandboxUnavailable, match=reason):
        tokens.token_plan(capabilities, logon)


def test_the_logon_sid_is_found_in_the_token_or_in_its_other_half():
    assert tokens.logon_sid([("S-1-1-0", 7), (LOGON, 0xC0000007)]) == LOGON
    assert tokens.logon_sid([("S-1-1-0", 7)], [(LOGON, 0xC0000000)]) == LOGON
    with pytest.raises(SandboxUnavailable):
        tokens.logon_sid([(LOGON, 0x80000000)])
