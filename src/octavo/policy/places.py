"""The folders a profile's special names stand for on one machine, for one command."""

from typing import Final

from msgspec import Struct

MINIMAL_LINUX: Final = (
    "/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
    "/nix/store", "/run/current-system/sw", "/gnu/store",
)  # fmt: skip
"""What programs need to run: their files, libraries and system settings."""

MINIMAL_MACOS: Final = (
    "/System", "/Library/Apple", "/Library/Frameworks", "/Library/Preferences/Logging",
    "/Library/Developer/CommandLineTools", "/Applications/Xcode.app",
    "/bin", "/sbin", "/usr", "/opt/homebrew", "/private/etc", "/private/var/db/timezone",
    "/private/var/db/dyld", "/private/var/select",
)  # fmt: skip


MINIMAL_WINDOWS: Final = (
    "/C:/Windows", "/C:/Program Files", "/C:/Program Files (x86)", "/C:/ProgramData",
)  # fmt: skip


class Places(Struct, frozen=True, kw_only=True):
    """Where a command runs. All paths absolute; `cwd` and `home` without symlinks."""

    cwd: str
    home: str
    """The user's home folder; empty when unknown (then `~` entries are an error)."""
    tmpdir: str | None = None
    """$TMPDIR as it is; it may be relative or missing and is then left out with a warning."""
    workspace_roots: tuple[str, ...] = ()
    """What `:workspace_roots` stands for; empty means `cwd` alone."""
    own_homes: tuple[str, ...] = ()
    """Octavo's own home folders: never writable unless a rule names them."""
    minimal: tuple[str, ...] = MINIMAL_LINUX
    """What `:minimal` stands for."""

    @property
    def roots(self) -> tuple[str, ...]:
        return self.workspace_roots or (self.cwd,)
