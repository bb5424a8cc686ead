"""Who we are on this machine, and where its folders are."""

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.sandbox.windows import paths, sids


def test_user_and_session_are_sids_of_this_process():
    import win32api
    import win32security

    from octavo.sandbox.win32 import own

    theirs, _, _ = win32security.LookupAccountName(None, win32api.GetUserName())
    assert own.user_sid() == win32security.ConvertSidToStringSid(theirs)
    assert own.account_sid(win32api.GetUserName()) == own.user_sid()
    assert own.logon_sid().startswith("S-1-5-5-")
    groups = dict(own.groups())
    assert groups["S-1-1-0"] & 4
    assert groups[own.logon_sid()] & 0xC0000000 == 0xC0000000
    assert all(sids.is_sid(sid) for sid in groups)


def test_an_account_nobody_has_is_an_error_with_its_number():
    from octavo.sandbox.win32 import own
    from octavo.sandbox.win32.winapi import CallError

    with pytest.raises(CallError) as caught:
        own.account_sid("OctavoNobody")
    assert (caught.value.call, caught.value.code) == ("LookupAccountName", 1332)
    assert "OctavoNobody" in str(caught.value)
    assert own.account_name("S-1-5-21-1-2-3-4") == "S-1-5-21-1-2-3-4"
    assert own.account_name("S-1-1-0")


def test_the_facts_are_canonical_and_name_what_runs_us(tmp_path):
    import octavo
    from octavo.sandbox.win32 import own

    home, cwd = str(tmp_path / "home"), str(tmp_path)
    facts = own.facts(home, cwd.upper(), {}, group="S-1-5-21-1-1-1-1")
    assert facts.group == "S-1-5-21-1-1-1-1"
    for folder in (facts.home, facts.profile, facts.cwd, *facts.system, *facts.runtime):
        assert paths.canonical(folder, resolved=True) == folder
    assert paths.contains(facts.cwd, facts.home)
    assert os.path.samefile(facts.cwd, cwd)
    folded = [paths.fold(folder) for folder in facts.system]
    assert paths.fold(os.environ["SYSTEMROOT"]) in folded
    assert paths.fold(os.environ["PROGRAMDATA"]) in folded
    for needed in (sys.base_prefix, os.path.dirname(os.__file__), octavo.__path__[0]):
        assert any(paths.contains(folder, needed) for folder in facts.runtime), needed
