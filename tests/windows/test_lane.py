"""The lane itself: a real Windows Python, with what the sandbox needs."""

import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)


def test_this_python_knows_itself_and_its_user():
    import win32api
    import win32con
    import win32security

    token = win32security.OpenProcessToken(win32api.GetCurrentProcess(), win32con.TOKEN_QUERY)
    user, _ = win32security.GetTokenInformation(token, win32security.TokenUser)
    assert win32security.ConvertSidToStringSid(user).startswith("S-1-5-21-")
    assert sys.maxsize > 1 << 32
