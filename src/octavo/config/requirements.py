"""What an administrator allows: `requirements.toml` caps what settings and flags may choose.

A default that is not allowed gives way to one that is; a choice somebody made is refused, with
the file that forbids it. Keys that are not enforced here are named in a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.config.check import typed
from octavo.config.layers import Layer, file_layer
from octavo.config.schema import GranularApproval, Settings
from octavo.config.toml_lines import Keys
from octavo.policy.paths import printable
from octavo.policy.reader import Origin, Reader, config_error
from octavo.policy.words import choices, dotted, quoted
from octavo.protocol.errors import OctavoError

FILE: Final = "requirements.toml"
CAPS: Final = {
    "allowed_approval_policies": "approval_policy",
    "allowed_approvals_reviewers": "approvals_reviewer",
    "allowed_sandbox_modes": "sandbox_mode",
    "allowed_permission_profiles": "default_permissions",
    "allowed_web_search_modes": "web_search",
}
"""Which list caps which setting."""


class Requirements(Struct, frozen=True, kw_only=True):
    """What is enforced. None: not capped."""

    allowed_approval_policies: tuple[str, ...] | None = None
    allowed_approvals_reviewers: tuple[str, ...] | None = None
    allowed_sandbox_modes: tuple[str, ...] | None = None
    allowed_permission_profiles: tuple[str, ...] | None = None
    allowed_web_search_modes: tuple[str, ...] | None = None
    allow_login_shell: bool | None = None
    features: Mapping[str, bool] = {}
    """Features that are fixed on or off."""
    hooks: Mapping[str, object] = {}
    """Hooks that run everywhere; read by `octavo.config.hooks`."""
    allow_managed_hooks_only: bool = False


class Caps(Struct, frozen=True, kw_only=True):
    """The requirements of one file."""

    requirements: Requirements
    layer: Layer
    warnings: tuple[str, ...] = ()


def read_requirements(system: Sequence[str]) -> tuple[Caps, ...]:
    """The requirements files of the system folders. Raises ConfigError for one that is wrong."""
    found = (file_layer(f"{folder}/{FILE}") for folder in system)
    return tuple(_caps(layer) for layer in found if layer is not None)


def capped(
    settings: Settings,
    caps: Caps,
    *,
    default_mode: str,
    chosen: Callable[[Keys], bool],
    origin: Callable[[Keys], Origin],
) -> Settings:
    """The settings within the caps. `chosen` tells what somebody set from what is a default.

    Raises ConfigError for a choice that is not allowed.
    """
    values: dict[str, object] = {}
    for cap, key in CAPS.items():
        allowed: tuple[str, ...] | None = getattr(caps.requirements, cap)
        value = _word(settings, key, default_mode)
        if allowed is None or value is None or value in allowed:
            continue
        if chosen((key,)):
            raise _refused(caps, cap, key, value, allowed, origin((key,)))
        values[key] = allowed[0]
    if caps.requirements.allow_login_shell is False and settings.allow_login_shell:
        if chosen(("allow_login_shell",)):
            where = origin(("allow_login_shell",))
            raise _refused(caps, "allow_login_shell", "allow_login_shell", "true", ["false"], where)
        values["allow_login_shell"] = False
    if caps.requirements.features:
        values["features"] = {**settings.features, **caps.requirements.features}
    return replace(settings, **values) if values else settings


def _word(settings: Settings, key: str, default_mode: str) -> str | None:
    """A setting as the word a cap knows it by."""
    value = getattr(settings, key)
    if key == "sandbox_mode" and value is None:
        return default_mode if settings.default_permissions is None else None
    if isinstance(value, GranularApproval):
        return "granular"
    return None if value is None else str(value)


def _refused(
    caps: Caps, cap: str, key: str, value: str, allowed: Sequence[str], origin: Origin
) -> OctavoError:
    line = caps.layer.origin((cap,)).line
    where = f"{printable(caps.layer.name)}:{line}"
    message = f"{quoted(value)} is not allowed; {where} allows {choices(allowed)}"
    return config_error(message, origin, key, None)


def _caps(layer: Layer) -> Caps:
    reader = Reader(layer.origin)
    requirements = typed(layer.table, Requirements, reader)
    for cap in CAPS:
        if getattr(requirements, cap) == ():
            raise reader.problem((cap,), "expected at least one name, found an empty list")
    shown = printable(layer.name)
    warnings = tuple(
        f"{shown}:{layer.origin((key,)).line}: {dotted((key,))}: not enforced by this version"
        for key in layer.table
        if key not in Requirements.__struct_fields__
    )
    return Caps(requirements=requirements, layer=layer, warnings=warnings)
