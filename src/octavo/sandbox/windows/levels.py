"""Which level of the Windows sandbox the settings ask for.

Pure: settings in, level out. Older switches are still read; the first hit wins.
"""

from collections.abc import Mapping
from typing import Any, Final

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows.plan import Level

LEVELS: Final = ("elevated", "unelevated")
LEGACY: Final[tuple[tuple[str, Level], ...]] = (
    ("elevated_windows_sandbox", "elevated"),
    ("experimental_windows_sandbox", "unelevated"),
    ("enable_experimental_windows_sandbox", "unelevated"),
)


def level(settings: Mapping[str, Any], profile: Mapping[str, Any] | None = None) -> Level:
    """The level, from the main settings and those of the active profile.

    In order: older switches of the profile (any of them, also one that is off, ends the search);
    the profile's `windows.sandbox`; the main one; older switches of the main settings; disabled.
    Raises ConfigError for a value that is no level.
    """
    chosen = profile or {}
    if any(name in _features(chosen) for name, _ in LEGACY):
        return _legacy(chosen) or "disabled"
    for table, where in ((chosen, "profile: windows.sandbox"), (settings, "windows.sandbox")):
        windows = table.get("windows")
        value = windows.get("sandbox") if isinstance(windows, Mapping) else None
        if value is not None:
            return _known(value, where)
    return _legacy(settings) or "disabled"


def _known(value: object, where: str) -> Level:
    if value == "elevated":
        return "elevated"
    if value == "unelevated":
        return "unelevated"
    raise ConfigError(
        f"{where} is {value!r}", key="windows.sandbox", hint='Use "elevated" or "unelevated".'
    )


def _features(table: Mapping[str, Any]) -> Mapping[str, Any]:
    found = table.get("features")
    return found if isinstance(found, Mapping) else {}


def _legacy(table: Mapping[str, Any]) -> Level | None:
    switches = _features(table)
    return next((level for name, level in LEGACY if switches.get(name) is True), None)
