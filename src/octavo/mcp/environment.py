"""What a server's program finds in its environment: little, and what its settings name. Pure."""

from collections.abc import Mapping
from typing import Final

from octavo.protocol.mcp import StdioTransport

USUAL: Final = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip
WINDOWS: Final = (
    "APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT",
    "PROGRAMDATA", "PROGRAMFILES", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME",
    "USERPROFILE", "WINDIR",
)  # fmt: skip


def environment_of(
    transport: StdioTransport, environ: Mapping[str, str], *, windows: bool = False
) -> dict[str, str]:
    """A small fixed set, then the names in `env_vars`, then `env` as it is written."""
    wanted = (*(WINDOWS if windows else USUAL), *transport.env_vars)
    if windows:  # names have no case there
        found = {name.upper(): (name, value) for name, value in environ.items()}
        kept = dict(found[name.upper()] for name in wanted if name.upper() in found)
    else:
        kept = {name: environ[name] for name in wanted if name in environ}
    return kept | dict(transport.env)
