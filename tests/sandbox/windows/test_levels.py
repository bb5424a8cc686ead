import pytest

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows.levels import level


def on(name, *, value=True):
    return {"features": {name: value}}


NEW = {"windows": {"sandbox": "unelevated"}}


@pytest.mark.parametrize(
    ("settings", "profile", "answer"),
    [
        ({}, None, "disabled"),
        (NEW, None, "unelevated"),
        (NEW, {"windows": {"sandbox": "elevated"}}, "elevated"),
        (NEW, on("elevated_windows_sandbox"), "elevated"),
        (NEW, on("experimental_windows_sandbox", value=False), "disabled"),
        ({**NEW, **on("elevated_windows_sandbox")}, None, "unelevated"),
        (on("elevated_windows_sandbox"), None, "elevated"),
        (on("enable_experimental_windows_sandbox"), {}, "unelevated"),
    ],
)
def test_the_first_hit_wins(settings, profile, answer):
    assert level(settings, profile) == answer


@pytest.mark.parametrize("value", ["on", "", True, 3])
def test_a_value_that_is_no_level_is_an_error(value):
    with pytest.raises(ConfigError, match=r"windows\.sandbox"):
        level({"windows": {"sandbox": value}})
