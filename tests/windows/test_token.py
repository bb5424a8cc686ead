"""Restricted tokens: what is asked of Windows is what the plan says."""

import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.sandbox.windows import tokens
from octavo.sandbox.windows.acl import Ace

CAPABILITIES = ("S-1-5-21-1-2-3-4", "S-1-5-21-4294967295-2-3-5")
ALL_OF_OURS = ("filter_token", "set_token_default_dacl", "adjust_token_privileges")


@pytest.mark.traced
@pytest.mark.parametrize("elevated", [False, True])
def test_flags_defaults_and_privileges_are_asked_as_planned(trace, elevated):
    from octavo.sandbox.win32 import own, token

    user = own.user_sid() if elevated else None
    plan = tokens.token_plan(CAPABILITIES, own.logon_sid(), user=user)
    trace.mark()
    (token.for_runner(CAPABILITIES) if elevated else token.restricted(plan)).close()
    filtered, default, privileges = trace.asked(*ALL_OF_OURS)
    assert filtered.call == "filter_token"
    assert filtered.number("flags") == plan.flags == 0xD
    assert "privileges_size=0" in filtered.arguments
    assert default.entries == plan.default_dacl
    assert default.entries == (
        Ace(True, own.logon_sid(), 0x10000000),
        Ace(True, "S-1-3-4", 0x20000),
    )
    assert "{luid=0000000000000017,attrs=2}" in privileges.arguments  # SeChangeNotify, on
    assert privileges.worked


@pytest.mark.traced
def test_our_own_token_is_opened_for_exactly_what_is_needed(trace):
    from octavo.sandbox.win32 import own, token

    plan = tokens.token_plan(CAPABILITIES, own.logon_sid())
    trace.mark()
    token.restricted(plan).close()
    assert plan.open_access in [each.number("access") for each in trace.asked("open_token")]


def test_the_token_can_be_given_to_a_process():
    import win32security

    from octavo.sandbox.win32 import own, token

    with token.for_runner(CAPABILITIES) as made:
        kind = win32security.GetTokenInformation(made.value, win32security.TokenType)
        assert kind == win32security.TokenPrimary
        sid, _ = win32security.GetTokenInformation(made.value, win32security.TokenUser)
        assert win32security.ConvertSidToStringSid(sid) == own.user_sid()


def failing(monkeypatch, name, code):
    """One call answers no. The call is the system's, not ours."""
    import pywintypes
    import win32security

    def no(*_arguments):
        raise pywintypes.error(code, name, "as told")

    monkeypatch.setattr(win32security, name, no)


@pytest.mark.parametrize("code", [5, 87, 1312])
@pytest.mark.parametrize(
    "name",
    ["OpenProcessToken", "CreateRestrictedToken", "SetTokenInformation", "LookupPrivilegeValue"],
)
def test_every_failure_names_the_call_and_closes_what_was_made(monkeypatch, name, code):
    from octavo.sandbox.win32 import token
    from octavo.sandbox.win32.winapi import CallError

    plan = tokens.token_plan(CAPABILITIES, "S-1-5-5-0-0")
    token.restricted(plan).close()  # everything that stays is loaded
    before = handles()
    failing(monkeypatch, name, code)
    with pytest.raises(CallError) as caught:
        token.restricted(plan)
    assert (caught.value.call, caught.value.code) == (name, code)
    nested = name == "CreateRestrictedToken" and code == 87
    assert ("confined already" in (caught.value.hint or "")) == nested
    assert handles() <= before


def test_a_privilege_that_is_not_there_is_a_failure_although_the_call_says_yes():
    from dataclasses import replace

    from octavo.sandbox.win32 import own, token
    from octavo.sandbox.win32.winapi import CallError

    plan = tokens.token_plan(CAPABILITIES, own.logon_sid())
    wanted = replace(plan, enable=(("SeCreateTokenPrivilege", 2),))
    before = handles()
    with pytest.raises(CallError) as caught:
        token.restricted(wanted)
    assert (caught.value.call, caught.value.code) == ("AdjustTokenPrivileges", 1300)
    assert handles() <= before


def handles():
    """How many handles this process has."""
    import ctypes
    import gc

    gc.collect()
    found = ctypes.c_ulong()
    assert ctypes.windll.kernel32.GetProcessHandleCount(ctypes.c_void_p(-1), ctypes.byref(found))
    return found.value
