"""Private desktops: made, opened by name, gone with the last handle."""

import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from octavo.protocol.errors import SandboxUnavailable
    from octavo.sandbox.win32 import desktop
    from octavo.sandbox.win32.winapi import CallError
    from octavo.sandbox.windows import desktops


def test_a_desktop_is_new_each_time_and_opened_by_its_name(user):
    first, second = desktop.create(user, user), desktop.create(user, user)
    assert first.name != second.name
    assert desktops.is_name(first.name)
    assert first.full_name == f"Winsta0\\{first.name}"
    opened = desktop.open_named(first.name)
    first.close()
    desktop.open_named(opened.name).close()  # it lives as long as anybody has it
    opened.close()
    second.close()
    second.close()


def test_it_is_gone_with_the_last_handle(user):
    made = desktop.create(user, user)
    made.close()
    with pytest.raises(CallError) as caught:
        desktop.open_named(made.name)
    assert caught.value.call == "OpenDesktop"
    assert made.name in str(caught.value)


@pytest.mark.parametrize("name", ["Default", "", "OctavoSandboxDesktop-XYZ", "Winlogon"])
def test_only_our_own_names_are_opened(name):
    with pytest.raises(SandboxUnavailable, match="no private desktop"):
        desktop.open_named(name)


def test_a_security_that_is_none_is_an_error():
    with pytest.raises(Exception, match=r"(?i)invalid|security|ConvertString"):
        desktop.create("nobody", "S-1-1-0")
