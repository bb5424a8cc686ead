"""Where Octavo's own files are, and which folders a command finds around it.

The environment is passed in; the disk is asked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from octavo.policy.paths import inward
from octavo.policy.places import MINIMAL_LINUX, MINIMAL_MACOS, MINIMAL_WINDOWS, Places
from octavo.policy.words import quoted
from octavo.protocol.errors import ConfigError

VARIABLES: Final = ("OCTAVO_HOME", "CODEX_HOME")
"""Which variables name the home, the stronger first."""

MINIMAL: Final = {"darwin": MINIMAL_MACOS, "win32": MINIMAL_WINDOWS}

DEFAULT: Final = ".octavo"
KNOWN_HOMES: Final = (".octavo", ".codex")


def find_home(environ: Mapping[str, str], user_home: str) -> str:
    """Octavo's home folder: OCTAVO_HOME, else CODEX_HOME, else `~/.octavo`, which may be missing.

    Raises ConfigError when a variable names a folder that does not exist.
    """
    for name in VARIABLES:
        value = environ.get(name)
        if not value:
            continue
        folder = Path(value)
        if not folder.is_dir():
            raise ConfigError(f"{name}: {quoted(value)} is not a folder", key=name)
        return str(folder.resolve())
    return str(Path(user_home) / DEFAULT)


def own_homes(environ: Mapping[str, str], user_home: str) -> tuple[str, ...]:
    """All folders that hold settings Octavo obeys, in force or not."""
    named = [str(Path(environ[name]).absolute()) for name in VARIABLES if environ.get(name)]
    usual = [str(Path(user_home) / name) for name in KNOWN_HOMES]
    return tuple(dict.fromkeys((*named, *usual)))


def places_for(
    *,
    cwd: str,
    user_home: str,
    environ: Mapping[str, str],
    platform: str,
    workspace_roots: tuple[str, ...] = (),
) -> Places:
    """The folders of one command. `platform` is sys.platform."""
    home = Path(user_home)
    named = environ.get("TEMP" if platform == "win32" else "TMPDIR")
    return Places(
        cwd=inward(str(Path(cwd).resolve())),
        home=inward(str(home.resolve())) if home.is_absolute() else "",
        tmpdir=inward(named) if named else None,
        workspace_roots=tuple(map(inward, workspace_roots)),
        own_homes=tuple(map(inward, own_homes(environ, user_home))),
        minimal=MINIMAL.get(platform, MINIMAL_LINUX),
    )
