"""Names of private desktops, and who may do what there."""

import pytest

from octavo.sandbox.windows import desktops


def test_a_name_is_made_from_random_bytes_and_recognised():
    name = desktops.desktop_name(bytes(range(16)))
    assert name == "OctavoSandboxDesktop-000102030405060708090a0b0c0d0e0f"
    assert desktops.is_name(name)
    assert desktops.full_name(name) == "Winsta0\\" + name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Default",
        "OctavoSandboxDesktop-",
        "OctavoSandboxDesktop-" + "a" * 33,
        "OctavoSandboxDesktop-ABC",
        "OctavoSandboxDesktop-..\\Default",
        "Winsta0\\OctavoSandboxDesktop-abc",
    ],
)
def test_other_names_are_never_opened(name):
    assert not desktops.is_name(name)


def test_a_participant_does_everything_but_change_or_remove_the_desktop():
    assert desktops.PARTICIPANT == 0x201FF
    assert (
        desktops.security("S-1-5-1", "S-1-5-2") == "D:P(A;;0xf01ff;;;S-1-5-1)(A;;0x201ff;;;S-1-5-2)"
    )


def test_too_little_randomness_is_refused():
    with pytest.raises(ValueError, match="16"):
        desktops.desktop_name(b"x")
