"""Where the note about a simple settings file lies, and when it is still true. Imports next to nothing."""

import os

from octavo._version import __version__

NOTE = "state/settings.note"


def settings_key(home: str) -> "tuple[object, ...]":
    """Changes whenever the settings file, or this program, does.

    Raises FileNotFoundError when there is no file.
    """
    there = os.stat(f"{home}/config.toml")
    return (__version__, home, there.st_dev, there.st_ino, there.st_size, there.st_mtime_ns)
