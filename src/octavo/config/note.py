"""Note what a simple settings file says, so that the short way of `octavo sandbox` need not read TOML.

A note is only ever a copy: without it, or when it is out of date, the long way is taken. The
reader is `octavo._boot.simple_settings`.
"""

import marshal
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octavo.config.load import SandboxSettings


def simple(settings: "SandboxSettings") -> tuple[object, ...] | None:
    """The values the short way understands, or None when the settings say more than that."""
    more = settings.default_permissions is not None or settings.git_write or settings.warnings
    if (
        more
        or not settings.protect
        or any(root.startswith("~") for root in settings.writable_roots)
    ):
        return None
    return (
        settings.mode or "",
        tuple(settings.writable_roots),
        settings.network_access,
        settings.exclude_tmpdir_env_var,
        settings.exclude_slash_tmp,
    )


def write(path: str, key: tuple[object, ...], settings: "SandboxSettings") -> bool:
    """Leave the note; False when the settings are not simple or the folder cannot be written."""
    values = simple(settings)
    if values is None:
        return False
    note: Any = (key, values)
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(temporary, "wb") as file:
            marshal.dump(note, file)
        os.replace(temporary, path)
    except OSError:  # a read-only home: every start takes the long way
        return False
    return True
