"""The tables that choose the Windows sandbox: the main one, and the active profile's.

Only read, not judged: `octavo.sandbox.windows.levels` says what they mean.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from octavo.config.layers import Layer, Merged, file_layer, flag_layer
from octavo.config.load import MAIN_FILE, named_layer


def windows_tables(
    home: str, *, profile: str | None = None, overrides: Sequence[str] = ()
) -> tuple[Mapping[str, object], Mapping[str, object] | None]:
    """(all settings but the profile's, the profile's own). `-c` settings are in the stronger one.

    Raises ConfigError for a file that is no TOML.
    """
    main = file_layer(str(Path(home) / MAIN_FILE))
    flags = [flag_layer(override) for override in overrides]
    if profile is None:
        return _table([main, *flags]), None
    return _table([main]), _table([named_layer(home, profile), *flags])


def _table(layers: Sequence[Layer | None]) -> Mapping[str, object]:
    return Merged([layer for layer in layers if layer is not None]).table
