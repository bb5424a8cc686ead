"""The tables that choose the Windows sandbox: the main one, and the active profile's.

Only read, not judged: `octavo.sandbox.windows.levels` says what they mean.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from octavo.config.layers import Layer, Merged, file_layer, flag_layer
from octavo.config.load import MAIN_FILE, named_layer
from octavo.config.stack import option_layer


def windows_tables(
    home: str,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    user_settings: bool = True,
) -> tuple[Mapping[str, object], Mapping[str, object] | None]:
    """(all settings but the profile's, the profile's own). `-c` settings are in the stronger one,
    and so are `flags`, dotted keys with values. Without `user_settings` the home's file is not read.

    Raises ConfigError for a file that is no TOML.
    """
    main = file_layer(str(Path(home) / MAIN_FILE)) if user_settings else None
    above = [flag_layer(override) for override in overrides]
    above += [option_layer(key, value) for key, value in (flags or {}).items()]
    if profile is None:
        return _table([main, *above]), None
    return _table([main]), _table([named_layer(home, profile), *above])


def _table(layers: Sequence[Layer | None]) -> Mapping[str, object]:
    return Merged([layer for layer in layers if layer is not None]).table
