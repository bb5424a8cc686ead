"""What a caller may ask of a sandbox besides its profile."""

from msgspec import Struct


class Wish(Struct, frozen=True, kw_only=True):
    """Further wishes for one command; all of them are off by default."""

    watch_denials: bool = False
    nested_namespaces: bool = False
    devices: tuple[str, ...] = ()
    strict_network: bool = False
    """Refuse every socket instead of offering a private loopback."""
    gateway: tuple[str, ...] = ()
    """A proxy serves what the profile's rules per host allow, where it waits at these places: the
    command's only ways out. See `gate.Offer`. Linux."""
    proxy_port: int = 0
    """The port of this machine that is the command's only way out. macOS, Windows."""
    readable: tuple[str, ...] = ()
    """Files that can be read whatever the profile says."""
    overlay: tuple[str, str, str] | None = None
    """(folder, upper, work): commands see `folder` with what they change kept in `upper`. Linux."""
